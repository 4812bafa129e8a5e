"""What more labels would buy: the asymptote of the learning curve, its exponent and the labels that reach a target.

In order: the shape is tested (a law is not fitted through a peak), the two-sided law of `curve_law` is fitted with
weights n (the noise of a mean over n rows and the terms the law leaves out both shrink with n), every number gets the
t interval of the delete-a-group jackknife over row groups (whole grid refitted without each group), and the law is
back-tested at the largest label count (`curve_backtest`). What the points cannot tell is an Estimate `not_identified`
with its reason: fewer than 4 label counts, a rise or peak, an exponent at the edge of its prior range, an interval
wider than the prior range (exponents 0.05 to 2; asymptotes 0 to the smallest held-out loss measured).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from limen.arrays.checks import Floats
from limen.arrays.intervals import Interval, jackknife
from limen.measure.curve_backtest import backtest
from limen.measure.curve_data import CurveData
from limen.measure.curve_law import EXPONENTS, MOST_LABELS, Law, NotIdentified, fit_law, labels_needed, predict
from limen.measure.curve_shape import Shape, shape_of
from limen.records.budget import Extrapolation
from limen.records.estimate import Estimate, not_identified
from limen.records.task import Question

__all__ = [
    "CurveData",
    "Law",
    "LawEstimates",
    "NotIdentified",
    "Shape",
    "backtest",
    "extrapolate",
    "fit_law",
    "jackknife_law",
    "labels_needed",
    "predict",
    "shape_of",
]

REFERENCE = "docs/how-sure.md: learning curve"
LARGEST_MISS = 0.1
STEPS = 2401
"""Label counts tried for the ends of an interval: 1 to 10^12 in steps of 1.2 %, ends rounded outwards."""


@dataclass(frozen=True, slots=True)
class LawEstimates:
    """The numbers read off a fitted law, each with its interval."""

    asymptote: Estimate
    exponent: Estimate
    labels_needed: Estimate
    law: Law | None


def extrapolate(data: CurveData, question: Question) -> Extrapolation:
    """Asymptote, exponent, labels needed for `question.target_loss`, and the back-test of the law.

    >>> n = np.array([100, 200, 400, 800])
    >>> rows = np.tile(0.5 + 20 / n[:, None], (1, 50))
    >>> curve = extrapolate(CurveData(n, rows, train=0.5 - 20 / n), Question(target_loss=0.5101))
    >>> round(curve.asymptote.value, 6), curve.labels_needed.value, curve.asymptote.grade
    (0.5, 1981.0, 'point')
    """
    curve = data.ordered()
    shape = _shape(curve)
    if shape.kind != "falling":
        missing = not_identified(shape.reason(), method=_method(curve), reference=REFERENCE)
        return Extrapolation(missing, missing, missing, {"state": "not_identified", "reason": shape.reason()})
    estimates = jackknife_law(curve, question)
    law = estimates.law
    parameters = (
        {}
        if law is None
        else {
            "asymptote": law.asymptote,
            "amplitude": law.amplitude,
            "curvature": law.curvature,
            "exponent": law.exponent,
            "two_sided": float(law.two_sided),
        }
    )
    return Extrapolation(
        asymptote=estimates.asymptote,
        exponent=estimates.exponent,
        labels_needed=estimates.labels_needed,
        backtest=backtest(curve, question.confidence),
        law=parameters,
    )


def jackknife_law(data: CurveData, question: Question) -> LawEstimates:
    """The law's asymptote, exponent and labels needed with delete-a-group jackknife intervals (g − 1 dof).

    Without deleted refits the values are graded `point`. The interval of the labels needed holds every label count at
    which the interval of the law's loss holds the target (Fieller's inversion); it is open above where the target lies
    inside the asymptote's interval. `low` of an asymptote without a train side is missing: nothing holds it from below.
    """
    full = fit_law(data.n, data.train, data.test, data.n)
    common: dict[str, Any] = {"method": _method(data), "reference": REFERENCE}
    if isinstance(full, NotIdentified):
        missing = not_identified(full.reason, **common)
        return LawEstimates(missing, missing, missing, None)
    deleted = _deleted_laws(data)
    failed = [law.reason for law in deleted if isinstance(law, NotIdentified)]
    if failed:
        lost = f"the law is lost in {len(failed)} of {len(deleted)} deletions of a row group"
        reason = f"the points do not settle the law: {lost}. {failed[0][:1].upper()}{failed[0][1:]}"
        missing = not_identified(reason, **common)
        return LawEstimates(missing, missing, missing, None)
    laws = [law for law in deleted if isinstance(law, Law)]
    if reason := _misses(data, full, laws):
        missing = not_identified(reason, **common)
        return LawEstimates(missing, missing, missing, None)
    common["assumptions"] = _assumptions(data, bool(laws))
    common["n"] = len(laws) or data.n.size

    def read(number: Callable[[Law], float]) -> tuple[float, Interval | None]:
        value = number(full)
        return value, jackknife(value, [number(law) for law in laws], question.confidence) if laws else None

    asymptote = _estimate(*read(lambda law: law.asymptote), float(data.test.min()), common)
    if data.train is None:
        asymptote = asymptote.but(low=None)
    exponent = _estimate(*read(lambda law: law.exponent), EXPONENTS[1] - EXPONENTS[0], common)
    drawn = asymptote.value is not None and exponent.value is not None
    if drawn:
        needed = _labels(full, laws, question, common)
    else:
        wider = f"add label counts above {int(data.n.max()):,}. The law is not settled: "
        needed = not_identified(wider + (asymptote.reason or exponent.reason), **common)
    return LawEstimates(asymptote, exponent, needed, full if drawn else None)


def _misses(data: CurveData, full: Law, laws: list[Law]) -> str:
    """Why the law does not describe the curve at its largest label count; empty if it does.

    A miss counts if it exceeds four times its jackknife error and a tenth of the distance between the two sides there:
    a law that starts from the wrong place does not say where the curve goes.
    """
    if data.train is None or data.deleted_test is None or data.deleted_train is None:
        return ""
    last = int(np.argmax(data.n))
    sizes = np.tile(data.n, (len(laws), 1)) if data.deleted_n is None else data.deleted_n
    sides = ((1, data.test, data.deleted_test, "held-out"), (-1, data.train, data.deleted_train, "training"))
    for sign, measured, deleted, name in sides:
        miss = float(measured[last] - _side(full, data.n[last], sign))
        spread = [float(deleted[j, last] - _side(law, sizes[j, last], sign)) for j, law in enumerate(laws)]
        error = jackknife(miss, spread).standard_error
        if abs(miss) > max(4 * error, LARGEST_MISS * float(data.test[last] - data.train[last])):
            return (
                f"add label counts above {int(data.n[last]):,}, or take a smaller radius. The law misses the {name} "
                f"loss at that count by {abs(miss):.2g}: the curve is not in its range yet"
            )
    return ""


def _side(law: Law, n: float, sign: int) -> float:
    """Held-out (sign +1) or training (−1) loss of the law."""
    x = float(n) ** -law.exponent
    return float(law.asymptote + sign * law.amplitude * x + law.curvature * x**2)


def _shape(curve: CurveData) -> Shape:
    """Falling unless the held-out units show a rise that, where seeds are given, the seeds show too."""
    units = curve.holdout.T
    if curve.groups is not None:
        units = _cluster_means(curve.holdout, curve.groups)
    if curve.n.size < 2 or units.shape[0] < 2:
        return Shape("falling")
    shape = shape_of(curve.n, units, curve.dimension)
    if shape.kind != "falling" and curve.by_seed is not None and curve.by_seed.shape[0] >= 2:
        return shape_of(curve.n, curve.by_seed, curve.dimension)
    return shape


def _cluster_means(holdout: Floats, groups: np.ndarray) -> Floats:
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(member, weights=row) for row in holdout], axis=1)
    return np.asarray(sums / sizes[:, None])


def _deleted_laws(data: CurveData) -> list[Law | NotIdentified]:
    if data.deleted_test is None:
        return []
    g = data.deleted_test.shape[0]
    sizes = np.tile(data.n, (g, 1)) if data.deleted_n is None else data.deleted_n
    train = [None] * g if data.deleted_train is None else list(data.deleted_train)
    return [fit_law(sizes[j], train[j], data.deleted_test[j], sizes[j]) for j in range(g)]


def _estimate(value: float, interval: Interval | None, prior_width: float, common: dict[str, Any]) -> Estimate:
    if interval is None:
        return Estimate(value, grade="point", **common)
    ends: dict[str, Any] = {"low": interval.low, "high": interval.high, "confidence": interval.confidence}
    if value == 0.0 and interval.high == interval.low:
        reason = "the fitted asymptote is 0, the edge of its range, in every deletion: it has no interval there"
        return not_identified(reason, **common)
    if interval.high - interval.low > prior_width:
        reason = (
            f"an interval is {interval.high - interval.low:.3g} wide, the prior range {prior_width:.3g}, so larger "
            "label counts would be needed"
        )
        return not_identified(reason, grade="extrapolated", **ends, **common)
    return Estimate(value, grade="extrapolated", **ends, **common)


def _labels(full: Law, laws: list[Law], question: Question, common: dict[str, Any]) -> Estimate:
    """Label count at which the law reaches the target; for an error target the caller gives the law of the error."""
    target = question.target_loss
    if target is None:
        said = "no target was given"
        if question.target_error is not None:
            said = "this is the law of the loss, and labels for an error target are read off the law of the error"
        return not_identified(said, **common)
    needed = labels_needed(full, target)
    if laws:
        low, high = _labels_between([full, *laws], needed, target, question.confidence)
        common = common | {"low": low, "high": high, "grade": "extrapolated"}
        if (low, high) != (None, None):
            common["confidence"] = question.confidence
    if isinstance(needed, NotIdentified):
        return not_identified(needed.reason, **common)
    return Estimate(float(needed), **common)


def _labels_between(
    laws: list[Law], needed: int | NotIdentified, target: float, confidence: float
) -> tuple[float | None, float | None]:
    """Label counts around `needed` at which the jackknife interval of the law's loss holds the target.

    `laws` are the full law and those without each group. An end is None where the set has none: no label count can be
    promised, or none is excluded.
    """
    counts = np.geomspace(1.0, MOST_LABELS, STEPS)
    start = STEPS - 1 if isinstance(needed, NotIdentified) else int(np.searchsorted(counts, needed))
    full, *rest = (predict(law, counts) for law in laws)
    deleted, g = np.stack(rest), len(rest)
    error = np.sqrt((g - 1) / g * np.sum((deleted - deleted.mean(axis=0)) ** 2, axis=0))
    reach = float(student.isf((1 - confidence) / 2, g - 1)) * error
    outside = np.flatnonzero(np.abs(full - target) > reach)
    if isinstance(needed, NotIdentified) and start in outside:
        return None, None
    below, above = outside[outside < start], outside[outside > start]
    return float(counts[below[-1]]) if below.size else None, float(counts[above[0]]) if above.size else None


def _assumptions(data: CurveData, deleted: bool) -> tuple[str, ...]:
    said = ["the curve follows the law beyond the largest label count"]
    if data.train is None:
        said.append("no train side: upper side only, the weakest estimator of a floor")
    said.append(
        "row groups are independent" if deleted else "no interval: the grid was not refitted without row groups"
    )
    return tuple(said)


def _method(data: CurveData) -> str:
    return "test-only law E + A n^-a" if data.train is None else "two-sided law, one asymptote and exponent"
