"""L-BFGS on many probes in lockstep: one fat pass over the rows moves every adapter that is not yet good enough.

Problem b minimises L̂_b(W) over ‖W‖_F ≤ B_b. With the multiplier λ = −⟨W, ∇L̂⟩/B² on the sphere ‖W‖ = B and λ = 0 inside,
the Lagrangian gradient is v = ∇L̂ + λW, and gap = ⟨W, ∇L̂⟩ + B‖∇L̂‖ bounds L̂(W) − min L̂.

A step goes along −H·v, H the L-BFGS inverse on top of `Curvature.solve` =: P⁻¹ (Nocedal 1980), and back to the sphere.
With pairs s = ΔW, y = Δv, R_ij = ⟨s_i, y_j⟩ (i ≤ j), D = diag R, a = R⁻¹(⟨s_i, v⟩)_i,

    Hv = γ(P⁻¹v − Σ a_j P⁻¹y_j) + Σ c_j s_j,     Rᵀc = D·a − γ(⟨P⁻¹y_i, v⟩ − Σ_j a_j ⟨P⁻¹y_i, y_j⟩)_i,

the two-loop recursion written out (Byrd, Nocedal & Schnabel 1994): P⁻¹ is applied once an iteration, and only to v.
Each problem has its own step length and pairs, and leaves when its gap reaches its target or float noise stops it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from limen.adapt.curvature import Curvature
from limen.adapt.feature_map import Matrix
from limen.adapt.passes import Passes
from limen.records.task import Integers

MEMORY = 12
ARMIJO = 1e-4
LEAST_DESCENT = 0.05
"""Share of the plain step's slope that a step must keep."""
SHORTEST = 1e-4
"""Step length below which a problem stops: rounding, not the step, decides there."""


@dataclass(slots=True)
class Point:
    """Adapters [A, K, r] and what is known there: L̂, ∇L̂, multiplier λ, v, gap; which lie on their sphere."""

    weights: Matrix
    value: Matrix
    gradient: Matrix
    multiplier: Matrix
    lagrangian: Matrix
    gap: Matrix
    bound: np.ndarray

    def put(self, where: np.ndarray, other: Point) -> None:
        """Overwrite some adapters by those of `other`."""
        for name in self.__slots__:
            getattr(self, name)[where] = getattr(other, name)

    def take(self, which: np.ndarray) -> Point:
        """Some of the adapters."""
        return Point(*(getattr(self, name)[which] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Found:
    """Adapters [B, K, r], their gaps [B] and losses L̂ [B]."""

    weights: Matrix
    gaps: Matrix
    values: Matrix

    def put(self, where: Integers, point: Point) -> None:
        """Replace some by better ones."""
        self.weights[where], self.gaps[where], self.values[where] = point.weights, point.gap, point.value


def dot(a: Matrix, b: Matrix) -> Matrix:
    """Inner products of adapters: [A, K, r], [A, K, r] → [A]."""
    many = len(a)
    products: Matrix = np.matmul(a.reshape(many, 1, -1), b.reshape(many, -1, 1))[:, 0, 0]
    return products


def evaluate(passes: Passes, radius: Matrix, weights: Matrix, which: Integers) -> Point:
    """One pass: everything a step needs to know at `weights` [A, K, r] of problems `which` [A] with `radius` [B]."""
    value, gradient = passes(weights, which)
    norm = np.sqrt(dot(weights, weights))
    along = dot(weights, gradient)
    bound = (norm >= radius[which] * (1 - 1e-9)) & (along <= 0)
    multiplier = np.where(bound, -along / np.where(bound, norm, 1.0) ** 2, 0.0)
    lagrangian = gradient + multiplier[:, None, None] * weights
    gap = along + radius[which] * np.sqrt(dot(gradient, gradient))
    return Point(weights, value, gradient, multiplier, lagrangian, gap, bound)


def descend(
    passes: Passes,
    curvature: Curvature,
    radius: Matrix,
    start: tuple[Matrix, float],
    steps: int,
    hopeless: Callable[[list[float]], bool] = lambda gaps: False,
) -> Found:
    """At most `steps` steps from `start` = (adapters [B, K, r], target of the gap): the best adapters on the way.

    `hopeless` is told the largest gap after every step so far and may break off.
    """
    weights, target = start
    live = np.arange(len(weights))
    point = evaluate(passes, radius, on_sphere(weights, radius, np.zeros(len(live), dtype=bool)), live)
    found = Found(point.weights.copy(), point.gap.copy(), point.value.copy())
    pairs = _Pairs(curvature, point)
    history = [float(found.gaps.max())]
    for _ in range(steps):
        keep = (point.gap > target) & ~pairs.stalled
        if not keep.any() or hopeless(history):
            break
        if not keep.all():
            live, point = live[keep], point.take(keep)
            pairs.keep(keep)
        new = _step(passes, radius, live, point, pairs)
        pairs.add(point, new)
        point = new
        better = point.gap < found.gaps[live]
        found.put(live[better], point.take(better))
        history.append(float(found.gaps.max()))
    return found


def on_sphere(weights: Matrix, radius: Matrix, bound: np.ndarray) -> Matrix:
    """Back to the sphere where `bound`, else into the ball."""
    norm = np.sqrt(dot(weights, weights))
    scale = np.where(bound | (norm > radius), radius / np.maximum(norm, 1e-300), 1.0)
    moved: Matrix = weights * scale[:, None, None]
    return moved


def _step(passes: Passes, radius: Matrix, live: Integers, point: Point, pairs: _Pairs) -> Point:
    """Backtrack every problem on its own until its value falls; one that cannot is marked as stalled and stays."""
    direction = pairs.direction(point)
    slope = dot(direction, point.lagrangian)
    # values are means of losses computed in `precision`: differences below this are rounding
    noise = np.maximum(np.abs(point.value), 0.05) * (2e-7 if passes.precision is np.float32 else 4e-16)
    length = np.ones(len(live))
    new = point.take(np.arange(len(live)))
    pairs.stalled |= slope >= 0
    trying = np.flatnonzero(slope < 0)
    while len(trying):
        step, falls = length[trying], slope[trying]
        trial = point.weights[trying] + step[:, None, None] * direction[trying]
        trial = on_sphere(trial, radius[live[trying]], point.bound[trying])
        tried = evaluate(passes, radius, trial, live[trying])
        good = tried.value <= point.value[trying] + ARMIJO * step * falls + noise[trying]
        new.put(trying[good], tried.take(good))
        rise = tried.value - point.value[trying] - step * falls
        fitted = -falls * step / (2 * np.maximum(rise, 1e-300))  # minimum of the parabola, as a share of the step
        trying, share = trying[~good], np.clip(fitted[~good], 0.1, 0.5)
        length[trying] *= share
        pairs.stalled[trying] |= length[trying] < SHORTEST
        trying = trying[length[trying] >= SHORTEST]
    return new


class _Pairs:
    """L-BFGS memory of every live problem: s and P⁻¹y flat [A, m, K·r], and the products that the recursion needs."""

    def __init__(self, curvature: Curvature, point: Point) -> None:
        many, size = len(point.weights), point.weights[0].size
        self.curvature = curvature
        self.plain = curvature.solve(point.lagrangian)
        self.radial = curvature.solve(point.weights)
        self.step, self.divided = (np.zeros((many, MEMORY, size), dtype=np.float32) for _ in range(2))
        self.steps_y, self.divided_y = np.zeros((many, MEMORY, MEMORY)), np.zeros((many, MEMORY, MEMORY))
        self.steps_v, self.divided_v = np.zeros((many, MEMORY)), np.zeros((many, MEMORY))
        self.scale = np.ones(many)
        self.stalled = np.zeros(many, dtype=bool)
        self.count = 0

    def keep(self, which: np.ndarray) -> None:
        """Forget the problems that have left."""
        for name in ("plain", "radial", "step", "divided", "steps_y", "divided_y", "steps_v", "divided_v", "scale"):
            setattr(self, name, getattr(self, name)[which])
        self.stalled = self.stalled[which]

    def direction(self, point: Point) -> Matrix:
        """−H·v, tangent to the sphere where the problem lies on it: [A, K, r]."""
        shape, m = point.weights.shape, self.count
        inverse = self.plain
        if m:
            triangle, cross = self.steps_y[:, :m, :m], self.divided_y[:, :m, :m]
            a = np.linalg.solve(triangle, self.steps_v[:, :m, None])
            diagonal = np.diagonal(triangle, axis1=1, axis2=2)[:, :, None]
            gamma = self.scale[:, None, None]
            right = diagonal * a - gamma * (self.divided_v[:, :m, None] - cross @ a)
            c = np.linalg.solve(triangle.transpose(0, 2, 1), right)
            moved = np.matmul(c.transpose(0, 2, 1).astype(np.float32), self.step[:, :m])
            moved -= np.matmul((gamma * a).transpose(0, 2, 1).astype(np.float32), self.divided[:, :m])
            inverse = gamma * self.plain + moved.reshape(shape)
        return self._tangent(point, inverse)

    def _tangent(self, point: Point, inverse: Matrix) -> Matrix:
        """On the sphere the step of least Lagrangian among tangent ones, P⁻¹W taken out; plain projection elsewhere.

        P⁻¹W stands for H·W: where that is too coarse the step would not go downhill, the projection always does.
        """
        w, v, bound = point.weights, point.lagrangian, point.bound
        along = dot(w, self.radial)
        usable = bound & (along > 1e-9 * np.sqrt(dot(w, w) * dot(self.radial, self.radial)))
        share = np.where(usable, dot(w, inverse) / np.where(usable, along, 1.0), 0.0)
        steep = dot(v, inverse)
        share[steep - share * dot(v, self.radial) < LEAST_DESCENT * steep] = 0.0
        inverse = inverse - share[:, None, None] * self.radial
        rest = np.where(bound, dot(w, inverse) / np.maximum(dot(w, w), 1e-300), 0.0)
        tangent: Matrix = rest[:, None, None] * w - inverse
        return tangent

    def add(self, old: Point, new: Point) -> None:
        """Learn from one step; a problem that entered or left its sphere starts again."""
        many, m = len(old.weights), self.count
        plain = self.curvature.solve(new.lagrangian)
        s, y, q = new.weights - old.weights, new.lagrangian - old.lagrangian, plain - self.plain
        sy, yq = dot(s, y), dot(y, q)
        changed = old.bound != new.bound
        good = (sy > 1e-12 * np.sqrt(dot(s, s) * dot(y, y))) & (yq > 0) & ~changed
        if m == MEMORY:
            for pairs in (self.step, self.divided):
                pairs[:, :-1] = pairs[:, 1:]
            for products in (self.steps_y, self.divided_y):
                products[:, :-1, :-1] = products[:, 1:, 1:]
            for along in (self.steps_v, self.divided_v):
                along[:, :-1] = along[:, 1:]
            m -= 1
        v = new.lagrangian.reshape(many, -1, 1).astype(np.float32)
        steps_v, divided_v = (np.matmul(x[:, :m], v)[:, :, 0] for x in (self.step, self.divided))
        self.steps_y[:, :m, m] = np.where(good[:, None], steps_v - self.steps_v[:, :m], 0.0)
        self.divided_y[:, :m, m] = self.divided_y[:, m, :m] = np.where(
            good[:, None], divided_v - self.divided_v[:, :m], 0.0
        )
        self.steps_y[:, m, m], self.divided_y[:, m, m] = np.where(good, sy, 1.0), np.where(good, yq, 0.0)
        self.step[:, m] = np.where(good[:, None], s.reshape(many, -1), 0.0)
        self.divided[:, m] = np.where(good[:, None], q.reshape(many, -1), 0.0)
        self.scale = np.where(good, sy / np.where(yq > 0, yq, 1.0), self.scale)
        self.steps_v[:, :m], self.divided_v[:, :m] = steps_v, divided_v
        self.steps_v[:, m], self.divided_v[:, m] = (
            np.matmul(x[:, m : m + 1], v)[:, 0, 0] for x in (self.step, self.divided)
        )
        self.count, self.plain = m + 1, plain
        for which in np.flatnonzero(changed):
            self._forget(int(which))

    def _forget(self, problem: int) -> None:
        for numbers in (self.step, self.divided, self.steps_v, self.divided_v, self.divided_y, self.steps_y):
            numbers[problem] = 0.0
        self.steps_y[problem] = np.eye(MEMORY)
        self.scale[problem] = 1.0
