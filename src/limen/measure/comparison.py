"""Two encoders (or methods) on the same rows: what can be told apart, and at how many rows it could be.

Per-row differences on rows held out by both (error, loss) and in the pools of both (floor: midpoint losses per row).
The floor's interval is mean ± (t·s/√N + |drift of the difference|), N = rows of the pools. Floors are told apart
at N·(t·s/√N/(|mean| − |drift|))² pool rows, given as rows of the file (limen.records.comparison). Paired swap bound:

    L*_a − L*_b ≤ L(g_a) − L*_b ≤ L̂_S(g_a) − certified min_b L̂_S + t·s/√m,  and the same with a and b exchanged,

valid without the midpoint; the reported interval is the midpoint's where identified, the swap bound's elsewhere. Where
k pairs are asked about at once, the floors' intervals are at 1 − α/k each, so that all k hold together (Bonferroni).

Errors and losses are conditional on the fitted models. Rows in groups: every standard error is the cluster one, and p
is that of the cluster t test of the error difference, since McNemar's test takes rows for independent. Rows that are
in one group of either record are one unit (connected blocks), so that exchanging a and b only changes signs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats

from limen.adapt.split import blocks
from limen.arrays.intervals import Mean, mcnemar_exact, mean_of, student_quantile
from limen.measure.floor import midpoint, midpoint_rows, pool_groups
from limen.measure.risk import paired_estimate
from limen.records.comparison import Comparison, rows_in_file
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

REFERENCE = "docs/how-sure.md: comparisons"
IDENTITY = ("loss", "classes", "task")


def compare(a: StageRecord, b: StageRecord, confidence: float = 0.95, pairs: int = 1) -> tuple[Comparison, float]:
    """The comparison with p of McNemar's exact test, not yet corrected for the number of pairs.

    The floors' interval, and with it `separable`, is one of `pairs` that hold together at `confidence`.
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
    groups = _held_groups(a, b, at_a, at_b)
    p = mcnemar_exact(int((wrong_a & ~wrong_b).sum()), int((~wrong_a & wrong_b).sum()))
    if groups is not None:
        p = _cluster_p(wrong_a.astype(float) - wrong_b.astype(float), groups)
    floor, pool, needed = _floor_difference(a, b, confidence, pairs)
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


def _held_groups(a: StageRecord, b: StageRecord, at_a: np.ndarray, at_b: np.ndarray) -> np.ndarray | None:
    first, second = a.arrays.get("holdout_groups"), b.arrays.get("holdout_groups")
    return _merged(None if first is None else first[at_a], None if second is None else second[at_b])


def _merged(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Units of rows that both records have: rows of one group of either are connected."""
    if first is None or second is None:
        return second if first is None else first
    return blocks(first, second)


def _cluster_p(difference: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided p of the cluster t test for a mean difference of 0."""
    found = mean_of(difference, groups)
    if found.error == 0:
        return 1.0 if found.value == 0 else 0.0
    return float(2 * scipy.stats.t.sf(abs(found.value) / found.error, found.dof))


def _excludes_zero(estimate: Estimate) -> bool:
    return (estimate.low is not None and estimate.low > 0) or (estimate.high is not None and estimate.high < 0)


def _floor_difference(
    a: StageRecord, b: StageRecord, confidence: float, pairs: int
) -> tuple[Estimate, int | None, int | None]:
    """The difference, the pool rows behind its midpoints, and the rows of the file that would separate the floors."""
    if any("pool_train_loss" not in fit.arrays for fit in (a, b)):
        return not_identified("one of the two has no lower side, so its floor is unknown"), None, None
    each = 1 - (1 - confidence) / pairs
    said = [f"‖W‖ ≤ {a.data['radius']:.4g} and ‖W‖ ≤ {b.data['radius']:.4g}"]
    if pairs > 1:
        said.append(f"{pairs} pairs hold together at {confidence:.4g}")
    shared: dict[str, Any] = {"grade": "statistical", "reference": REFERENCE}
    missing = shared | {"assumptions": tuple(said), "method": "paired swap bound"}
    if (ends := _swap(a, b, each)) is not None:
        missing |= {"low": ends[0], "high": ends[1], "confidence": each}
    sides = [midpoint(fit, confidence)[0] for fit in (a, b)]
    if any(side.value is None for side in sides):
        return not_identified(next(side.reason for side in sides if side.value is None), **missing), None, None
    (difference, groups), (half, _) = (_pooled(a, b, part) for part in ("pool", "half"))
    mean = _mean(difference, groups)
    if mean is None or len(half) < 2:
        return not_identified("the pools share too few rows", **missing), None, None
    drift = float(abs(difference.mean() - half.mean()))
    noise = student_quantile((1 - each) / 2, mean.dof) * mean.error
    estimate = Estimate(
        mean.value,
        mean.value - noise - drift,
        mean.value + noise + drift,
        confidence=each,
        n=mean.units,
        method="paired midpoint with drift",
        assumptions=("independent rows" if groups is None else "independent groups", *said),
        **shared,
    )
    room = abs(mean.value) - drift  # the drift shrinks with more rows too; keeping it makes the answer cautious
    needed = rows_in_file(len(difference) * (noise / room) ** 2) if room > 0 else None
    return estimate, len(difference), needed


def _mean(values: np.ndarray, groups: np.ndarray | None) -> Mean | None:
    """None for fewer than two units."""
    units = len(values) if groups is None else len(np.unique(groups))
    return None if units < 2 else mean_of(values, groups)


def _pooled(a: StageRecord, b: StageRecord, part: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Per-row difference of midpoint losses on the rows in both pools, and the groups of these rows."""
    rows = []
    for fit in (a, b):
        held = fit.arrays["holdout_rows"]
        # held-out rows of another file get numbers of their own
        pool = np.concatenate([fit.arrays["fit_rows"], -1 - held if fit.data["same_population"] else held])
        rows.append(pool if part == "pool" else pool[fit.arrays["half_rows"]])
    at_a, at_b = _common(*rows)
    groups = [
        None if units is None else (units if part == "pool" else units[fit.arrays["half_rows"]])[at]
        for fit, at in ((a, at_a), (b, at_b))
        for units in (pool_groups(fit),)
    ]
    return midpoint_rows(a, part)[at_a] - midpoint_rows(b, part)[at_b], _merged(*groups)


def _swap(a: StageRecord, b: StageRecord, confidence: float) -> tuple[float, float] | None:
    """[low, high] of L*_a − L*_b, each end at half of 1 − confidence; None if the holdouts differ or are one unit."""
    if set(a.arrays["holdout_rows"].tolist()) != set(b.arrays["holdout_rows"].tolist()):
        return None  # the certified minimum belongs to the whole holdout

    def upper(g: StageRecord, other: StageRecord) -> float | None:
        at_g, at_other = _common(g.arrays["holdout_rows"], other.arrays["holdout_rows"])
        difference = g.arrays["curve_holdout_loss"][-1][at_g] - other.arrays["holdout_own_loss"][at_other]
        slack = float(np.mean(other.arrays["holdout_own_loss"])) - other.data["holdout_minimum"]
        mean = _mean(difference, _held_groups(g, other, at_g, at_other))
        return None if mean is None else slack + mean.high((1 - confidence) / 2)

    low, high = upper(b, a), upper(a, b)
    return None if low is None or high is None else (-low, high)
