"""The product of balls {W : ‖W_c‖ ≤ r for every class c}: a smaller loss range for nearly the same adapters.

    range        0 ≤ ℓ ≤ ln(1 + (K − 1)·exp(2·r·R)),  attained: z_y = −rR, every other score rR;  R = sup ‖φ‖
    certificate  min L̂ ≥ L̂(W) − Σ_c [⟨W_c, ∇_c L̂(W)⟩ + r·‖∇_c L̂(W)‖]          any W; every term ≥ 0 where ‖W_c‖ ≤ r

The certificate is that of `limen.adapt.ball`, class by class: by convexity L̂(V) ≥ L̂(W) + ⟨V − W, ∇L̂(W)⟩, and over the
product ⟨V, ∇L̂⟩ ≥ −r Σ_c ‖∇_c L̂‖. It is tight at the minimiser.

Against the ball ‖W‖_F ≤ B, whose range has √2·B in place of 2·r: the product is inside it where r ≤ B/√K, and has the
smaller range where r < B/√2. So at r = B/√K the exponent is √(K/2) times smaller, and the price b·ln(1/δ)/n of the
certified side nearly as much; for two classes nothing is gained. What is given up is adapters that lend the norm of one
class to another (docs/decisions/2026-11-25-row-ball.md has both sides on real data).

Solved by L-BFGS in v with W_c = r·v_c/‖v_c‖, on the spheres; a class with ⟨W_c, ∇_c L̂⟩ > 0 there would rather be inside
its ball and has W_c = r·v_c/max(1, ‖v_c‖) in the next round. Log loss only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from limen.adapt.ball import Rows, minimise
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import dual_per_example, per_example_loss, residuals

STEPS = 2000
MEMORY = 20
ROUNDS = 4
INWARDS = 0.99
"""Where a class that leaves its sphere begins."""


@dataclass(frozen=True, slots=True)
class RowBallFit:
    """An adapter with ‖W_c‖ ≤ r for every class, and the proof of its distance from the best one."""

    weights: Matrix
    """[p, K]"""
    radius_row: float
    loss: float
    gap: float
    """Σ_c [⟨W_c, ∇_c⟩ + r·‖∇_c‖]: no adapter of the class is better by more."""
    minimum: float
    """Certified lower end of min L̂ over the class, from the dual form, as `BallFit.minimum`."""


def row_loss_range(classes: int, radius_row: float, norm_bound: float) -> float:
    """Largest log loss of the class.

    >>> round(row_loss_range(3, 0.0, 1.0) / math.log(3), 12)
    1.0
    """
    return float(np.logaddexp(0.0, math.log(classes - 1) + 2 * radius_row * norm_bound))


def certify_rows(rows: Rows, weights: Matrix, radius_row: float) -> RowBallFit:
    """The certificate at any adapter [p, K], whoever found it; raises ValueError for another loss than log.

    The zero adapter on two classes, one feature of size 1 and opposite labels (gradient (−½, ½)), radius 1:

    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2)
    >>> fit = certify_rows(rows, np.zeros((1, 2)), 1.0)
    >>> bool(np.isclose(fit.minimum, np.log(2) - 1)), bool(np.isclose(fit.gap, 1.0))
    (True, True)
    """
    if rows.loss != "log":
        raise ValueError(f"loss: expected log, got {rows.loss}")
    scores = rows.features @ weights
    loss = float(per_example_loss(scores, rows.labels, "log").mean())
    dual = float(dual_per_example(scores, "log", rows.labels).mean())
    gradient = rows.features.T @ residuals(scores, rows.labels, "log") / len(rows)
    sizes = np.linalg.norm(gradient, axis=0)
    gap = float((weights * gradient).sum() + radius_row * sizes.sum())
    return RowBallFit(weights, radius_row, loss, gap, dual - radius_row * float(sizes.sum()))


def minimise_rows(rows: Rows, radius_row: float, start: Matrix | None = None, tolerance: float = 1e-4) -> RowBallFit:
    """An adapter whose loss is near the least of the class, with its certificate; `start` [p, K] as a direction.

    It stops where the certified gap is at most `tolerance` or nothing helps any more; `gap` says which.

    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2)
    >>> fit = minimise_rows(rows, 2.0)  # best: w = ±2, margin 4
    >>> bool(np.isclose(fit.loss, np.log1p(np.exp(-4))))
    True

    Raises ValueError for a radius that is not positive and finite, and for another loss than log.
    """
    if not 0 < radius_row < np.inf:
        raise ValueError(f"radius_row must be positive and finite, got {radius_row}")
    if rows.loss != "log":
        raise ValueError(f"loss: expected log, got {rows.loss}")
    if start is None:
        start = minimise(rows, radius_row * math.sqrt(rows.classes), tolerance=1e-3).weights
    directions = start / np.maximum(np.linalg.norm(start, axis=0), 1e-300)
    inside = np.zeros(rows.classes, dtype=bool)
    best = certify_rows(rows, radius_row * directions, radius_row)
    for _ in range(ROUNDS):
        directions = _descend(rows, directions, (radius_row, tolerance), inside)
        fit = certify_rows(rows, radius_row * _within(directions, inside), radius_row)
        best = fit if fit.gap < best.gap else best
        outwards = _pull(rows, fit) > 0
        if best.gap <= tolerance or not (outwards & ~inside).any():
            break
        directions = _within(directions, inside)
        inside |= outwards
        directions[:, inside] *= INWARDS
    return best


def _descend(rows: Rows, directions: Matrix, asked: tuple[float, float], inside: NDArray[np.bool_]) -> Matrix:
    """L-BFGS in v [p, K] from `directions`, until the gap is at most the tolerance; `asked` = (r, tolerance)."""
    radius_row, tolerance = asked
    shape = directions.shape

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        v = flat.reshape(shape)
        unit = _within(v, inside)
        scores = rows.features @ (radius_row * unit)
        value = float(per_example_loss(scores, rows.labels, "log").mean())
        gradient = rows.features.T @ residuals(scores, rows.labels, "log") / len(rows)
        lengths = np.linalg.norm(v, axis=0)
        free = inside & (lengths <= 1)
        tangent = np.where(free, gradient, (gradient - unit * (unit * gradient).sum(axis=0)) / lengths)
        return value, radius_row * tangent.ravel()

    def enough(flat: Matrix) -> None:
        if certify_rows(rows, radius_row * _within(flat.reshape(shape), inside), radius_row).gap <= tolerance:
            raise StopIteration

    options = {"maxiter": STEPS, "maxcor": MEMORY, "ftol": 1e-13, "gtol": 1e-10}
    found = scipy.optimize.minimize(
        loss, directions.ravel(), jac=True, method="L-BFGS-B", callback=enough, options=options
    )
    v: Matrix = found.x.reshape(shape)
    return v


def _within(v: Matrix, inside: NDArray[np.bool_]) -> Matrix:
    """v_c/‖v_c‖, or v_c/max(1, ‖v_c‖) of classes that may be inside their ball."""
    lengths = np.linalg.norm(v, axis=0)
    unit: Matrix = v / np.where(inside, np.maximum(lengths, 1.0), np.maximum(lengths, 1e-300))
    return unit


def _pull(rows: Rows, fit: RowBallFit) -> Matrix:
    """⟨W_c, ∇_c L̂⟩ of every class: above 0 where a shorter W_c would be better."""
    slope = residuals(rows.features @ fit.weights, rows.labels, "log")
    return np.asarray((fit.weights * (rows.features.T @ slope / len(rows))).sum(axis=0))
