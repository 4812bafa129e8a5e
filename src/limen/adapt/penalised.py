"""Penalised probes with a proof: F_λ(W, b) = Σ_i s_i ℓ(Wx_i + b, y_i) + λ/2·‖W‖²_F, ℓ the log loss, Σ_i s_i = 1.

With the intercept penalised, b counts in the norm like a constant feature; free, it does not. Any probabilities α_i
(with Σ_i s_i α_i = π̂, the class shares, where the intercept is free) give a lower bound, the Fenchel dual:

    min F_λ ≥ Σ_i s_i H(α_i) − ‖Σ_i s_i (e_{y_i} − α_i) x_iᵀ‖²_F/(2λ)

Intercept penalised: α_i = p_i = softmax(Wx_i + b), and the bound is F_λ(W, b) − ‖∇F_λ(W, b)‖²/(2λ) rewritten.
Intercept free: b is first set to its best value at W (`profiled`); what is left, r = Σ_i s_i p_i − π̂, is repaired:
t = max_c r_c⁺/(π̂_c + r_c), q = π̂ − ((1 − t)/t)·r, α_i = (1 − t)p_i + t·q (reference: docs/statements/certificate.md).
Everything here is float64 over all rows less their mean (b becomes b + W·mean), whatever the solver did; the bound is
lowered by what rounding may have added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.arrays.row_blocks import copied
from limen.records.task import Integers

ROUNDING = 16 * float(np.finfo(np.float64).eps)
PROFILE_STEPS = 12
"""Most Newton steps of the intercept at fixed W."""
LONGEST_SHIFT = 30.0
"""Largest Newton step of the intercept."""
HALVINGS = 30
"""Most halvings of such a step."""
PROFILED = 1e-10
"""|r_c|/π̂_c that they stop at."""
BLOCK_SCORES, BLOCK_FEATURES, LEAST_BLOCK = 40_960, 200_000, 128
"""Scores and features of one block at most, rows of one block at least."""
KEPT_FEATURES = 1 << 26
"""Features up to which all rows are kept in float64 (512 MB)."""


@dataclass(frozen=True)
class WeightedRows:
    """Features [n, d] without a constant (any float type, mapped or in memory), labels [n], classes, shares s [n]."""

    features: NDArray[np.floating]
    labels: Integers
    classes: int
    shares: Matrix

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def class_shares(self) -> Matrix:
        """π̂ [K]."""
        return np.bincount(self.labels, self.shares, self.classes).astype(np.float64)

    @cached_property
    def mean(self) -> Matrix:
        """Σ s x [d]."""
        mean = np.zeros(self.features.shape[1])
        for rows in self.blocks():
            mean += self.shares[rows] @ copied(self.features, rows, np.float64)
        return mean

    @cached_property
    def class_sums(self) -> Matrix:
        """Σ s e_y (x − mean)ᵀ [K, d]."""
        sums = np.zeros((self.classes, self.features.shape[1]))
        for rows in self.blocks():
            share = np.zeros((self.classes, len(self.labels[rows])))
            share[self.labels[rows], np.arange(share.shape[1])] = self.shares[rows]
            sums += share @ self.block(rows)
        return sums

    @cached_property
    def even(self) -> bool:
        """Whether all rows count the same."""
        return bool((self.shares == self.shares[0]).all())

    @property
    def held(self) -> bool:
        """Whether the rows are few enough to be kept in other precisions and coordinates."""
        return self.features.size <= KEPT_FEATURES

    @cached_property
    def centred(self) -> Matrix:
        """x − mean in float64, kept."""
        centred: Matrix = np.asarray(self.features, dtype=np.float64) - self.mean
        return centred

    def blocks(self) -> list[slice]:
        """Slices of rows small enough for the cache."""
        step = max(LEAST_BLOCK, min(BLOCK_SCORES // self.classes, BLOCK_FEATURES // self.features.shape[1]))
        return [slice(start, min(start + step, len(self))) for start in range(0, len(self), step)]

    def block(self, rows: slice) -> Matrix:
        """x − mean of some rows in float64: a common offset would cancel in scores and leave its rounding."""
        if self.held:
            return self.centred[rows]
        block: Matrix = copied(self.features, rows, np.float64)
        block -= self.mean
        return block


@dataclass(frozen=True, slots=True)
class PenalisedFit:
    """One fit and the proof of its distance from the best one."""

    weights: Matrix
    """[K, d]"""
    intercept: Matrix
    """[K]"""
    penalty: float
    """λ; for the ball the multiplier that the solver stood at."""
    radius: float
    """Of the ball; for a penalty ‖W‖_F of the fit."""
    loss: float
    """Σ_i s_i ℓ_i at the fit."""
    objective: float
    """What is minimised, at the fit: F_λ, or the loss over the ball."""
    minimum: float
    """Certified lower end of its minimum."""
    products: int
    """Passes over the rows that the solver took."""
    converged: bool
    """Whether `gap` reached the tolerance asked for."""

    @property
    def norm(self) -> float:
        """‖W‖_F of the weights alone."""
        return float(np.linalg.norm(self.weights))

    @property
    def gap(self) -> float:
        """objective − minimum: no adapter is better by more."""
        return self.objective - self.minimum


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for and spent: penalty λ, whether the intercept is free, tolerance of the gap, passes so far."""

    penalty: float
    free: bool = False
    tolerance: float = np.inf
    products: int = 0


def certify_penalised(rows: WeightedRows, weights: Matrix, intercept: Matrix, asked: Asked) -> PenalisedFit:
    """The certificate at any adapter (weights [K, d], intercept [K]), whoever found it.

    Two rows x = ±1 of opposite labels at W = 0, λ = 1: the gradient is (½, −½), so min F ≥ ln 2 − ¼.

    >>> rows = WeightedRows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> fit = certify_penalised(rows, np.zeros((2, 1)), np.zeros(2), Asked(1.0))
    >>> round(float(fit.objective / np.log(2)), 9), round(fit.gap, 9)
    (1.0, 0.25)
    """
    dual = _dual(rows, weights, intercept, asked.free)
    objective = dual.loss + asked.penalty / 2 * dual.norm**2
    minimum = dual.entropy - dual.slope**2 / (2 * asked.penalty)
    return _fit(weights, dual, asked, (dual.norm, objective, minimum))


def certify_ball(rows: WeightedRows, weights: Matrix, intercept: Matrix, radius: float, asked: Asked) -> PenalisedFit:
    """The same for the loss over the ball ‖W‖_F ≤ radius: min ≥ Σ_i s_i H(α_i) − radius·‖Σ_i s_i (e_{y_i} − α_i)x_iᵀ‖.

    >>> rows = WeightedRows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> fit = certify_ball(rows, np.zeros((2, 1)), np.zeros(2), 1.0, Asked(1.0))
    >>> round(fit.gap**2, 9)
    0.5
    """
    dual = _dual(rows, weights, intercept, asked.free)
    return _fit(weights, dual, asked, (radius, dual.loss, dual.entropy - radius * dual.slope))


def slope_norm(rows: WeightedRows, weights: Matrix, intercept: Matrix, free: bool) -> float:
    """‖∇ Σ s ℓ‖_F over what is penalised, a free intercept at its best.

    >>> rows = WeightedRows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> round(slope_norm(rows, np.zeros((2, 1)), np.zeros(2), True) ** 2, 9)
    0.5
    """
    return _dual(rows, weights, intercept, free).slope


@dataclass(frozen=True, slots=True)
class _Dual:
    """At one adapter: Σ s ℓ, Σ s H(α), ‖Σ s (e − α)xᵀ‖, norm of what is penalised, the intercept with its shift.

    Losses are differences of two larger numbers: `rounding` bounds what float64 leaves uncertain of them.
    """

    loss: float
    entropy: float
    slope: float
    norm: float
    intercept: Matrix
    rounding: float


def _dual(rows: WeightedRows, weights: Matrix, intercept: Matrix, free: bool) -> _Dual:
    offset = weights @ rows.mean
    scores = _scores(rows, weights, intercept + offset)
    soft = np.empty_like(scores)
    if free:
        shift, sums = profiled(rows, scores, soft)
        intercept = intercept + shift
    else:
        sums = _softmax(rows, scores, soft)
    squared = float((weights**2).sum()) + (0.0 if free else float(intercept @ intercept))
    original, moved = intercept, intercept + offset
    # relative to class 0, as the scores are; of x − mean the intercept is b + W·mean
    weights, intercept = weights - weights[0], moved - moved[0]
    moments = _moments(rows, soft)
    own = float((weights * rows.class_sums).sum() + intercept @ rows.class_shares)  # Σ s z_y
    # Σ s H(p) = Σ s ln Σ_c e^{z_c} − Σ s ⟨p, z⟩
    entropy = sums.normaliser - float((weights * moments).sum() + intercept @ sums.mean)
    slope, excess = moments - rows.class_sums, sums.mean - rows.class_shares
    if free:
        slope, entropy = _repaired(rows, slope, entropy, excess)
    else:
        slope = slope + excess[:, None] * rows.mean
    steep = float((slope**2).sum()) + (0.0 if free else float(excess @ excess))
    size = float((np.abs(weights) * np.abs(rows.class_sums)).sum() + np.abs(intercept) @ rows.class_shares)
    rounding = ROUNDING * (abs(sums.normaliser) + size + float(np.abs(offset).max()))
    return _Dual(sums.normaliser - own, entropy, steep**0.5, squared**0.5, original, rounding)


def _fit(weights: Matrix, dual: _Dual, asked: Asked, known: tuple[float, float, float]) -> PenalisedFit:
    radius, objective, minimum = known
    minimum -= dual.rounding
    converged = objective - minimum <= asked.tolerance
    return PenalisedFit(
        weights, dual.intercept, asked.penalty, radius, dual.loss, objective, minimum, asked.products, converged
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """Over all rows: Σ s ln Σ_c e^{z_c} and Σ s p [K]."""

    normaliser: float
    mean: Matrix


def profiled(rows: WeightedRows, scores: Matrix, soft: Matrix) -> tuple[Matrix, _Sums]:
    """Shift of the intercept [K] at which mean probabilities are the class shares, for scores [K, n], and sums there.

    Newton's method on Σ s_i ℓ_i in b alone, a step halved while it makes the loss rise. `soft` [K, n] is overwritten by
    the probabilities at the shift. All scores 0, class shares ¾ and ¼:

    >>> rows = WeightedRows(np.zeros((4, 1)), np.array([0, 0, 0, 1]), 2, np.full(4, 0.25))
    >>> shift, _ = profiled(rows, np.zeros((2, 4)), np.empty((2, 4)))
    >>> round(float(shift[0] - shift[1]), 9) == round(float(np.log(3)), 9)
    True
    """
    target, shift = rows.class_shares, np.zeros(rows.classes)
    sums = _softmax(rows, scores, soft)
    for _ in range(PROFILE_STEPS):
        excess = sums.mean - target
        if (np.abs(excess) <= PROFILED * target).all():
            break
        curvature = np.diag(sums.mean) - (soft * rows.shares) @ soft.T
        # singular along the constant vector, which moves no probability, and where all probabilities are 0 or 1
        floor = np.full(rows.classes, max(float(np.diagonal(curvature).max()) * 1e-12, 1e-14))
        step = np.linalg.solve(curvature + np.diag(floor) + 1.0 / rows.classes, -excess)
        step = np.clip(step - step[0], -LONGEST_SHIFT, LONGEST_SHIFT)
        moved = _softmax(rows, scores, soft, shift + step)
        for _ in range(HALVINGS):
            if moved.normaliser - sums.normaliser - float(target @ step) <= 1e-14 * max(abs(sums.normaliser), 1.0):
                break
            step = step / 2
            moved = _softmax(rows, scores, soft, shift + step)
        shift, sums = shift + step, moved
    return shift, sums


def _repaired(rows: WeightedRows, slope: Matrix, entropy: float, excess: Matrix) -> tuple[Matrix, float]:
    """Σ s (α − e)xᵀ and a lower bound of Σ s H(α) for the repaired α, from those of p.

    α = (1 − t)p + t·q is the same mixture in every row, and Σ s x = 0 for rows less their mean:
    Σ s (α − e)xᵀ = (1 − t)Σ s (p − e)xᵀ − t·Σ s e xᵀ. The entropy is concave: H(α) ≥ (1 − t)H(p) + t·H(q).
    """
    target = rows.class_shares
    t = float((np.maximum(excess, 0.0) / np.maximum(target + excess, 1e-300)).max())
    if t <= 0.0:
        return slope, entropy
    q = np.maximum(target - (1 - t) / t * excess, 0.0)
    return (1 - t) * slope - t * rows.class_sums, (1 - t) * entropy + t * float(scipy.special.entr(q).sum())


def _scores(rows: WeightedRows, weights: Matrix, intercept: Matrix) -> Matrix:
    """z_c − z_0 [K, n]: softmax sees only differences, and one product is saved."""
    scores = np.zeros((rows.classes, len(rows)))
    others = weights[1:] - weights[0]
    for block in rows.blocks():
        scores[1:, block] = others @ rows.block(block).T
    scores[1:] += (intercept[1:] - intercept[0])[:, None]
    return scores


def _softmax(rows: WeightedRows, scores: Matrix, soft: Matrix, shift: Matrix | None = None) -> _Sums:
    """Overwrite `soft` by the probabilities at scores + shift, block by block."""
    normaliser, mean = 0.0, np.zeros(rows.classes)
    for block in rows.blocks():
        z = scores[:, block] if shift is None else scores[:, block] + shift[:, None]
        top = z.max(axis=0)
        p = np.exp(z - top)
        total = p.sum(axis=0)
        p /= total
        soft[:, block] = p
        share = rows.shares[block]
        normaliser += float(share @ (np.log(total) + top))
        mean += p @ share
    return _Sums(normaliser, mean)


def _moments(rows: WeightedRows, soft: Matrix) -> Matrix:
    """Σ s p (x − mean)ᵀ [K, d]: all classes add up to 0."""
    total = np.zeros((rows.classes, rows.features.shape[1]))
    for block in rows.blocks():
        total[1:] += (soft[1:, block] * rows.shares[block]) @ rows.block(block)
    total[0] = -total[1:].sum(axis=0)
    return total
