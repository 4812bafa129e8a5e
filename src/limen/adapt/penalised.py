"""Penalised probes with a proof: F_λ(W, b) = Σ_i s_i ℓ(Wx_i + b, y_i) + λ/2·‖W‖²_F, ℓ the log loss, Σ_i s_i = 1.

With the intercept penalised, b counts in the norm like a constant feature; free, it does not. Any probabilities α_i
(with Σ_i s_i α_i = π̂, the class shares, where the intercept is free) give a lower bound, the Fenchel dual:

    min F_λ ≥ Σ_i s_i H(α_i) − ‖Σ_i s_i (e_{y_i} − α_i) x_iᵀ‖²_F/(2λ)

Intercept penalised: α_i = p_i = softmax(Wx_i + b), and the bound is F_λ(W, b) − ‖∇F_λ(W, b)‖²/(2λ) rewritten.
Intercept free: b is first set to its best value at W (`profiled`); what is left, r = Σ_i s_i p_i − π̂, is repaired:
t = max_c r_c⁺/(π̂_c + r_c), q = π̂ − ((1 − t)/t)·r, α_i = (1 − t)p_i + t·q (reference: docs/statements/certificate.md).
Everything here is float64 over all rows in the original coordinates, whatever the solver did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.special

from limen.adapt.feature_map import BLOCK, Matrix
from limen.records.task import Integers

PROFILE_STEPS = 8
"""Most Newton steps of the intercept at fixed W."""
PROFILED = 1e-12
"""Σ_c |r_c| that they stop at."""


@dataclass(frozen=True, slots=True)
class WeightedRows:
    """Features [n, d] without a constant (any float type, mapped or in memory), labels [n], classes, shares s [n]."""

    features: Matrix
    labels: Integers
    classes: int
    shares: Matrix

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def class_shares(self) -> Matrix:
        """π̂ [K]."""
        return np.bincount(self.labels, self.shares, self.classes).astype(np.float64)


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


@dataclass(frozen=True, slots=True)
class _Dual:
    """At one adapter: Σ s ℓ, Σ s H(α), ‖Σ s (e − α)xᵀ‖, norm of what is penalised, the intercept with its shift."""

    loss: float
    entropy: float
    slope: float
    norm: float
    intercept: Matrix


def _dual(rows: WeightedRows, weights: Matrix, intercept: Matrix, free: bool) -> _Dual:
    scores = _scores(rows, weights, intercept)
    if free:
        shift = profiled(scores, rows)
        scores += shift
        intercept = intercept + shift
    squared = float((weights**2).sum()) + (0.0 if free else float((intercept**2).sum()))
    soft: Matrix
    soft, normaliser = _softmax(scores)
    at = np.arange(len(rows))
    loss = float(rows.shares @ (normaliser - scores[at, rows.labels]))
    entropy = normaliser - np.einsum("nk,nk->n", soft, scores)
    if free:
        soft, repaired = _repair(soft, rows)
        entropy = scipy.special.entr(soft).sum(axis=1) if repaired else entropy
    soft[at, rows.labels] -= 1
    soft *= rows.shares[:, None]
    steep = float((_moments(rows, soft) ** 2).sum()) + (0.0 if free else float((soft.sum(axis=0) ** 2).sum()))
    return _Dual(loss, float(rows.shares @ entropy), steep**0.5, squared**0.5, intercept)


def _fit(weights: Matrix, dual: _Dual, asked: Asked, known: tuple[float, float, float]) -> PenalisedFit:
    radius, objective, minimum = known
    converged = objective - minimum <= asked.tolerance
    return PenalisedFit(
        weights, dual.intercept, asked.penalty, radius, dual.loss, objective, minimum, asked.products, converged
    )


def profiled(scores: Matrix, rows: WeightedRows) -> Matrix:
    """Shift of the intercept [K] that makes the mean probabilities equal the class shares, at scores [n, K].

    Newton's method on Σ s_i ℓ_i in b alone, a step halved while it makes the loss rise; all scores 0, shares (¾, ¼):

    >>> rows = WeightedRows(np.zeros((4, 1)), np.array([0, 0, 0, 1]), 2, np.full(4, 0.25))
    >>> shift = profiled(np.zeros((4, 2)), rows)
    >>> round(float(shift[0] - shift[1]), 9) == round(float(np.log(3)), 9)
    True
    """
    target, best = rows.class_shares, np.inf
    shift: Matrix = np.zeros(rows.classes)
    step: Matrix = np.zeros(rows.classes)
    for _ in range(PROFILE_STEPS):
        soft, normaliser = _softmax(scores + (shift + step))
        loss = float(rows.shares @ normaliser) - float(target @ (shift + step))
        if loss > best + 1e-14 * abs(best):
            step = step / 2
            continue
        shift, best = shift + step, loss
        mean = rows.shares @ soft
        if np.abs(mean - target).sum() <= PROFILED:
            break
        curvature = np.diag(mean) - (soft * rows.shares[:, None]).T @ soft
        # singular along the constant vector, which moves no probability
        newton = np.linalg.solve(curvature + 1.0 / rows.classes, target - mean).astype(np.float64)
        step = newton - newton.mean()
    return shift


def _softmax(scores: Matrix) -> tuple[Matrix, Matrix]:
    """Probabilities [n, K] and ln Σ_c e^{z_c} [n]."""
    top = scores.max(axis=1, keepdims=True)
    soft = np.subtract(scores, top)
    np.exp(soft, out=soft)
    total = soft.sum(axis=1, keepdims=True)
    soft /= total
    return soft, (np.log(total) + top)[:, 0]


def _repair(soft: Matrix, rows: WeightedRows) -> tuple[Matrix, bool]:
    """Probabilities [n, K] whose weighted mean is π̂."""
    target = rows.class_shares
    excess = rows.shares @ soft - target
    t = float((np.maximum(excess, 0.0) / np.maximum(target + excess, 1e-300)).max())
    if t <= 0.0:
        return soft, False
    return (1 - t) * soft + t * np.maximum(target - (1 - t) / t * excess, 0.0), True


def _scores(rows: WeightedRows, weights: Matrix, intercept: Matrix) -> Matrix:
    scores = np.empty((len(rows), rows.classes))
    turned = np.ascontiguousarray(weights.T)
    for block in _blocks(len(rows)):
        np.matmul(np.asarray(rows.features[block], dtype=np.float64), turned, out=scores[block])
    scores += intercept
    return scores


def _moments(rows: WeightedRows, residual: Matrix) -> Matrix:
    """Σ_i residual_i x_iᵀ [K, d]."""
    total = np.zeros((rows.classes, rows.features.shape[1]))
    for block in _blocks(len(rows)):
        total += residual[block].T @ np.asarray(rows.features[block], dtype=np.float64)
    return total


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
