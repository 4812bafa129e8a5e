"""n*(ε, radius): how few labels bring the expected loss to within ε of a floor, at every radius.

    n*(ε, radius) = min{n : E L_adapt(n; radius) ≤ L* + ε},    L* the floor of this radius, or the least over all radii.

The value is where the mean held-out loss, straight between label counts in ln n, first comes down to the level. Ends:
the label counts' means have t intervals that hold together (Bonferroni over the k counts), the floor has its own; then

    high  the first label count whose loss is at most the level's low end, with all certainty of both
    low   the last label count before any that may be at the level's high end

so n* > low, n* ≤ high. Counts are those of the grid: a finer grid gives closer ends. Beyond the largest count nothing
is said here; the fitted law says it (`limen.measure.learning_curve`).

Source: theory Q7. Monotone curves are not assumed; a curve that rises again after it reached the level keeps its n*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from limen.arrays.means import mean_of
from limen.records.complexity import FrontierPoint
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

Floats = NDArray[np.float64]

METHOD = "first crossing of the mean learning curve"
GIVEN = "given the fitted subsets: the choice of subsets is not in it"


@dataclass(frozen=True, slots=True)
class RadiusCurve:
    """The learning curve of one radius and its floor."""

    radius: float
    n: NDArray[np.int64]
    """Label counts [k], increasing."""
    holdout: Floats
    """Held-out losses [k, m], mean over the subsets of that size."""
    floor: Estimate
    groups: NDArray[np.int64] | None = None


def radius_curve(fit: StageRecord, floor: Estimate) -> RadiusCurve:
    """Of a fit record of a linear probe and its floor (`budget.terms["minimal_adaptation_loss"]`)."""
    counts = np.array([point["n"] for point in fit.data["curve"]])
    n = np.unique(counts)
    rows = fit.arrays["curve_holdout_loss"]
    holdout = np.stack([rows[counts == k].mean(axis=0) for k in n]).astype(np.float64)
    return RadiusCurve(float(fit.data["radius"]), n.astype(np.int64), holdout, floor, fit.arrays.get("holdout_groups"))


def label_frontier(
    curves: Sequence[RadiusCurve],
    epsilons: Sequence[float],
    reference: Literal["own", "least"] = "own",
    confidence: float = 0.95,
) -> tuple[FrontierPoint, ...]:
    """n* of every radius and ε.

    >>> n = np.array([100, 200, 400])
    >>> rows = np.array([[1.5], [1.25], [1.125]]) + np.zeros(50)
    >>> floor = Estimate(1.0, 1.0, 1.0, confidence=0.95, grade="statistical")
    >>> label_frontier([RadiusCurve(4.0, n, rows, floor)], [0.25])[0].labels.value
    200.0

    Raises BadInput for label counts out of order, losses of another shape or not finite, ε below 0.
    """
    _check(curves, epsilons)
    least = _least([curve.floor for curve in curves])
    return tuple(
        FrontierPoint(
            curve.radius,
            epsilon,
            reference,
            _labels(curve, curve.floor if reference == "own" else least, epsilon, confidence),
        )
        for curve in sorted(curves, key=lambda c: c.radius)
        for epsilon in epsilons
    )


def _least(floors: Sequence[Estimate]) -> Estimate:
    """The least floor: its interval holds if all do."""
    missing = [f for f in floors if f.value is None or not f.two_sided]
    if missing or not floors:
        return missing[0] if missing else not_identified("no radius")
    least = {key: min(getattr(f, key) for f in floors) for key in ("value", "low", "high")}
    joint = 1 - sum(1 - f.confidence for f in floors if f.confidence is not None)
    if joint <= 0:
        return not_identified("too many radii for their floors to hold together at these confidences")
    return floors[0].but(**least, confidence=joint)


def _labels(curve: RadiusCurve, floor: Estimate, epsilon: float, confidence: float) -> Estimate:
    common: dict[str, Any] = {"n": curve.holdout.shape[1], "method": METHOD}
    if floor.value is None or floor.low is None or floor.high is None or floor.confidence is None:
        return not_identified(f"the floor has no point: {floor.reason or 'no interval'}", **common)
    delta = (1 - confidence) / (2 * len(curve.n))
    means = [mean_of(rows, curve.groups) for rows in curve.holdout]
    low_loss, high_loss = (np.array([getattr(m, side)(delta) for m in means]) for side in ("low", "high"))
    surely = np.flatnonzero(high_loss <= floor.low + epsilon)
    maybe = np.flatnonzero(low_loss <= floor.high + epsilon)
    before = len(curve.n) if maybe.size == 0 else int(maybe[0])
    low = float(curve.n[before - 1]) if before > 0 else None
    high = float(curve.n[surely[0]]) if surely.size else None
    value = _crossing(np.log(curve.n), curve.holdout.mean(axis=1), floor.value + epsilon)
    both = confidence + floor.confidence - 1
    ends: dict[str, Any] = {"low": low, "high": high, "confidence": None if low is None and high is None else both}
    if value is None:
        reason = f"not within {epsilon:g} of the floor with {int(curve.n[-1]):,} labels: more label counts would do"
        return not_identified(reason, grade="statistical", **ends, **common)
    said = [GIVEN]
    if value == np.log(curve.n[0]):
        said.append("already there at the smallest label count")
    labels = float(np.exp(value))
    labels = labels if high is None else min(labels, high)
    labels = labels if low is None else max(labels, low)
    return Estimate(round(labels, 6), grade="statistical", assumptions=tuple(said), **ends, **common)


def _crossing(x: Floats, y: Floats, level: float) -> float | None:
    below = np.flatnonzero(y <= level)
    if below.size == 0:
        return None
    at = int(below[0])
    if at == 0:
        return float(x[0])
    share = (y[at - 1] - level) / (y[at - 1] - y[at])
    return float(x[at - 1] + share * (x[at] - x[at - 1]))


def _check(curves: Sequence[RadiusCurve], epsilons: Sequence[float]) -> None:
    problems = []
    for curve in curves:
        where = f"radius {curve.radius:g}"
        if curve.holdout.ndim != 2 or curve.holdout.shape[0] != len(curve.n) or curve.holdout.shape[1] < 2:
            problems.append(Problem(where, f"expected losses [{len(curve.n)}, rows], got {curve.holdout.shape}"))
        elif not np.isfinite(curve.holdout).all():
            problems.append(Problem(where, "expected finite losses, got NaN or infinite", "a fit diverged"))
        if len(curve.n) == 0 or (np.diff(curve.n) <= 0).any() or curve.n.min() < 1:
            problems.append(Problem(where, f"expected increasing label counts, got {curve.n.tolist()}"))
    problems += [Problem("epsilons", f"expected numbers of at least 0, got {e}") for e in epsilons if not e >= 0]
    if problems:
        raise BadInput(problems)
