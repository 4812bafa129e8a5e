"""Certified sides of the floor of the row ball: the class ‖W_c‖ ≤ r for every class c (`limen.adapt.row_ball`).

    L*_row = min over ‖W_c‖ ≤ r of the population loss,   b = ln(1 + (K − 1)·exp(2rR)) in place of exp(√2·B·R)
    low    kl⁻¹(min L̂_N, ln(1/δ)/N) on fit and holdout rows, min L̂_N certified
    high   betting bound on the holdout losses of the row-ball probe of the fit rows
    δ = (1 − confidence)/2 each

At r = B/√K the class lies in the ball ‖W‖_F ≤ B, so L*_row is at least that ball's floor, and in practice barely above
it; b is nearly √(K/2) times smaller. It is another class: its interval bounds L*_row, from above also the ball's floor.
"""

from __future__ import annotations

import math

import numpy as np

from limen.adapt.ball import Rows
from limen.adapt.losses import per_example_loss
from limen.adapt.row_ball import minimise_rows, row_loss_range
from limen.arrays.intervals import kl_lower
from limen.measure.betting import betting_upper
from limen.records.estimate import Estimate, not_identified

REFERENCE = "docs/how-sure.md: the floor"


def row_radius(radius: float, classes: int) -> float:
    """r = B/√K: the largest row ball inside ‖W‖_F ≤ B.

    >>> row_radius(6.0, 9)
    2.0
    """
    return radius / math.sqrt(classes)


def row_floor(fit: Rows, holdout: Rows, radius_row: float, norm_bound: float, confidence: float = 0.95) -> Estimate:
    """The certified interval of L*_row, without a point; rows must be independent, radius and map fixed before them.

    `norm_bound` is sup ‖φ‖ (`FeatureMap.norm_bound`). The reason says where b·ln(1/δ)/N exceeds a quarter of the
    minimum and the low end says little. Raises ValueError for another loss than log and for features outside the bound.
    """
    pool = Rows(np.concatenate([fit.features, holdout.features]), np.concatenate([fit.labels, holdout.labels]),
                fit.classes, fit.loss)  # fmt: skip
    longest = float(np.sqrt((pool.features**2).sum(axis=1).max()))
    if longest > norm_bound * (1 + 1e-9):
        raise ValueError(f"norm_bound: expected at least {longest:.6g}, the norm of a row, got {norm_bound:.6g}")
    probe = minimise_rows(fit, radius_row)
    best = minimise_rows(pool, radius_row, probe.weights)
    held = per_example_loss(holdout.features @ probe.weights, holdout.labels, "log")
    delta, top, minimum = (1 - confidence) / 2, row_loss_range(fit.classes, radius_row, norm_bound), best.minimum
    price = top * math.log(1 / delta) / len(pool)
    little = f"; uninformative at this n: b·ln(1/δ)/n = {price:.3g} against a minimum of {minimum:.3g}"
    low, high = kl_lower(max(minimum, 0.0), len(pool), delta, top), betting_upper(held, delta, top)
    crossed = low > high
    return not_identified(
        "the sides contradict each other: the rows are not draws from one population"
        if crossed
        else "a bracket without a point" + (little if price > minimum / 4 else ""),
        low=None if crossed else low,
        high=None if crossed else high,
        confidence=None if crossed else confidence,
        grade="certified",
        n=len(pool),
        method="kl bound below, betting bound above",
        assumptions=("independent rows", f"‖W_c‖ ≤ {radius_row:.4g} for every class, fixed on design"),
        reference=REFERENCE,
    )
