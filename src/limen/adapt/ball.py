"""Minimum of a convex loss of a linear adapter over the ball ‖W‖_F ≤ B, with a proof of how close it is.

Certificate (any convex L̂, any W, docs/statements/certificate.md; by convexity and Cauchy-Schwarz):

    min_{‖V‖_F ≤ B} L̂(V) ≥ L̂(W) − gap(W),      gap(W) = ⟨W, ∇L̂(W)⟩ + B·‖∇L̂(W)‖_F ≥ 0 for ‖W‖_F ≤ B.

It is tight at the minimiser, where ∇L̂ = −λW with λ ≥ 0 and ‖W‖ = B, or ∇L̂ = 0. Evaluated in float64 over all rows in
the original coordinates, whatever the solver did.

Solver (log loss): on the sphere W = B·V/‖V‖, quasi-Newton (scipy's L-BFGS-B) in the eigenbasis of the Gram matrix,
preconditioned by the diagonal curvature w_c·e_j + λ (w_c mean of p_c(1 − p_c), e_j Gram eigenvalue), refreshed between
rounds. Where the minimiser lies inside the ball (⟨W, ∇L̂⟩ > 0 on the sphere), the same without the sphere.
Solver (squared loss): W_λ in closed form, λ from the secular equation ‖W_λ‖ = B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.losses import dual_per_example, one_hot, per_example_loss, residuals
from limen.records.task import Integers, Loss

ROUNDS = 60
INNER = 25
ROUNDING = 16 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is minimised over: mapped features [n, p], labels [n], number of classes, loss."""

    features: Matrix
    labels: Integers
    classes: int
    loss: Loss = "log"

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Integers) -> Rows:
        """Some of the rows, in the given order."""
        return Rows(self.features[rows], self.labels[rows], self.classes, self.loss)


@dataclass(frozen=True, slots=True)
class BallFit:
    """An adapter in the ball and the proof of its distance from the best one."""

    weights: Matrix
    """[p, K], ‖weights‖_F ≤ radius up to rounding."""
    radius: float
    loss: float
    """L̂(W), mean of the per-example losses."""
    gap: float
    """⟨W, ∇L̂⟩ + radius·‖∇L̂‖: no adapter in the ball is better by more."""
    minimum: float
    """Certified lower end of min L̂ over the ball, from the dual form (mean of ℓ_i − ⟨∂ℓ_i, z_i⟩) − radius·‖∇L̂‖."""
    gradient_norm: float
    """‖∇L̂(W)‖_F."""
    products: int
    """Passes over the rows that the solver took."""
    converged: bool
    """Whether the gap reached the tolerance asked for."""


def certify(rows: Rows, weights: Matrix, radius: float, products: int = 0, tolerance: float = np.inf) -> BallFit:
    """The certificate at any adapter: `minimum` bounds min L̂ over the ball from below, whoever found `weights`.

    The zero adapter on two classes, one feature of size 1 and opposite labels (gradient (−½, ½)), radius 1:

    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2)
    >>> fit = certify(rows, np.zeros((1, 2)), 1.0)
    >>> bool(np.isclose(fit.minimum, np.log(2) - np.sqrt(0.5))), bool(np.isclose(fit.gap, np.sqrt(0.5)))
    (True, True)
    """
    scores = rows.features @ weights
    loss = float(per_example_loss(scores, rows.labels, rows.loss).mean())
    dual = float(dual_per_example(scores, rows.loss, rows.labels).mean())
    gradient = rows.features.T @ residuals(scores, rows.labels, rows.loss) / len(rows)
    size = float(np.linalg.norm(gradient))
    along = float((weights * gradient).sum())
    gap = along + radius * size
    if abs(gap) <= ROUNDING * (abs(along) + radius * size):
        gap = 0.0  # a difference below the rounding error of its two terms
    return BallFit(weights, radius, loss, gap, dual - radius * size, size, products, gap <= tolerance)


def minimise(rows: Rows, radius: float, start: Matrix | None = None, tolerance: float = 1e-4) -> BallFit:
    """An adapter whose empirical loss is within `tolerance` of the least on the ball, with its certificate.

    `start` [p, K] warms the solver up; the answer agrees with a cold one up to the tolerance.
    A fit that stops short of the tolerance says so in `converged` and carries its true gap: nothing is hidden.

    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2)
    >>> fit = minimise(rows, radius=2.0, tolerance=1e-9)  # best: w = ±√2 each, margin 2√2
    >>> bool(np.isclose(fit.loss, np.log1p(np.exp(-2 * np.sqrt(2)))))
    True

    Raises ValueError for a radius that is not positive and finite.
    """
    if not 0 < radius < np.inf:
        raise ValueError(f"radius must be positive and finite, got {radius}")
    basis = _Basis.of(rows)
    if rows.loss == "squared":
        weights = basis.lift(_closed_form(basis, radius))
        return certify(rows, weights, radius, products=1, tolerance=tolerance)
    inner = None if start is None else basis.vectors.T @ start
    # float32 passes cost half as much on large problems; float64 finishes what they leave undone, and certifies
    halved = tolerance >= 1e-5 and rows.features.size * rows.classes >= 1_000_000
    for precision in (np.float32, np.float64) if halved else (np.float64,):
        basis.use(precision)
        inner = _quasi_newton(basis, radius, inner, tolerance)
        fit = certify(rows, basis.lift(inner), radius, basis.products, tolerance)
        if fit.converged:
            break
    return fit


@dataclass(slots=True)
class _Basis:
    """The rows in an orthonormal basis T [p, r] of their span that diagonalises the Gram matrix: Z = X·T."""

    rows: Rows
    vectors: Matrix
    values: Matrix
    scores: NDArray[np.floating]
    products: int = 0

    @classmethod
    def of(cls, rows: Rows) -> _Basis:
        x, n = rows.features, len(rows)
        if n >= x.shape[1]:
            values, vectors = scipy.linalg.eigh(x.T @ x / n)
        else:  # the n-dimensional span of the rows holds every minimiser: nothing is lost
            values, left = scipy.linalg.eigh(x @ x.T / n)
            kept = values > values[-1] * 1e-13
            values, left = values[kept], left[:, kept]
            vectors = x.T @ (left / np.sqrt(values * n))
        return cls(rows, vectors, np.maximum(values, 0.0), x @ vectors)

    def use(self, precision: type[np.floating]) -> None:
        """Pass over the rows in this precision from now on; sums over rows that must agree stay in float64."""
        self.scores = (self.rows.features @ self.vectors).astype(precision)

    def lift(self, inner: Matrix) -> Matrix:
        lifted: Matrix = self.vectors @ inner
        return lifted

    def value_gradient(self, inner: Matrix) -> tuple[float, Matrix]:
        """L̂ and its gradient [r, K] at an adapter in the basis."""
        self.products += 1
        rows = self.rows
        scores = self.scores @ inner.astype(self.scores.dtype)
        scores -= scores.max(axis=1, keepdims=True)
        own = scores[np.arange(len(rows)), rows.labels].copy()
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        value = float((np.log(total.astype(np.float64)) - own).mean())
        scores /= total[:, None]
        scores[np.arange(len(rows)), rows.labels] -= 1
        gradient: Matrix = (self.scores.T @ scores).astype(np.float64)
        gradient /= len(rows)
        return value, gradient

    def class_curvature(self, inner: Matrix) -> Matrix:
        """Mean of p_c(1 − p_c) over the rows: [K]."""
        scores = self.scores @ inner.astype(self.scores.dtype)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        curvature: Matrix = (scores * (1 - scores)).mean(axis=0, dtype=np.float64)
        return curvature


def _quasi_newton(basis: _Basis, radius: float, start: Matrix | None, tolerance: float) -> Matrix:
    inner = np.zeros((basis.vectors.shape[1], basis.rows.classes)) if start is None else start
    if not inner.any():
        inner = -basis.value_gradient(inner)[1]
    inner = _to_sphere(inner, radius)
    best, best_gap, stalled, interior = inner, np.inf, 0, False
    for _ in range(ROUNDS):
        _, gradient = basis.value_gradient(inner)
        norm = float(np.linalg.norm(gradient))
        along = float((inner * gradient).sum())
        gap = along + radius * norm
        stalled = 0 if gap < 0.9 * best_gap else stalled + 1
        if gap < best_gap:
            best, best_gap = inner, gap
        if best_gap <= 0.5 * tolerance or stalled > 3:  # half: the certificate is evaluated again in other coordinates
            break
        multiplier = max(-along / radius**2, 1e-3 * norm / radius)
        curvature = np.maximum(basis.class_curvature(inner), 1e-7)
        precondition = 1 / np.sqrt(basis.values[:, None] * curvature + multiplier)
        # ⟨W, ∇L̂⟩ > 0 on the sphere: walking inwards lowers the loss
        interior = along > 0 or (interior and float(np.linalg.norm(inner)) < radius * (1 - 1e-9))
        inner = (_interior_round if interior else _sphere_round)(basis, inner, precondition, radius)
        if float(np.linalg.norm(inner)) > radius:
            inner = _to_sphere(inner, radius)
    return best


def _to_sphere(inner: Matrix, radius: float) -> Matrix:
    scaled: Matrix = inner * (radius / max(float(np.linalg.norm(inner)), 1e-300))
    return scaled


def _sphere_round(basis: _Basis, inner: Matrix, precondition: Matrix, radius: float) -> Matrix:
    shape = inner.shape

    def objective(flat: Matrix) -> tuple[float, Matrix]:
        raw = precondition * flat.reshape(shape)
        size = float(np.linalg.norm(raw))
        point = raw * (radius / size)
        value, gradient = basis.value_gradient(point)
        gradient -= (float((gradient * point).sum()) / radius**2) * point
        gradient *= precondition * (radius / size)
        return value, gradient.ravel()

    raw = precondition * _lbfgs(objective, (inner / precondition).ravel()).reshape(shape)
    return _to_sphere(raw, radius)


def _interior_round(basis: _Basis, inner: Matrix, precondition: Matrix, _radius: float) -> Matrix:
    shape = inner.shape

    def objective(flat: Matrix) -> tuple[float, Matrix]:
        value, gradient = basis.value_gradient(precondition * flat.reshape(shape))
        return value, (gradient * precondition).ravel()

    moved: Matrix = precondition * _lbfgs(objective, (inner / precondition).ravel()).reshape(shape)
    # adding one vector to all classes changes no score; without it the norm is least
    moved -= moved.mean(axis=1, keepdims=True)
    return moved


def _lbfgs(objective: object, start: Matrix) -> Matrix:
    options = {"maxiter": INNER, "maxcor": 20, "ftol": 0.0, "gtol": 0.0}
    found: Matrix = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    return found


def _closed_form(basis: _Basis, radius: float) -> Matrix:
    """W_λ = (G + λ)⁻¹C with G the Gram matrix, C = XᵀY/n, and λ ≥ 0 the root of ‖W_λ‖ = B (0 if W_0 is inside)."""
    target = basis.scores.T @ one_hot(basis.rows.labels, basis.rows.classes) / len(basis.rows)
    kept = basis.values > basis.values[-1] * 1e-13
    power = np.where(kept, (target**2).sum(axis=1), 0.0)
    values = np.where(kept, basis.values, 1.0)

    def excess(penalty: float) -> float:
        return float(np.sqrt((power / (values + penalty) ** 2).sum())) - radius

    penalty = 0.0
    if excess(0.0) > 0:
        high = float(np.sqrt(power.sum())) / radius  # ‖W_λ‖ ≤ ‖C‖/λ
        penalty = float(scipy.optimize.brentq(excess, 0.0, high, xtol=1e-300, rtol=1e-14, maxiter=500))
    solution: Matrix = np.where(kept, 1 / (values + penalty), 0.0)[:, None] * target
    return solution
