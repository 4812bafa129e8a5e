"""Where the loss sits within one holdout: adapter class, slices, and what no information would give.

class_gap, lower end only. For any head g that was fixed before the holdout S of m rows was seen, and h* the best linear
adapter on the ball, two lower bounds of L*_linear − L(g), each at half of 1 − confidence:

    paired  min_linear L̂_S − L̂_S(g) − z·s/√m,     s = sd of the paired differences on S     (min L̂_S ≤ L̂_S(h*))
    pooled  min_linear L̂_N − L̂_S(g) − z·s_N,       N = fit and holdout rows                  (min L̂_N ≤ L̂_N(h*))

The pooled one has N/m times less optimism; its s_N² = Var(mean over fit of ℓ(h*)·n/N) + Var(mean over S of
ℓ(h*)·m/N − ℓ(g)), ℓ(h*) taken from the held-out losses of the fitted probe (conservative by their excess). Both are
lowered further by γ·s/(6√m)·(1 + 2z²)/√m where the differences on S have skewness γ < 0 (Johnson 1978): few rows with
large ℓ(g) make a normal interval too short on this side. A richer class has no lower side: no upper end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import scipy.stats

from limen.measure.risk import Labels, Vector, error_estimate, loss_estimate, mean_error
from limen.records.budget import PopulationCheck, Slice
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

REFERENCE = "docs/how-sure.md: finer splits"
MOST_VALUES = 50
"""Values of a slice column that are shown; a column with more of them is cut to the most frequent."""


def class_gap(fit: StageRecord, confidence: float) -> Estimate | None:
    """Lower end of L*_linear − L*_rich; None for a fit without a richer head."""
    if "rich_holdout_loss" not in fit.arrays:
        return None
    groups = fit.arrays.get("holdout_groups")
    rich = fit.arrays["rich_holdout_loss"]
    z = float(scipy.stats.norm.isf((1 - confidence) / 2))
    own = fit.arrays["holdout_own_loss"] - rich
    mine = fit.arrays["curve_holdout_loss"][-1] * (len(rich) / fit.data["pool"]["n"]) - rich
    mean = float(rich.mean())
    paired = fit.data["holdout_minimum"] - mean - z * mean_error(own, groups)[1] - _skew_term(own, groups, z)
    pooled = fit.data["pool"]["minimum"] - mean - z * _pooled_error(fit, mine, groups) - _skew_term(mine, groups, z)
    low, way = max((paired, "paired swap bound"), (pooled, "pooled swap bound"))
    return not_identified(
        "a richer adapter has no lower side: only the low end of what it gains is known",
        low=low,
        confidence=confidence,
        grade="statistical",
        n=len(rich) if groups is None else len(np.unique(groups)),
        method=f"{way} against {fit.data['rich_head']['landmarks']} Gaussian kernel features",
        assumptions=("independent rows" if groups is None else "independent groups", "linear means ‖W‖ ≤ radius"),
        reference=REFERENCE,
    )


def _skew_term(values: Vector, groups: Labels | None, z: float) -> float:
    """What a negative skewness of the units takes off the lower end: ≥ 0."""
    centred = values - values.mean()
    units = centred if groups is None else np.bincount(np.unique(groups, return_inverse=True)[1], weights=centred)
    spread = float(np.sqrt((units**2).mean()))
    if spread == 0:
        return 0.0
    skewness = float((units**3).mean()) / spread**3
    error = mean_error(values, groups)[1]
    return max(0.0, -skewness) * error * (1 + 2 * z**2) / (6 * math.sqrt(len(units)))


def _pooled_error(fit: StageRecord, mine: Vector, groups: Labels | None) -> float:
    """Standard error of L̂_N(h*) − L̂_S(g): noise of the fit rows, and of the differences `mine` on the holdout."""
    held, pool, n = fit.arrays["curve_holdout_loss"][-1], fit.data["pool"]["n"], fit.data["n_fit"]
    m = len(held)
    theirs = mean_error(held, groups)[1] * math.sqrt(m / n) * (n / pool)
    return math.hypot(mean_error(mine, groups)[1], theirs)


def slices(fit: StageRecord, confidence: float) -> Mapping[str, Mapping[str, Slice]]:
    """Rows, loss and error of every value of every slice column; the intervals of one column hold together.

    With k values each interval is at confidence 1 − (1 − confidence)/k (Bonferroni). Losses of a single row (or group)
    have no interval.
    """
    found = {}
    for column, values in fit.data["slices"].items():
        codes = fit.arrays[f"slice.{column}"]
        counts = np.bincount(codes, minlength=len(values))
        shown = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
        each = 1 - (1 - confidence) / len(shown)
        found[column] = {values[code]: _slice(fit, np.flatnonzero(codes == code), each) for code in shown}
    return found


def _slice(fit: StageRecord, rows: np.ndarray, confidence: float) -> Slice:
    wrong = (fit.arrays["curve_holdout_prediction"][-1] != fit.arrays["holdout_labels"])[rows]
    loss, every = fit.arrays["curve_holdout_loss"][-1][rows], fit.arrays.get("holdout_groups")
    groups = None if every is None else every[rows]
    units = len(rows) if groups is None else len(np.unique(groups))
    if units < 2:
        alone = Estimate(float(loss.mean()), n=units, assumptions=("one unit: no interval",), reference=REFERENCE)
        error = alone.but(value=float(wrong.mean())) if groups is not None else error_estimate(wrong, None, confidence)
        return Slice(len(rows), alone, error)
    return Slice(len(rows), loss_estimate(loss, groups, confidence), error_estimate(wrong, groups, confidence))


def slice_checks(fit: StageRecord) -> tuple[PopulationCheck, ...]:
    """A note for every slice column with more values than are shown."""
    return tuple(
        PopulationCheck(
            "slices",
            f"column {column!r} has {len(values):,} values in the holdout; its {MOST_VALUES} most frequent are shown",
            "noted",
            {"column": column, "values": len(values)},
        )
        for column, values in fit.data["slices"].items()
        if len(values) > MOST_VALUES
    )


def controls(fit: StageRecord, confidence: float) -> Mapping[str, Mapping[str, Estimate]]:
    """Loss and error of each baseline without information, on the holdout."""
    groups, labels = fit.arrays.get("holdout_groups"), fit.arrays["holdout_labels"]
    found = {}
    for name, facts in fit.data["controls"].items():
        wrong = fit.arrays[f"control.{name}.prediction"] != labels
        loss = loss_estimate(fit.arrays[f"control.{name}.loss"], groups, confidence)
        of = f", fitted on {facts['rows']:,} rows"
        error = error_estimate(wrong, groups, confidence)
        found[name] = {
            "adaptation_loss": loss.but(method=loss.method + of),
            "error": error.but(method=error.method + of),
        }
    return found
