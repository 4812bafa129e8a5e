"""Three sides of the floor L* = min over ‖W‖_F ≤ radius of the population loss (docs/how-sure.md).

With N pool rows (all but design), m holdout rows, min L̂_N certified, δ each event's share of 1 − confidence:

certified    [kl⁻¹(min L̂_N, ln(1/δ)/N), betting bound on the holdout (limen.measure.betting)], losses in [0, b]
statistical  [min L̂_N − t·ŝ/√N, CV_5 + t·s/√N + skewness]; min L̂_N ≤ L̂_N(h*) for the fixed best h*, ŝ = sd on the
             holdout; CV_5 is centred on the mean of L(probe of a fold) ≥ L*, asymptotically normal with s = sd of
             its N losses (Bayle, Bayle, Janson, Mackey, NeurIPS 2020); the upper end is corrected for skewness
midpoint     M_N ± (t·s/√N + |M_N − M_{N/2}|),  M = (k·train + (k − 1)·CV_k)/(2k − 1),  s = sd over rows of that mean

Weights of the midpoint: with tr(NJ)/2 = T, E train = L* − T/N and E CV_k = L* + T/(N(1 − 1/k)) to leading order, so
these weights, not ½ and ½, cancel T (k → ∞ gives the leave-one-out midpoint). Not identified where the drift exceeds
2·t·s/√N. Midpoint and drift: validated by simulation, docs/validation.md; never certified.

Where the sides contradict each other, or the holdout is a test file that differs from the train file, there is no L* of
one population: every side is without ends and says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from limen.arrays.intervals import Mean, kl_lower, mean_of, student_quantile
from limen.measure.betting import betting_upper
from limen.measure.risk import unit_assumptions
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
BIASED_CLOSENESS = 0.5
"""Below it the midpoint was seen to be high, by its half-width at most where it is identified."""
UNITS_THAT_COVER = 100
"""Independent units below which the midpoint was seen to under-cover (docs/validation.md): it is not identified."""


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
    low = kl_lower(max(fit.data["pool"]["minimum"], 0.0), fit.data["pool"]["n"], delta, top)
    return Sides(low, kl_lower(mean, m, delta, top), betting_upper(held, delta, top))


def statistical_sides(fit: StageRecord, confidence: float) -> Sides:
    """Asymptotic sides; rows of one group count as one unit."""
    delta = (1 - confidence) / EVENTS
    loss = mean_of(fit.arrays["curve_holdout_loss"][-1], fit.arrays.get("holdout_groups"))
    return Sides(_low(fit, fit.data["pool"]["minimum"], loss, delta), loss.low(delta), loss.high(delta))


def floor_upper(fit: StageRecord) -> Mean:
    """Five-fold losses of the pool, whose upper end is one of L*: as many rows a probe as the holdout's, N scored."""
    return mean_of(fit.arrays["pool_cross_validated_loss"], pool_groups(fit))


def _low(fit: StageRecord, minimum: float, held: Mean, delta: float) -> float:
    """Certified minimum on the pool less its sampling error, estimated on the holdout (t with its dof)."""
    error = held.error * math.sqrt(fit.arrays["curve_holdout_loss"].shape[-1] / independent_rows(fit))
    return float(minimum - student_quantile(delta, held.dof) * error)


def independent_rows(fit: StageRecord, part: str = "pool") -> float:
    """Rows of the pool (or its `fit` part) that count as independent beside those of the holdout.

    Where the fit rows come in groups and the holdout, another file, does not, it cannot tell how alike the rows of one
    group are: they are taken for copies, so that √N becomes N/√(Σ_g n_g²).
    """
    size, groups = fit.data["pool"]["n"] if part == "pool" else fit.data["n_fit"], pool_groups(fit)
    if groups is None or "holdout_groups" in fit.arrays:
        return float(size)
    sizes = np.bincount(groups[:size]).astype(float)
    return float(size**2 / (sizes @ sizes))


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
    mean = mean_of(rows, groups)
    delta = (1 - confidence) / EVENTS
    half_width = student_quantile(delta / 2, mean.dof) * mean.error + drift
    noise = 2 * student_quantile((1 - confidence) / 2, mean.dof) * mean.error
    common: dict[str, Any] = {
        "confidence": 1 - delta,
        "grade": "statistical",
        "n": mean.units,
        "method": "five-fold midpoint with drift",
        "reference": REFERENCE,
    }
    reason = _mixed(fit) or _few(mean) or _outside_range(fit)
    if not reason and drift > noise:
        reason = (
            f"the midpoint still moves by {drift:.3g} when the labels double (noise {noise:.3g}); "
            "more labels or a smaller radius would identify it"
        )
    if reason:
        return not_identified(reason, **common), drift
    assumptions: tuple[str, ...] = (
        "independent rows" if groups is None else "independent groups",
        "bias of order below 1/n, checked by the drift",
    )
    if _closeness(fit) < BIASED_CLOSENESS:
        assumptions += ("training loss below half of the cross-validated one: may be high by its half-width",)
    return Estimate(value, value - half_width, value + half_width, assumptions=assumptions, **common), drift


def _mixed(fit: StageRecord) -> str:
    """Why fit and holdout rows do not make one sample: the test file that serves as holdout is another population."""
    for check in fit.data["population_checks"]:
        other = check["name"] == "two-sample" and check["outcome"] == "rejected"
        if fit.data["same_population"] and other and check["numbers"]["population"] == "test":
            return "the test file that serves as holdout differs from the train file: they have no common floor"
    return ""


def _few(mean: Mean) -> str:
    """Why too few units have no midpoint: of 44 and 60 it covered in 91 and 92 of 100 draws, 95 being nominal."""
    if mean.units >= UNITS_THAT_COVER:
        return ""
    few = f"there are {mean.units} independent units, and of so few the midpoint under-covers"
    return f"{UNITS_THAT_COVER} would do: {few}"


def _outside_range(fit: StageRecord) -> str:
    """Why the midpoint is not to be believed here: it was validated where rows are many and the fit is not too close.

    Where the training loss nears 0 the expansion in 1/n does not hold, however many rows there are: the midpoint falls
    before it rises, and its drift can vanish while its bias does not
    (docs/decisions/2026-11-22-midpoint-few-rows.md, docs/validation.md).
    """
    parameters = (fit.data["classes"] - 1) * fit.data["dimension"]
    n = fit.data["pool"]["n"]
    closeness = _closeness(fit)
    enough = n >= LEAST_ROWS_PER_PARAMETER * parameters
    if closeness >= (CLOSENESS_OF_MANY_ROWS if enough else LEAST_CLOSENESS):
        return ""
    if enough:
        return (
            f"more labels or a smaller radius would do. Training loss is {closeness:.0%} of the cross-validated one, "
            f"outside the validated range of {CLOSENESS_OF_MANY_ROWS:.0%} or more"
        )
    return (
        f"about {math.ceil(LEAST_ROWS_PER_PARAMETER * parameters):,} rows or a smaller radius would do. There are "
        f"{n:,} rows for {parameters:,} parameters, and training loss is {closeness:.0%} of the cross-validated one, "
        f"outside the validated range: {LEAST_ROWS_PER_PARAMETER:g} rows a parameter and {CLOSENESS_OF_MANY_ROWS:.0%}, "
        f"or {LEAST_CLOSENESS:.0%} with fewer rows"
    )


def _closeness(fit: StageRecord) -> float:
    """Training loss on the pool as a share of the cross-validated one."""
    return float(fit.arrays["pool_train_loss"].mean() / fit.arrays["pool_cross_validated_loss"].mean())


def floor_sides(fit: StageRecord, confidence: float, minimum: float) -> Floor:
    """All three sides, and whether the certified one says anything."""
    middle, drift = midpoint(fit, confidence)
    certified, informative = _certified(fit, confidence)
    sides, delta = statistical_sides(fit, confidence), (1 - confidence) / EVENTS
    above, held = floor_upper(fit), mean_of(fit.arrays["curve_holdout_loss"][-1], fit.arrays.get("holdout_groups"))
    high = above.high(delta)
    lost = CROSSED if sides.low > min(sides.high, high) else _mixed(fit)
    unit = "rows" if pool_groups(fit) is None else "groups"
    return Floor(
        certified=certified,
        statistical=not_identified(
            lost or "a bracket; the point is the midpoint's",
            low=None if lost else sides.low,
            high=None if lost else high,
            confidence=None if lost else 1 - 2 * delta,
            grade="statistical",
            n=middle.n,
            method="certified minimum less its error, five-fold loss plus its error",
            assumptions=(
                *unit_assumptions(above, unit),
                *(f"holdout: {said}" for said in unit_assumptions(held, unit)[1:]),
            ),
            reference=REFERENCE,
        ),
        midpoint=middle,
        empirical_minimum=minimum,
        informative=informative,
        drift=drift,
    )


def _certified(fit: StageRecord, confidence: float) -> tuple[Estimate, bool]:
    """The certified side, and whether it is informative: without ends for groups, crossed sides and two populations."""
    sides, pool, delta = certified_sides(fit, confidence), fit.data["pool"], (1 - confidence) / EVENTS
    price = fit.data["loss_range"] * math.log(1 / delta) / pool["n"]
    impossible = lost = CROSSED if sides.low > sides.high else _mixed(fit)
    if not lost and pool_groups(fit) is not None:
        lost = "certified side not available: rows come in groups or repeat, so they are not independent"
    informative = not lost and price <= pool["minimum"] / 4
    needed = 4 * fit.data["loss_range"] * math.log(1 / delta) / max(pool["minimum"], 1e-12)
    uninformative = (
        f"certified side uninformative at this n: b·ln(1/δ)/n = {price:.3g} against a minimum of "
        f"{pool['minimum']:.3g}; about {needed:,.0f} rows would do"
    )
    found = not_identified(
        lost or ("a bracket; the point is the midpoint's" if informative else uninformative),
        low=None if lost else sides.low,
        high=None if lost else sides.high,
        confidence=None if impossible else 1 - 2 * delta,
        grade="certified",
        n=pool["n"],
        method="kl bound below, betting bound above",
        assumptions=("independent rows", "class and radius fixed on design"),
        reference=REFERENCE,
    )
    return found, informative


def floor_path(fit: StageRecord, confidence: float) -> tuple[FloorPoint, ...]:
    """Simultaneous statistical interval of L*(radius) on the grid; tightened by its being non-increasing.

    Ends that contradict each other are both missing: the rows are then not draws from one population.
    """
    points, groups = fit.data["path"], fit.arrays.get("holdout_groups")
    delta = (1 - confidence) / (2 * len(points))
    held = [mean_of(losses, groups) for losses in fit.arrays["path_holdout_loss"]]
    lows = [_low(fit, point["minimum"], mean, delta) for point, mean in zip(points, held, strict=True)]
    low = np.maximum.accumulate(lows[::-1])[::-1]
    high = np.minimum.accumulate([mean.high(delta) for mean in held])
    lost = bool(_mixed(fit))
    return tuple(
        FloorPoint(point["radius"], None, None) if lost or a > b else FloorPoint(point["radius"], float(a), float(b))
        for point, a, b in zip(points, low, high, strict=True)
    )
