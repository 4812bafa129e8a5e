"""Where the loss sits within one holdout: adapter class, slices, and what no information would give.

class_gap, lower end only. For any head g that was fixed before the holdout S of m rows was seen, and h* the best linear
adapter on the ball, two lower bounds of L*_linear − L(g), each at half of 1 − confidence:

    paired  min_linear L̂_S − L̂_S(g) − t·s/√m,     s = sd of the paired differences on S     (min L̂_S ≤ L̂_S(h*))
    pooled  min_linear L̂_N − L̂_S(g) − t·s_N,       N = fit and holdout rows                  (min L̂_N ≤ L̂_N(h*))

The pooled one has N/m times less optimism; its s_N² = Var(mean over fit of ℓ(h*)·n/N) + Var(mean over S of
ℓ(h*)·m/N − ℓ(g)), ℓ(h*) taken from the held-out losses of the fitted probe (conservative by their excess); fit rows in
groups beside a holdout without them are taken for copies. t has the degrees of freedom of the units of S. Both are
lowered further by γ·s/(6√m)·(1 + 2t²)/√m where the differences on S have skewness γ < 0 (Johnson 1978): few rows with
large ℓ(g) make a symmetric interval too short on this side. With fewer than 50 held-out units even that misses twice as
often as it says (docs/validation.md): there is no end. A richer class has no lower side: no upper end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from limen.arrays.intervals import Mean, mean_of, student_quantile
from limen.measure.floor import independent_rows, pool_groups
from limen.measure.risk import LEAST_UNITS, error_estimate, loss_estimate, unit_assumptions
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
    low, way, of = swap_bound(fit, confidence)
    few = of.units < LEAST_UNITS
    reason = "a richer adapter has no lower side: only the low end of what it gains is known"
    if few:
        reason = f"{of.units} held-out units: the low end of what a richer adapter gains takes {LEAST_UNITS} or more"
    return not_identified(
        reason,
        low=None if few else low,
        confidence=None if few else confidence,
        grade="statistical",
        n=of.units,
        method=f"{way} against {_richer(fit.data['rich_head'])}",
        assumptions=(
            *unit_assumptions(of, "rows" if pool_groups(fit) is None else "groups"),
            "linear means ‖W‖ ≤ radius",
        ),
        reference=REFERENCE,
    )


def _richer(rich_head: Mapping[str, Any]) -> str:
    """What stands beside the linear class: a kernel head, or the encoder itself, tuned."""
    if rich_head["landmarks"]:
        return f"{rich_head['landmarks']} Gaussian kernel features"
    return f"the encoder tuned by {rich_head['method']}"


def swap_bound(fit: StageRecord, confidence: float) -> tuple[float, str, Mean]:
    """The larger of both lower bounds, which it is, and the differences on the holdout behind it."""
    groups = fit.arrays.get("holdout_groups")
    rich, delta = fit.arrays["rich_holdout_loss"], (1 - confidence) / 2
    own = mean_of(fit.arrays["holdout_own_loss"] - rich, groups)
    mine = mean_of(fit.arrays["curve_holdout_loss"][-1] * (len(rich) / fit.data["pool"]["n"]) - rich, groups)
    mean = float(rich.mean())
    paired = fit.data["holdout_minimum"] - mean - _deviation(own, own.error, delta)
    pooled = fit.data["pool"]["minimum"] - mean - _deviation(mine, _pooled_error(fit, mine), delta)
    return max((paired, "paired swap bound", own), (pooled, "pooled swap bound", mine), key=lambda way: way[0])


def _deviation(mean: Mean, error: float, delta: float) -> float:
    """t·error, and what a negative skewness of the units takes off a lower end besides."""
    t = student_quantile(delta, mean.dof)
    return t * error + max(0.0, -mean.skewness) * mean.error * (1 + 2 * t**2) / 6


def _pooled_error(fit: StageRecord, mine: Mean) -> float:
    """Standard error of L̂_N(h*) − L̂_S(g): noise of the fit rows, and of the differences `mine` on the holdout."""
    losses, n = fit.arrays["curve_holdout_loss"][-1], fit.data["n_fit"]
    held = mean_of(losses, fit.arrays.get("holdout_groups"))
    theirs = held.error * math.sqrt(len(losses) / independent_rows(fit, "fit")) * (n / fit.data["pool"]["n"])
    return math.hypot(mine.error, theirs)


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
