"""Would the law have foretold the largest label count? Counted over row groups of the holdout.

The law is fitted without the largest label count n_k. For row i the surprise is

    r_i = loss_i(n_k) − loss_i(n_{k−1}) − [law(n_k) − law(n_{k−1})],

zero on average if the law foretells the step. Held-out rows are dealt into 20 groups (whole clusters, where rows come
in clusters); group j is a *hit* if its own t interval at the stated confidence for the mean of r_i contains 0. With a
right law, and losses that vary over the rows of a group, hits have that probability; the rate is printed with its
two-sided Clopper–Pearson interval at the same confidence. A group
whose rows all have the same surprise (0-1 losses often do not change at all) has no interval of its own: it is judged
by that of all rows, and where more than 4 of the 20 are such, nothing can be counted.

Anchoring at n_{k−1} lets easy and hard groups be judged by one law. The count is conditional on the fitted models: the
luck of the largest training subset counts against the law. A group's interval is wide, so the mean surprise over all
rows, with its interval, is printed too: it is the sharper question. The law is fitted on all held-out rows at the
smaller label counts, a dependence of order (group size)/(rows). Source: docs/how-sure.md, learning curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from limen.arrays.intervals import Interval, clopper_pearson_lower, clopper_pearson_upper, cluster_mean
from limen.measure.curve_data import CurveData
from limen.measure.curve_law import LEAST_SIZES, NotIdentified, fit_law, predict

GROUPS = 20
"""Row groups: at 20 of 20 hits the interval of the rate still reaches down to 0.83."""
MOST_CONSTANT = 4
"""Row groups without variance that may be judged by the interval over all rows."""


def backtest(data: CurveData, confidence: float = 0.95) -> Mapping[str, Any]:
    """Hits of the law at the left-out largest label count.

    Plain {hits, groups, low, high, confidence, n, predicted, measured, surprise, surprise_low, surprise_high}, or
    {state, reason}: needs 5 label counts and 40 units (rows, or clusters of rows), two a group.
    """
    curve = data.ordered()
    names, member = _units(curve)
    if curve.n.size <= LEAST_SIZES:
        return _missing(f"a back-test needs {LEAST_SIZES + 1} or more label counts, got {curve.n.size}")
    if names < 2 * GROUPS:
        return _missing(f"a back-test needs {2 * GROUPS} or more independent held-out units, got {names}")
    train = None if curve.train is None else curve.train[:-1]
    law = fit_law(curve.n[:-1], train, curve.test[:-1], curve.n[:-1])
    if isinstance(law, NotIdentified):
        return _missing(f"without the largest label count, {law.reason}")
    before, foretold = predict(law, curve.n[-2:]).tolist()
    surprise = curve.holdout[-1] - curve.holdout[-2] - (foretold - before)
    overall = cluster_mean(surprise, member, confidence)
    dealt = [member % GROUPS == j for j in range(GROUPS)]
    varies = [bool(np.ptp(surprise[own]) > 0) for own in dealt]
    if (constant := GROUPS - sum(varies)) > MOST_CONSTANT:
        return _missing(f"the losses of {constant} of {GROUPS} row groups do not vary: more held-out rows would tell")
    hits = sum(
        _contains_zero(cluster_mean(surprise[own], member[own], confidence) if vary else overall)
        for own, vary in zip(dealt, varies, strict=True)
    )
    delta = (1 - confidence) / 2
    return {
        "hits": hits,
        "groups": GROUPS,
        "low": clopper_pearson_lower(hits, GROUPS, delta),
        "high": clopper_pearson_upper(hits, GROUPS, delta),
        "confidence": confidence,
        "n": int(curve.n[-1]),
        "predicted": float(curve.test[-2]) + foretold - before,
        "measured": float(curve.test[-1]),
        "surprise": overall.value,
        "surprise_low": overall.low,
        "surprise_high": overall.high,
    }


def _units(curve: CurveData) -> tuple[int, np.ndarray]:
    labels = np.arange(curve.holdout.shape[1]) if curve.groups is None else curve.groups
    names, member = np.unique(labels, return_inverse=True)
    return int(names.size), member


def _contains_zero(interval: Interval) -> bool:
    return interval.low <= 0.0 <= interval.high


def _missing(reason: str) -> Mapping[str, Any]:
    return {"state": "not_identified", "reason": reason}
