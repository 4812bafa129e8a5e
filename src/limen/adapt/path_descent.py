"""Descent along penalties in one precision: each fit starts where the last two point to, with what they learnt.

Steps are those of L-BFGS (Nocedal 1980) on top of the Kronecker curvature (`inner_coordinates`), where Σ_c W_c = 0: one
vector for all classes moves no score. From penalty λ' to λ the start is extrapolated linearly in ln λ through the
last two fits (on separable rows norms grow like ln 1/λ, and the guess is nearly right), and every pair (s, y =
∇F_λ'(W + s) − ∇F_λ'(W)) stays exact as y + (λ − λ')s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from limen.adapt.feature_map import Matrix
from limen.adapt.inner_coordinates import inner_coordinates
from limen.adapt.penalised import Asked, PenalisedFit, WeightedRows, certify_penalised
from limen.adapt.secant_pairs import SecantPairs
from limen.adapt.torch_passes import passes_on

MOST_CERTIFICATES = 12
"""Certificates of one fit in one precision: each that fails asks for more."""
MOST_STEPS = 400
"""Steps of one fit in one precision."""
ARMIJO = 1e-4
SHORTEST = 1e-4
"""Step length below which rounding, not the step, decides."""
REFRESH = (4, 12, 40)
"""Steps after which w is taken anew."""
LEAST_WEIGHT = 1e-9
FARTHEST = 2.0
"""Longest extrapolation, in steps of the path before it."""
DECADE, NEAR, LOOSE = 30.0, 10.0, 1e-2
"""On the way to a weak first penalty: ratio of penalties, the least of them beside it, gap asked for."""
MARGIN = 0.85
"""Share of the tolerance that the solver's own gap must reach before it is certified."""
ZERO = np.array([0])


@dataclass(frozen=True, slots=True)
class Point:
    """An inner adapter [K, m], its loss, the gradient of the loss without the penalty, w [K]."""

    weights: Matrix
    loss: float
    slope: Matrix
    class_weights: Matrix
    squared: float
    """Squared norm of what is penalised."""


class PathDescent:
    """The path in one precision: inner coordinates, curvature, the last two fits and the pairs of steps so far."""

    def __init__(self, rows: WeightedRows, free: bool, precision: type[np.floating], device: str | None = None) -> None:
        self.rows, self.free = rows, free
        self.inner, self.curvature = inner_coordinates(rows, free, precision)
        shares = None if rows.even else rows.shares[None]
        self.passes = passes_on(device)(
            self.inner.features, rows.labels, rows.classes, shares, precision, self.inner.constant
        )
        self.known: list[tuple[float, Matrix]] = []
        start = np.zeros((rows.classes, self.inner.size))
        self.pairs = SecantPairs(start.shape)
        self.penalty = np.nan
        self.excess = 1.0
        """Certified over foretold gap, where it was last too high."""
        if free:
            start[:, -1] = np.log(rows.class_shares) / self.inner.kappa
        self.point = self._at(start)

    def fit(self, penalty: float, tolerance: float, start: PenalisedFit | None = None) -> PenalisedFit:
        """The fit at one penalty; `start` is another precision's attempt at the same one."""
        before, inner = self.passes.count, penalty / self.inner.scale / self.inner.scale
        if not self.known and start is None:
            self._approach(inner)
        self._move_to(inner, start)
        target, best = np.inf, None
        for attempt in range(MOST_CERTIFICATES):
            target = min(MARGIN * tolerance / self.excess, target / 2)
            combined, foretold = self._descend(target, step_first=attempt > 0)
            weights, intercept = self.inner.raw(combined)
            asked = Asked(penalty, self.free, tolerance, self.passes.count - before)
            fit = certify_penalised(self.rows, weights, intercept, asked)
            best = fit if best is None or fit.gap < best.gap else best
            if fit.converged or foretold is None:
                break
            self.excess = max(fit.gap / max(foretold, 1e-300), 1.0)
        assert best is not None
        self.known = [*self.known[-1:], (float(np.log(inner)), combined)]
        return replace(best, products=self.passes.count - before)

    def _approach(self, penalty: float) -> None:
        """To a weak first penalty by stronger ones, loosely: fewer steps than at once from 0."""
        slope = self.point.slope * self.curvature.mask
        stronger = float((slope**2).sum())
        while stronger > NEAR * penalty:
            self._move_to(stronger, None)
            combined, _ = self._descend(LOOSE, step_first=False)
            self.known = [*self.known[-1:], (float(np.log(stronger)), combined)]
            stronger /= DECADE

    def _move_to(self, penalty: float, start: PenalisedFit | None) -> None:
        """Take the best known place for this penalty."""
        self.pairs.shift((penalty - self.penalty) * self.curvature.mask)
        self.penalty = penalty
        tried = None if start is None else self.inner.inner(start.weights, start.intercept)
        if tried is None and len(self.known) == 2:
            (before, w0), (last, w1) = self.known
            if last != before:
                step = min((np.log(penalty) - last) / (last - before), FARTHEST)
                tried = w1 + step * (w1 - w0)
        if tried is not None:
            point = self._at(tried - tried.mean(axis=0))
            if self._objective(point) < self._objective(self.point):
                self.point = point

    def _at(self, weights: Matrix) -> Point:
        # where a step is too long its loss is not finite, and it is shortened
        with np.errstate(over="ignore", invalid="ignore"):
            value, slope, spread = self.passes.measure(weights[None], ZERO, spreads=True)
        squared = float(np.einsum("kr,kr,r->", weights, weights, self.curvature.mask))
        return Point(weights, float(value[0]), slope[0], np.maximum(spread[0], LEAST_WEIGHT), squared)

    def _objective(self, point: Point) -> float:
        return point.loss + self.penalty / 2 * point.squared

    def _gradient(self, point: Point) -> Matrix:
        gradient: Matrix = point.slope + self.penalty * self.curvature.mask * point.weights
        return gradient

    def _descend(self, target: float, step_first: bool) -> tuple[Matrix, float | None]:
        """Steps until ‖∇F_λ‖²/(2λ) is at most `target` at some combination of the last adapters: that combination.

        The second answer is that number; None where rounding stopped the steps before. A free intercept's gradient
        counts like any other: once the intercept is set to its best value, it stands in the others'.
        """
        gradient, class_weights = self._gradient(self.point), self.point.class_weights
        for step in range(MOST_STEPS):
            squared, shares = self.pairs.least_gradient(gradient)
            if (step or not step_first) and squared <= 2 * self.penalty * target:
                return self.point.weights - self.pairs.back(shares), squared / (2 * self.penalty)
            if step in REFRESH:
                class_weights = self.point.class_weights
            plain = partial(self.curvature.solve, class_weights=class_weights, penalty=self.penalty)
            direction = -self.pairs.inverse(gradient, plain)
            new = self._search(direction, float((direction * gradient).sum()))
            if new is None:
                break
            moved, self.point = new.weights - self.point.weights, new
            now = self._gradient(new)
            self.pairs.add(moved, now - gradient)
            gradient = now
        return self.point.weights, None

    def _search(self, direction: Matrix, slope: float) -> Point | None:
        """Backtrack until the objective falls; None where only rounding is left."""
        here, length = self._objective(self.point), 1.0
        # losses are means of numbers computed in `precision`: differences below this are rounding
        noise = max(abs(here), 0.05) * (2e-7 if self.passes.precision is np.float32 else 4e-16)
        while slope < 0 and length >= SHORTEST:
            point = self._at(self.point.weights + length * direction)
            rise = self._objective(point) - here
            if rise <= ARMIJO * length * slope + noise:
                return point
            fitted = -slope * length / (2 * max(rise - length * slope, 1e-300)) if np.isfinite(rise) else 0.0
            length *= float(np.clip(fitted, 0.1, 0.5))
        return None
