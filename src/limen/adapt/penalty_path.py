"""Probes along penalties or radii, in float32 where that is enough and finished in float64 where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from limen.adapt.feature_map import Matrix
from limen.adapt.path_descent import PathDescent
from limen.adapt.penalised import Asked, PenalisedFit, WeightedRows, certify_ball, slope_norm

SINGLE_TOLERANCE = 3e-6
"""Least tolerance asked of float32."""
MOST_PASSES = 5_000
"""Passes on the way to one ball."""
MOST_MULTIPLIERS = 40
"""Fits on the way to one ball."""
LONGEST = 4.0
"""Longest step of ln λ."""


def penalty_path(
    rows: WeightedRows, penalties: Matrix, free: bool, tolerances: Matrix, device: str | None = None
) -> list[PenalisedFit]:
    """One fit a penalty, in the order given; solved from the strongest to the weakest.

    Balanced labels and no signal: the best adapter is 0 and its objective ln 2.

    >>> rows = WeightedRows(np.array([[1.0], [1.0]]), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> fit = penalty_path(rows, np.array([0.1]), False, np.array([1e-9]))[0]
    >>> round(float(fit.objective / np.log(2)), 9), fit.gap < 1e-9
    (1.0, True)
    """
    engine = _Engine(rows, free, device)
    fits = {
        int(k): engine.fit(float(penalties[k]), float(tolerances[k])) for k in np.argsort(-penalties, kind="stable")
    }
    return [fits[k] for k in range(len(penalties))]


def radius_path(
    rows: WeightedRows, radii: Matrix, free: bool, tolerances: Matrix, device: str | None = None
) -> list[PenalisedFit]:
    """One fit a ball ‖W‖_F ≤ radius, in the order given; solved from the smallest to the largest.

    The multiplier of the ball is found by secant steps in ln λ: ‖W_λ‖ falls as λ grows, from at most ‖∇L̂(0)‖/λ.

    >>> rows = WeightedRows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> fit = radius_path(rows, np.array([2.0]), True, np.array([1e-9]))[0]  # w = ±√2, margin 2√2
    >>> round(float(fit.loss / np.log1p(np.exp(-2 * np.sqrt(2)))), 6), fit.gap < 1e-9
    (1.0, True)
    """
    engine = _Engine(rows, free, device)
    start = float(engine.slope_at_zero())
    fits: dict[int, PenalisedFit] = {}
    penalty = np.inf
    for k in np.argsort(radii, kind="stable"):
        penalty = min(penalty, max(start, 1e-300) / float(radii[k]))
        fits[int(k)] = _in_ball(engine, float(radii[k]), penalty, float(tolerances[k]))
        penalty = fits[int(k)].penalty
    return [fits[k] for k in range(len(radii))]


def _in_ball(engine: _Engine, radius: float, penalty: float, tolerance: float) -> PenalisedFit:
    best: PenalisedFit | None = None
    low, high = -np.inf, np.inf  # ln λ between which ‖W_λ‖ = radius
    last: tuple[float, float] | None = None
    products = 0
    for _ in range(MOST_MULTIPLIERS):
        found = engine.fit(penalty, tolerance / 4)
        products += found.products
        size = float(np.hypot(found.norm, 0.0 if engine.free else np.linalg.norm(found.intercept)))
        shrink = min(1.0, radius / max(size, 1e-300))
        asked = Asked(penalty, engine.free, tolerance, products)
        fit = certify_ball(engine.rows, shrink * found.weights, shrink * found.intercept, radius, asked)
        best = fit if best is None or fit.gap < best.gap else best
        if best.converged or not found.converged or products > MOST_PASSES:
            break
        here = (float(np.log(penalty)), float(np.log(max(size, 1e-300) / radius)))
        low, high = (low, min(high, here[0])) if here[1] < 0 else (max(low, here[0]), high)
        rate = -0.5 if last is None or here[0] == last[0] else (here[1] - last[1]) / (here[0] - last[0])
        moved = here[0] - here[1] / min(rate, -1e-3)
        moved = float(np.clip(moved, here[0] - LONGEST, here[0] + LONGEST))
        if not low < moved < high:
            moved = (low + high) / 2 if np.isfinite(low + high) else here[0] + float(np.sign(here[1]))
        penalty, last = float(np.exp(moved)), here
    assert best is not None
    return replace(best, products=products)


class _Engine:
    """The path in float32 where that is enough, finished in float64 where it is not."""

    def __init__(self, rows: WeightedRows, free: bool, device: str | None) -> None:
        self.rows, self.free, self.device = rows, free, device
        self.single = PathDescent(rows, free, np.float32, device)
        self.double: PathDescent | None = None

    def fit(self, penalty: float, tolerance: float) -> PenalisedFit:
        """A fit with gap ≤ tolerance at one penalty, or the best found."""
        fit = self.single.fit(penalty, tolerance) if tolerance >= SINGLE_TOLERANCE else None
        if fit is not None and fit.converged:
            return fit
        self.double = self.double or PathDescent(self.rows, self.free, np.float64, self.device)
        refined = self.double.fit(penalty, tolerance, fit)
        products = refined.products + (fit.products if fit else 0)
        better = refined if fit is None or refined.gap <= fit.gap else fit
        return replace(better, products=products)

    def slope_at_zero(self) -> float:
        """‖∇L̂(0)‖ in raw units (with a free intercept at its best): no multiplier of radius B is above it over B."""
        zero = np.zeros((self.rows.classes, self.rows.features.shape[1]))
        intercept = np.log(self.rows.class_shares) if self.free else np.zeros(self.rows.classes)
        return slope_norm(self.rows, zero, intercept, self.free)
