"""Three sides of the floor L* = min over ‖W‖_F ≤ radius of the population loss (docs/how-sure.md).

With N pool rows (all but design), m holdout rows, min L̂_N certified, δ each event's share of 1 − confidence:

certified    [kl⁻¹(min L̂_N, ln(1/δ)/N), min of kl and Maurer-Pontil on the holdout], losses in [0, b]
statistical  [min L̂_N − t·ŝ/√N, holdout mean + t·s/√m]; min L̂_N ≤ L̂_N(h*) for the fixed best h*, ŝ = sd on the holdout
midpoint     M_N ± (t·s/√N + |M_N − M_{N/2}|),  M = (k·train + (k − 1)·CV_k)/(2k − 1),  s = sd over rows of that mean

Weights of the midpoint: with tr(NJ)/2 = T, E train = L* − T/N and E CV_k = L* + T/(N(1 − 1/k)) to leading order, so
these weights, not ½ and ½, cancel T (k → ∞ gives the leave-one-out midpoint). Not identified where the drift exceeds
2·t·s/√N. Midpoint and drift: validated by simulation, docs/validation.md; never certified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats

from limen.arrays.intervals import kl_lower, kl_upper, maurer_pontil_upper
from limen.measure.risk import loss_estimate, mean_error
from limen.records.budget import Floor, FloorPoint
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

EVENTS = 3  # floor, lower and upper side of the adaptation loss share 1 − confidence
REFERENCE = "docs/how-sure.md: the floor"
CROSSED = "the sides contradict each other: the rows are not draws from one population"
LEAST_ROWS_PER_PARAMETER = 0.5
LEAST_CLOSENESS = 0.5
"""Least training loss as a share of the cross-validated one, where rows are fewer than that."""
CLOSENESS_OF_MANY_ROWS = 0.3
"""The same where they are not."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One-sided bounds with shared error probability: low ≤ L*, loss_low ≤ L(ĝ) ≤ high (and L* ≤ L(ĝ))."""

    low: float
    loss_low: float
    high: float


def certified_sides(fit: StageRecord, confidence: float) -> Sides:
    """Distribution-free sides; valid for independent rows only."""
    delta = (1 - confidence) / EVENTS
    top, held = fit.data["loss_range"], fit.arrays["curve_holdout_loss"][-1]
    mean, m = float(held.mean()), len(held)
    # two valid upper bounds, so each takes half of δ
    high = min(kl_upper(mean, m, delta / 2, top), maurer_pontil_upper(held, delta / 2, top))
    low = kl_lower(max(fit.data["pool"]["minimum"], 0.0), fit.data["pool"]["n"], delta, top)
    return Sides(low, kl_lower(mean, m, delta, top), high)


def statistical_sides(fit: StageRecord, confidence: float) -> Sides:
    """Asymptotic sides; rows of one group count as one unit."""
    delta = (1 - confidence) / EVENTS
    held, groups = fit.arrays["curve_holdout_loss"][-1], fit.arrays.get("holdout_groups")
    loss = loss_estimate(held, groups, 1 - 2 * delta)  # t quantiles: holdouts can be small, pools are not
    assert loss.low is not None
    assert loss.high is not None
    return Sides(_low(fit, fit.data["pool"]["minimum"], held, delta), loss.low, loss.high)


def _low(fit: StageRecord, minimum: float, held: np.ndarray, delta: float) -> float:
    """Certified minimum on the pool less its sampling error, estimated on the holdout (t with its units − 1 dof).

    Where the fit rows come in groups and the holdout, another file, does not, it cannot tell how alike the rows of one
    group are: they are taken for copies, so that √N becomes N/√(Σ_g n_g²).
    """
    groups, size = fit.arrays.get("holdout_groups"), fit.data["pool"]["n"]
    together = pool_groups(fit) if groups is None else None
    if together is not None:
        size = size**2 / float((np.bincount(together).astype(float) ** 2).sum())
    error = mean_error(held, groups)[1] * math.sqrt(len(held) / size)
    return float(minimum - _t(delta, _units(held, groups)) * error)


def _t(delta: float, units: int) -> float:
    return float(scipy.stats.t.isf(delta, units - 1))


def _units(rows: np.ndarray, groups: np.ndarray | None) -> int:
    return len(rows) if groups is None else len(np.unique(groups))


def midpoint_rows(fit: StageRecord, part: str) -> np.ndarray:
    """Weighted mean of training and cross-validated loss of every row of `pool` or `half`."""
    k = fit.data["pool"]["folds"]
    train, out = fit.arrays[f"{part}_train_loss"], fit.arrays[f"{part}_cross_validated_loss"]
    rows: np.ndarray = (k * train + (k - 1) * out) / (2 * k - 1)
    return rows


def pool_groups(fit: StageRecord) -> np.ndarray | None:
    """Group of every pool row, fit rows first; None where rows are independent.

    Groups of the fit rows and of a holdout from another file are different groups, whatever they are called.
    """
    mine, theirs = fit.arrays.get("fit_groups"), fit.arrays.get("holdout_groups")
    if mine is None and theirs is None:
        return None
    mine = np.arange(fit.data["n_fit"]) if mine is None else np.unique(mine, return_inverse=True)[1]
    theirs = np.arange(fit.data["n_holdout"]) if theirs is None else np.unique(theirs, return_inverse=True)[1]
    together: np.ndarray = np.concatenate([mine, theirs + int(mine.max()) + 1])
    return together


def midpoint(fit: StageRecord, confidence: float) -> tuple[Estimate, float]:
    """The midpoint as an Estimate at its share of the joint confidence, and its drift."""
    rows, half = midpoint_rows(fit, "pool"), midpoint_rows(fit, "half")
    value, drift = float(rows.mean()), float(abs(rows.mean() - half.mean()))
    groups = pool_groups(fit)
    error = mean_error(rows, groups)[1]
    delta = (1 - confidence) / EVENTS
    units = _units(rows, groups)
    half_width = _t(delta / 2, units) * error + drift
    noise = 2 * _t((1 - confidence) / 2, units) * error
    common: dict[str, Any] = {
        "confidence": 1 - delta,
        "grade": "statistical",
        "n": units,
        "method": "five-fold midpoint with drift",
        "reference": REFERENCE,
    }
    reason = _mixed(fit) or _outside_range(fit)
    if not reason and drift > noise:
        reason = (
            f"the midpoint still moves by {drift:.3g} when the labels double (noise {noise:.3g}); "
            "more labels or a smaller radius would identify it"
        )
    if reason:
        return not_identified(reason, **common), drift
    assumptions = (
        "independent rows" if groups is None else "independent groups",
        "bias of order below 1/n, checked by the drift",
    )
    return Estimate(value, value - half_width, value + half_width, assumptions=assumptions, **common), drift


def _mixed(fit: StageRecord) -> str:
    """Why fit and holdout rows do not make one sample: the test file that serves as holdout is another population."""
    for check in fit.data["population_checks"]:
        other = check["name"] == "two-sample" and check["outcome"] == "rejected"
        if fit.data["same_population"] and other and check["numbers"]["population"] == "test":
            return "the test file that serves as holdout differs from the train file: they have no common floor"
    return ""


def _outside_range(fit: StageRecord) -> str:
    """Why the midpoint is not to be believed here: it was validated where rows are many and the fit is not too close.

    Where the training loss nears 0 the expansion in 1/n does not hold, however many rows there are: the midpoint falls
    before it rises, and its drift can vanish while its bias does not
    (docs/decisions/2026-11-22-midpoint-few-rows.md, docs/validation.md).
    """
    parameters = (fit.data["classes"] - 1) * fit.data["dimension"]
    n = fit.data["pool"]["n"]
    closeness = float(fit.arrays["pool_train_loss"].mean() / fit.arrays["pool_cross_validated_loss"].mean())
    enough = n >= LEAST_ROWS_PER_PARAMETER * parameters
    if closeness >= (CLOSENESS_OF_MANY_ROWS if enough else LEAST_CLOSENESS):
        return ""
    if enough:
        return (
            f"training loss is {closeness:.0%} of the cross-validated one: outside the validated range "
            f"({CLOSENESS_OF_MANY_ROWS:.0%} or more); more labels or a smaller radius would do"
        )
    return (
        f"{n:,} rows for {parameters:,} parameters, and training loss is {closeness:.0%} of the cross-validated one: "
        f"outside the validated range ({LEAST_ROWS_PER_PARAMETER:g} rows a parameter and {CLOSENESS_OF_MANY_ROWS:.0%}, "
        f"or {LEAST_CLOSENESS:.0%}); {math.ceil(LEAST_ROWS_PER_PARAMETER * parameters):,} rows or a smaller radius"
    )


def floor_sides(fit: StageRecord, confidence: float, minimum: float) -> Floor:
    """All three sides, and whether the certified one says anything."""
    certified, statistical = certified_sides(fit, confidence), statistical_sides(fit, confidence)
    middle, drift = midpoint(fit, confidence)
    pool, delta = fit.data["pool"], (1 - confidence) / EVENTS
    price = fit.data["loss_range"] * float(np.log(1 / delta)) / pool["n"]
    grouped = pool_groups(fit) is not None
    impossible = _mixed(fit) or (CROSSED if certified.low > certified.high else "")
    silent = grouped or bool(impossible)
    informative = not silent and price <= pool["minimum"] / 4
    if impossible:
        said = impossible
    elif grouped:
        said = "certified side not available: rows come in groups or repeat, so they are not independent"
    elif informative:
        said = "a bracket; the point is the midpoint's"
    else:
        needed = 4 * fit.data["loss_range"] * float(np.log(1 / delta)) / max(pool["minimum"], 1e-12)
        said = (
            f"certified side uninformative at this n: b·ln(1/δ)/n = {price:.3g} against a minimum of "
            f"{pool['minimum']:.3g}; about {needed:,.0f} rows would do"
        )
    joint = 1 - 2 * delta
    crossed = statistical.low > statistical.high
    return Floor(
        certified=not_identified(
            said,
            low=None if silent else certified.low,
            high=None if silent else certified.high,
            confidence=None if impossible else joint,
            grade="certified",
            n=pool["n"],
            method="kl bound below, kl and Maurer-Pontil above",
            assumptions=("independent rows", "class and radius fixed on design"),
            reference=REFERENCE,
        ),
        statistical=not_identified(
            CROSSED if crossed else "a bracket; the point is the midpoint's",
            low=None if crossed else statistical.low,
            high=None if crossed else statistical.high,
            confidence=None if crossed else joint,
            grade="statistical",
            n=middle.n,
            method="certified minimum less its error, holdout plus its error",
            assumptions=("independent groups" if grouped else "independent rows",),
            reference=REFERENCE,
        ),
        midpoint=middle,
        empirical_minimum=minimum,
        informative=informative,
        drift=drift,
    )


def floor_path(fit: StageRecord, confidence: float) -> tuple[FloorPoint, ...]:
    """Simultaneous statistical interval of L*(radius) on the grid; tightened by its being non-increasing.

    Ends that contradict each other are both missing: the rows are then not draws from one population.
    """
    points, held = fit.data["path"], fit.arrays["path_holdout_loss"]
    groups = fit.arrays.get("holdout_groups")
    delta = (1 - confidence) / (2 * len(points))
    lows, highs = [], []
    for point, losses in zip(points, held, strict=True):
        mean, error = mean_error(losses, groups)
        lows.append(_low(fit, point["minimum"], losses, delta))
        highs.append(mean + _t(delta, _units(losses, groups)) * error)
    low = np.maximum.accumulate(lows[::-1])[::-1]
    high = np.minimum.accumulate(highs)
    return tuple(
        FloorPoint(point["radius"], float(a), float(b)) if a <= b else FloorPoint(point["radius"], None, None)
        for point, a, b in zip(points, low, high, strict=True)
    )
