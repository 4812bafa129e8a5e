"""Training and approximate leave-one-out loss of every row at a minimum over the ball ‖W‖_F ≤ B: the two ends of

    M = mean of ½(ℓ_i + ℓ̃_i),      ℓ̃_i the loss of row i at z̃_i (`limen.adapt.approximate_left_out`).

With g_i = ∇ℓ_i, J = Cov g_i and N the inverse Hessian on the tangent of the sphere at W (its multiplier λ as penalty),
E mean ℓ_i = L* − tr(NJ)/(2n) + o(1/n) and E mean ℓ̃_i = L* + tr(NJ)/(2n) + o(1/n): M has no bias of order 1/n.
Inside the ball λ = 0 and N = H⁻¹. Not regular where the constraint is only just active, nor where W nears its rows.

This is the midpoint without folds: one fit in place of six. Beside five folds: docs/decisions/2026-11-25-leave-one-out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limen.adapt.approximate_left_out import approximate_left_out
from limen.adapt.ball import BallFit, Rows
from limen.adapt.feature_map import Matrix
from limen.adapt.log_ball import gram_basis
from limen.adapt.losses import per_example_loss, residuals
from limen.adapt.probe_rows import ProbeRows

BINDING = 1e-6
"""‖W‖ beyond (1 − BINDING)·B is on the sphere, if the loss still falls outwards."""


@dataclass(frozen=True, slots=True)
class LeftOutMidpoint:
    """Losses per row at the minimum [n], multiplier λ of the ball."""

    train_loss: Matrix
    left_out_loss: Matrix
    multiplier: float

    @property
    def rows(self) -> Matrix:
        """½(ℓ_i + ℓ̃_i) [n]: their mean is M, their sd over √n its error."""
        middle: Matrix = (self.train_loss + self.left_out_loss) / 2
        return middle


def left_out_midpoint(rows: Rows, fit: BallFit) -> LeftOutMidpoint:
    """At a fit of the log loss with a small gap: what the fit lacks to the minimum goes into every row.

    A constant alone, two labels each twice: W = 0, H = ½ on the contrast, A = ½ and D = ½ give z̃ = z + (2/3)(p − e_y):

    >>> rows = Rows(np.ones((4, 1)), np.array([0, 1, 0, 1]), 2)
    >>> from limen.adapt.ball import minimise
    >>> middle = left_out_midpoint(rows, minimise(rows, 2.0, tolerance=1e-12))
    >>> bool(np.allclose(middle.left_out_loss, np.log1p(np.exp(2 / 3)))), middle.multiplier
    (True, 0.0)

    Raises ValueError for another loss, LinAlgError inside the ball where the rows determine no minimum (separable, or
    fewer than unknowns).
    """
    if rows.loss != "log":
        raise ValueError(f"loss: expected log, got {rows.loss}; the squared loss has a closed form (limen.adapt.ridge)")
    scores = rows.features @ fit.weights
    train = per_example_loss(scores, rows.labels, "log")
    gradient = rows.features.T @ residuals(scores, rows.labels, "log") / len(rows)
    along = float((fit.weights * gradient).sum())
    on_sphere = np.linalg.norm(fit.weights) >= (1 - BINDING) * fit.radius and along < 0
    multiplier = -along / fit.radius**2 if on_sphere else 0.0
    basis = gram_basis(rows.features)
    shares, r = np.full(len(rows), 1 / len(rows)), len(basis.values)
    turned = rows.features @ basis.directions
    inner = ProbeRows(turned, rows.labels, rows.classes, shares, np.ones(r), basis.values, basis.directions)
    weights = (basis.directions.T @ fit.weights).T
    out = approximate_left_out(inner, weights - weights.mean(axis=0), multiplier, sphere=bool(on_sphere))
    return LeftOutMidpoint(train, per_example_loss(out, rows.labels, "log"), multiplier)
