"""Two encoders (or methods) on the same rows: what can be told apart, and at how many rows it could be.

Per-row differences on rows held out by both (error, loss) and in the pools of both (floor: midpoint losses per row).
The floor's interval is mean ± (z·s/√N + |drift of the difference|), N = rows of the pools. Floors are told apart
at N·(z·s/√N/(|mean| − |drift|))² pool rows, given as rows of the file (limen.records.comparison). Paired swap bound:

    L*_a − L*_b ≤ L(g_a) − L*_b ≤ L̂_S(g_a) − certified min_b L̂_S + z·s/√m,  and the same with a and b exchanged,

valid without the midpoint; the reported interval is the midpoint's where identified, the swap bound's elsewhere.
Errors and losses are conditional on the fitted models. Rows in groups: every standard error is the cluster one, and p
is that of the cluster t test of the error difference, since McNemar's test takes rows for independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats

from limen.arrays.intervals import cluster_mean, mcnemar_exact
from limen.measure.floor import midpoint, midpoint_rows, pool_groups
from limen.measure.risk import mean_error, paired_estimate
from limen.records.comparison import Comparison, rows_in_file
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

REFERENCE = "docs/how-sure.md: comparisons"
IDENTITY = ("loss", "classes", "task")


def compare(a: StageRecord, b: StageRecord, confidence: float = 0.95) -> tuple[Comparison, float]:
    """The comparison with p of McNemar's exact test, not yet corrected for the number of pairs.

    Raises BadInput for fits of different task, loss or classes, or without a row held out by both.
    """
    _comparable(a, b)
    at_a, at_b = _common(a.arrays["holdout_rows"], b.arrays["holdout_rows"])
    if len(at_a) < 2:
        what = f"{len(at_a)} rows are held out by both, expected at least 2"
        raise BadInput(Problem("compare", what, cause="files of different rows", fix="use embeddings of the same rows"))
    wrong_a, wrong_b = (
        (fit.arrays["curve_holdout_prediction"][-1] != fit.arrays["holdout_labels"])[at]
        for fit, at in ((a, at_a), (b, at_b))
    )
    loss = a.arrays["curve_holdout_loss"][-1][at_a] - b.arrays["curve_holdout_loss"][-1][at_b]
    groups = _groups(a, at_a)
    p = mcnemar_exact(int((wrong_a & ~wrong_b).sum()), int((~wrong_a & wrong_b).sum()))
    if groups is not None:
        p = _cluster_p(wrong_a.astype(float) - wrong_b.astype(float), groups)
    floor, pool, needed = _floor_difference(a, b, confidence)
    return Comparison(
        a=_name(a),
        b=_name(b),
        task=a.data["task"],
        n=len(at_a),
        error_difference=paired_estimate(wrong_a.astype(float) - wrong_b.astype(float), groups, confidence),
        loss_difference=paired_estimate(loss, groups, confidence),
        floor_difference=floor,
        p_holm=p,
        separable=_excludes_zero(floor),
        n_to_separate=None if _excludes_zero(floor) else needed,
        n_pool=pool,
    ), p


def _name(fit: StageRecord) -> str:
    method = fit.data["method"]
    name = str(fit.data["encoder"])
    return name if method == "linear-probe" else f"{name} · {method}"


def _comparable(a: StageRecord, b: StageRecord) -> None:
    problems = [
        Problem(
            "compare",
            f"{_name(a)} and {_name(b)} differ in {key}: {a.data[key]} and {b.data[key]}",
            cause="budgets of different loss, classes or task measure different things",
            fix="fit both the same way",
        )
        for key in IDENTITY
        if a.data[key] != b.data[key]
    ]
    if problems:
        raise BadInput(problems)


def _common(rows_a: np.ndarray, rows_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, at_a, at_b = np.intersect1d(rows_a, rows_b, return_indices=True)
    return at_a, at_b


def _groups(fit: StageRecord, at: np.ndarray) -> np.ndarray | None:
    groups = fit.arrays.get("holdout_groups")
    return None if groups is None else groups[at]


def _cluster_p(difference: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided p of the cluster t test for a mean difference of 0."""
    found = cluster_mean(difference, groups)
    if found.standard_error == 0:
        return 1.0 if found.value == 0 else 0.0
    return float(2 * scipy.stats.t.sf(abs(found.value) / found.standard_error, found.units - 1))


def _excludes_zero(estimate: Estimate) -> bool:
    return (estimate.low is not None and estimate.low > 0) or (estimate.high is not None and estimate.high < 0)


def _floor_difference(a: StageRecord, b: StageRecord, confidence: float) -> tuple[Estimate, int | None, int | None]:
    """The difference, the pool rows behind its midpoints, and the rows of the file that would separate the floors."""
    if any("pool_train_loss" not in fit.arrays for fit in (a, b)):
        return not_identified("one of the two has no lower side, so its floor is unknown"), None, None
    ends = _swap(a, b, confidence)
    swap: dict[str, Any] = {"grade": "statistical", "reference": REFERENCE}
    if ends is not None:
        swap |= {"low": ends[0], "high": ends[1], "confidence": confidence}
    sides = [midpoint(fit, confidence)[0] for fit in (a, b)]
    if any(side.value is None for side in sides):
        reason = next(side.reason for side in sides if side.value is None)
        return not_identified(reason, method="paired swap bound", **swap), None, None
    (difference, groups), (half, _) = (_pooled(a, b, part) for part in ("pool", "half"))
    if len(difference) < 2 or len(half) < 2:
        return not_identified("the pools share too few rows", method="paired swap bound", **swap), None, None
    value, drift = float(difference.mean()), float(abs(difference.mean() - half.mean()))
    error = mean_error(difference, groups)[1]
    z = float(scipy.stats.norm.isf((1 - confidence) / 2))
    width = z * error + drift
    estimate = Estimate(
        value,
        value - width,
        value + width,
        confidence=confidence,
        grade="statistical",
        n=len(difference) if groups is None else len(np.unique(groups)),
        method="paired midpoint with drift",
        assumptions=("independent rows" if groups is None else "independent groups",),
        reference=REFERENCE,
    )
    room = abs(value) - drift  # the drift shrinks with more rows too; keeping it makes the answer cautious
    needed = rows_in_file(len(difference) * (z * error / room) ** 2) if room > 0 else None
    return estimate, len(difference), needed


def _pooled(a: StageRecord, b: StageRecord, part: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Per-row difference of midpoint losses on the rows in both pools, and the groups of these rows."""
    rows = []
    for fit in (a, b):
        held = fit.arrays["holdout_rows"]
        # held-out rows of another file get numbers of their own
        pool = np.concatenate([fit.arrays["fit_rows"], -1 - held if fit.data["same_population"] else held])
        rows.append(pool if part == "pool" else pool[fit.arrays["half_rows"]])
    at_a, at_b = _common(*rows)
    groups = pool_groups(a)
    if groups is not None:
        groups = (groups if part == "pool" else groups[a.arrays["half_rows"]])[at_a]
    return midpoint_rows(a, part)[at_a] - midpoint_rows(b, part)[at_b], groups


def _swap(a: StageRecord, b: StageRecord, confidence: float) -> tuple[float, float] | None:
    """[low, high] of L*_a − L*_b, each end at half of 1 − confidence; None if the holdouts differ."""
    if set(a.arrays["holdout_rows"].tolist()) != set(b.arrays["holdout_rows"].tolist()):
        return None  # the certified minimum belongs to the whole holdout
    z = float(scipy.stats.norm.isf((1 - confidence) / 2))

    def upper(g: StageRecord, other: StageRecord) -> float:
        at_g, at_other = _common(g.arrays["holdout_rows"], other.arrays["holdout_rows"])
        difference = g.arrays["curve_holdout_loss"][-1][at_g] - other.arrays["holdout_own_loss"][at_other]
        slack = float(np.mean(other.arrays["holdout_own_loss"])) - other.data["holdout_minimum"]
        return float(difference.mean() + slack + z * mean_error(difference, _groups(g, at_g))[1])

    return -upper(b, a), upper(a, b)
