"""Minimum of a convex loss of a linear adapter over the ball ‖W‖_F ≤ B, with a proof of how close it is.

Certificate (any convex L̂, any W, docs/statements/certificate.md; by convexity and Cauchy-Schwarz):

    min_{‖V‖_F ≤ B} L̂(V) ≥ L̂(W) − gap(W),      gap(W) = ⟨W, ∇L̂(W)⟩ + B·‖∇L̂(W)‖_F ≥ 0 for ‖W‖_F ≤ B.

It is tight at the minimiser, where ∇L̂ = −λW with λ ≥ 0 and ‖W‖ = B, or ∇L̂ = 0. Evaluated in float64 over all rows in
the original coordinates, whatever the solver did.

Log loss: quasi-Newton steps on the sphere, divided by the class blocks of the Hessian (`log_ball`, `quasi_newton`).
Squared loss: closed form (`squared_ball`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.log_ball import SINGLE_PRECISION_TOLERANCE, Sample, Steering, gram_basis, solve, steer
from limen.adapt.losses import dual_per_example, per_example_loss, residuals
from limen.adapt.passes import Passes
from limen.adapt.quasi_newton import evaluate
from limen.adapt.squared_ball import squared_minimum
from limen.records.task import Integers, Loss

UNSEEN = 1 / 30
"""Share of its gap on a subset that a start which has seen more is taken down to."""
CLOSE_FIT = 10.0
"""Loss, in tolerances, below which a start that has seen the rows left out would be returned unchanged."""
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
    return minimise_near(rows, radius, start, tolerance)[0]


def minimise_near(
    rows: Rows, radius: float, start: Matrix | None, tolerance: float, near: Steering | None = None
) -> tuple[BallFit, Steering | None]:
    """`minimise`, steered by a similar fit (same features, similar labels and radius), and what it leaves to others."""
    if not 0 < radius < np.inf:
        raise ValueError(f"radius must be positive and finite, got {radius}")
    if rows.loss == "squared":
        weights = squared_minimum(rows.features, rows.labels, rows.classes, radius)
        return certify(rows, weights, radius, products=1, tolerance=tolerance), None
    sample = Sample(rows.features, rows.labels, rows.classes)
    found = solve(sample, np.array([radius]), None if start is None else start.T[None], tolerance, near)
    weights = np.ascontiguousarray(found.weights[0].T)
    return certify(rows, weights, radius, found.passes, tolerance), found.steering


def coordinates(rows: Rows) -> Steering | None:
    """Common coordinates for fits on these rows and on parts of them; None for the squared loss (closed form)."""
    return Steering(gram_basis(rows.features)) if rows.loss == "log" else None


def steering_at(rows: Rows, fit: BallFit, near: Steering | None = None) -> Steering | None:
    """What the fit leaves for similar ones: on some of its rows, or on other rows with similar labels and radius."""
    if rows.loss == "squared":
        return None
    return steer(Sample(rows.features, rows.labels, rows.classes), fit.weights.T, fit.radius, near)


@dataclass(frozen=True, slots=True)
class SubsetFits:
    """Adapters fitted on subsets of the same rows: weights [B, p, K], losses on their own rows [B], gaps [B].

    Losses and gaps are those of the solver (float32 on large problems): for adapters that are scored on rows left out,
    not for proofs.
    """

    weights: Matrix
    losses: Matrix
    gaps: Matrix
    products: int
    """Passes over the rows that all of them took."""


def minimise_subsets(
    rows: Rows,
    subsets: NDArray[np.bool_],
    radius: float,
    start: Matrix | None,
    tolerance: float,
    near: Steering | None = None,
) -> SubsetFits:
    """Fits in lockstep on each of `subsets` [B, n] of the rows; `start` [B, p, K] or None.

    A start may have seen the rows left out. What it knows of them is what its gap on the subset measures, so the fit
    goes on to a small share of that gap, whatever `tolerance` allows; where float32 cannot tell it, it starts cold.
    """
    if rows.loss == "squared":
        fits = [minimise(rows.take(np.flatnonzero(kept)), radius) for kept in subsets]
        weights = np.stack([fit.weights for fit in fits])
        return SubsetFits(weights, np.array([f.loss for f in fits]), np.array([f.gap for f in fits]), len(fits))
    sample = Sample(rows.features, rows.labels, rows.classes, subsets / subsets.sum(axis=1, keepdims=True))
    radii, begin = np.full(len(subsets), radius), None if start is None else start.transpose(0, 2, 1)
    if begin is not None:
        passes = Passes(rows.features, rows.labels, rows.classes, sample.shares, np.float32)
        known = float(evaluate(passes, radii, begin, np.arange(len(subsets))).gap.min())
        if UNSEEN * known < SINGLE_PRECISION_TOLERANCE:
            begin, tolerance = None, min(tolerance, max(known / 3, SINGLE_PRECISION_TOLERANCE))
        else:
            tolerance = min(tolerance, UNSEEN * known)
    found = solve(sample, radii, begin, tolerance, near)
    weights = np.ascontiguousarray(found.weights.transpose(0, 2, 1))
    return SubsetFits(weights, found.losses, found.gaps, found.passes)


def start_from(fit: BallFit, problems: int, tolerance: float) -> Matrix | None:
    """Where fits on fewer of the rows of `fit` begin: there, or cold where that fit is too close to its rows.

    A start that has seen the rows left out would come back unchanged where its loss is of the order of the tolerance,
    and leak (docs/decisions/2026-11-22-midpoint-few-rows.md).
    """
    return np.tile(fit.weights, (problems, 1, 1)) if fit.loss > CLOSE_FIT * tolerance else None
