"""Scores of a logistic probe at rows that were really left out: each row's own refit, by Newton steps in lockstep.

For row i the minimiser of F − s_i ℓ_i (`limen.adapt.probe_rows`): every other term and the absolute penalty stay. Steps
solve H·step = −∇ by conjugate gradients, H the Hessian at the present adapters (without row i), divided by the class
blocks of the fit on all rows (`limen.adapt.curvature`). Gradients and losses are float64, products with H are float32
where its condition lets them.

A refit ends where the Newton decrement δ² = ∇ᵀH⁻¹∇ is at most `DECREMENT`/n: with x_iᵀ H⁻¹ x_i of order n, its score is
then within about √DECREMENT = .001 of the end, and one more step was taken from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.adapt.curvature import Curvature, class_blocks, scaled_gram
from limen.adapt.feature_map import Matrix
from limen.adapt.passes import Passes
from limen.adapt.probe_rows import ProbeRows
from limen.records.task import Integers

DECREMENT = 1e-6
NEWTON_STEPS = 25
CONJUGATE_STEPS = 200
SOLVED = 1e-3
"""Squared residual of a Newton step in the norm of the blocks, relative to its start."""
ARMIJO = 1e-4
HALVINGS = 40
MOST_PROBABILITIES = 1 << 25
"""Probabilities of all problems of one lockstep: 128 MB."""

SINGLE_PRECISION_CONDITION = 1e5
"""Condition of the Hessian up to which products with it are float32."""
BLOCKS_CONDITION = 1e8
"""Condition beyond which the float32 blocks are no help, and the scaled Gram matrix is."""


@dataclass(frozen=True, slots=True)
class Refits:
    """Adapters [B, K, r], and √(n·δ²) of each before its last step: how unsettled it can still be [B]."""

    weights: Matrix
    unsettled: Matrix


def steering(rows: ProbeRows, weights: Matrix, penalty: float) -> Curvature:
    """Class blocks at a fit [K, r]; the scaled Gram matrix where float32 cannot hold them."""
    wide = _condition(rows, penalty) > BLOCKS_CONDITION
    precision = np.float64 if wide else np.float32
    passes = Passes(rows.coordinates, rows.labels, rows.classes, rows.shares[None], precision)
    spread = passes.spread(weights)
    if wide:
        return scaled_gram(rows.values, spread.sum(axis=1, dtype=np.float64), penalty)
    return class_blocks(passes, rows.values, spread, penalty)


def _condition(rows: ProbeRows, penalty: float) -> float:
    """No curvature p(1 − p) is above ¼ of a mean square."""
    return rows.largest / (4 * penalty)


def settle(rows: ProbeRows, weights: Matrix, penalty: float, blocks: Curvature) -> Refits:
    """The minimiser on all rows [1, K, r] from a fit near it [K, r]: what approximate leave-one-out presumes.

    Two rows x = ±1 of opposite labels, λ = 4/(1 + √e): weights (¼, −¼).

    >>> from limen.adapt.probe_rows import WeightedRows, probe_rows
    >>> rows = probe_rows(WeightedRows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, np.full(2, 0.5)), "penalized")
    >>> penalty, zero = 4 / (1 + np.exp(0.5)), np.zeros((2, 2))
    >>> fit = settle(rows, zero, penalty, steering(rows, zero, penalty)).weights[0]
    >>> (rows.coordinates @ fit.T).round(6).tolist()
    [[0.25, -0.25], [-0.25, 0.25]]
    """
    return _newton(_Problems(rows, penalty, np.array([-1])), weights[None], blocks)


def refits(rows: ProbeRows, weights: Matrix, penalty: float, blocks: Curvature, which: Integers) -> Refits:
    """A refit without each of the rows `which` [B], all from the minimiser on all rows `weights` [K, r]."""
    size = max(1, MOST_PROBABILITIES // (len(rows) * rows.classes))
    parts = [which[start : start + size] for start in range(0, len(which), size)]
    found = [_newton(_Problems(rows, penalty, part), np.tile(weights, (len(part), 1, 1)), blocks) for part in parts]
    return Refits(np.concatenate([f.weights for f in found]), np.concatenate([f.unsettled for f in found]))


class _Problems:
    """F − s_i ℓ_i for each row i of `out` (−1: F itself), with products of its Hessian at one set of adapters."""

    def __init__(self, rows: ProbeRows, penalty: float, out: Integers) -> None:
        self.ridge = penalty * rows.on
        shares = np.tile(rows.shares, (len(out), 1))
        left = np.flatnonzero(out >= 0)
        shares[left, out[left]] = 0.0
        self.passes = Passes(rows.coordinates, rows.labels, rows.classes, shares)
        single = _condition(rows, penalty) <= SINGLE_PRECISION_CONDITION
        self.precision: type[np.floating] = np.float32 if single else np.float64
        self.u: NDArray[np.floating] = rows.coordinates.astype(self.precision)
        self.shares: NDArray[np.floating] = shares.astype(self.precision)
        self.size = max(64, int(200_000 // (rows.classes * len(out))))
        self.p: list[NDArray[np.floating]] = []

    def __call__(self, weights: Matrix, which: Integers) -> tuple[Matrix, Matrix]:
        """Objectives [A] and gradients [A, K, r]."""
        value, gradient = self.passes(weights, which)
        return value + (self.ridge * weights**2).sum(axis=(1, 2)) / 2, gradient + self.ridge * weights

    def stand(self, weights: Matrix) -> None:
        """Take the Hessian at these adapters [A, K, r]."""
        many, classes, r = weights.shape
        flat = weights.reshape(-1, r).astype(self.precision)
        self.p = []
        for start in range(0, len(self.u), self.size):
            p: NDArray[np.floating] = (flat @ self.u[start : start + self.size].T).reshape(many, classes, -1)
            p -= p.max(axis=1, keepdims=True)
            np.exp(p, out=p)
            p /= p.sum(axis=1, keepdims=True)
            self.p.append(p)

    def hessian(self, vectors: Matrix, which: Integers) -> Matrix:
        """H·v of every problem: [A, K, r] → [A, K, r]."""
        many, classes, r = vectors.shape
        scale = np.maximum(np.abs(vectors).max(axis=(1, 2), keepdims=True), 1e-300)
        flat = (vectors / scale).reshape(-1, r).astype(self.precision)
        total = np.zeros((many * classes, r))
        for k, p in enumerate(self.p):
            part = slice(k * self.size, (k + 1) * self.size)
            t = (flat @ self.u[part].T).reshape(many, classes, -1)
            t -= np.einsum("akn,akn->an", p, t)[:, None]
            t *= p
            t *= self.shares[which, None, part]
            total += t.reshape(many * classes, -1) @ self.u[part]
        product: Matrix = total.reshape(vectors.shape) * scale + self.ridge * vectors
        return product


def _newton(problems: _Problems, weights: Matrix, blocks: Curvature) -> Refits:
    weights = weights.copy()
    target = DECREMENT / len(problems.u)
    unsettled, live = np.full(len(weights), np.inf), np.arange(len(weights))
    value, gradient = problems(weights, live)
    for _ in range(NEWTON_STEPS):
        problems.stand(weights[live])
        step = _conjugate(problems, gradient, blocks, live)
        slope = (step * gradient).sum(axis=(1, 2))
        unsettled[live] = np.sqrt(np.maximum(-slope, 0.0) * len(problems.u))
        unsettled[live[~step.any(axis=(1, 2)) & gradient.any(axis=(1, 2))]] = np.inf
        moved, value, gradient, fell = _search(problems, (weights[live], value, step, slope), live)
        weights[live] = moved
        keep = (-slope > target) & fell
        live, value, gradient = live[keep], value[keep], gradient[keep]
        if not len(live):
            break
    return Refits(weights, unsettled)


def _search(
    problems: _Problems, here: tuple[Matrix, Matrix, Matrix, Matrix], live: Integers
) -> tuple[Matrix, Matrix, Matrix, NDArray[np.bool_]]:
    """Newton's steps, halved until each objective falls; a problem whose objective cannot fall stays (rounding)."""
    weights, value, step, slope = here
    length = np.ones(len(live))
    noise = 1e-15 * np.maximum(np.abs(value), 1e-3)
    for _ in range(HALVINGS):
        moved = weights + length[:, None, None] * step
        new, gradient = problems(moved, live)
        high = new > value + ARMIJO * length * slope + noise
        if not high.any():
            return moved, new, gradient, ~high
        length[high] /= 2
    moved[high], new[high] = weights[high], value[high]
    return moved, new, gradient, ~high


def _conjugate(problems: _Problems, gradient: Matrix, blocks: Curvature, live: Integers) -> Matrix:
    """−H⁻¹∇ by conjugate gradients on top of the blocks; a problem ends where rounding hides its curvature."""
    step, residual = np.zeros_like(gradient), -gradient
    divided = blocks.solve(residual)
    direction, size = divided.copy(), (residual * divided).sum(axis=(1, 2))
    first = np.maximum(size, 1e-300)
    for _ in range(CONJUGATE_STEPS):
        turned = problems.hessian(direction, live)
        curved = (direction * turned).sum(axis=(1, 2))
        seen = curved > 1e-300
        length = np.divide(size, curved, out=np.zeros_like(size), where=seen)
        step += length[:, None, None] * direction
        residual -= length[:, None, None] * turned
        divided = blocks.solve(residual)
        new = (residual * divided).sum(axis=(1, 2))
        if ((new <= SOLVED * first) | ~seen).all():
            break
        direction = divided + (new / np.maximum(size, 1e-300))[:, None, None] * direction
        direction[~seen] = 0.0
        size = new
    return step
