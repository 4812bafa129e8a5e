"""The few penalties worth a logistic fit, from exact leave-one-out of the squared loss over a wide grid.

Near W = 0 both probes shrink alike: with G = Σ s_i x_i x_iᵀ and C = Σ s_i x_i(e_{y_i} − 1/K)ᵀ,

    squared   W = (G + λ_sq I)⁻¹ C                  log, D_i = diag p_i − p_i p_iᵀ = I/K − 11ᵀ/K²:
    log       W = (G/K + λ I)⁻¹ C = K·(G + Kλ I)⁻¹ C,      so λ = λ_sq/K.

Away from 0 the curvature 1/K falls to the mean of (Σ_c p_ic(1 − p_ic))/(K − 1) over rows, and p is about the score of
the ridge probe, whose training loss T = mean ‖z_i − e_y‖² stands for the mean of Σ_c p_ic(1 − p_ic), calibrated p:

    λ = λ_sq·T/(K − 1)                              again λ_sq/K where nothing is learnt, T = 1 − 1/K.

Of 31 cases 29 lie within .55 decades of the penalty of least held-out log loss, all within 1.1, and λ_sq/K only within
1.25 (docs/decisions/2026-11-25-leave-one-out.md). Leave-one-out of the logistic probe then decides among `STEPS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from limen.adapt.ball import Rows
from limen.adapt.feature_map import Matrix
from limen.adapt.penalised import WeightedRows
from limen.adapt.probe_path import checked_rows
from limen.adapt.probe_rows import Intercept
from limen.adapt.ridge import ridge_grid

GRID = 10.0 ** np.arange(-9, 1.01, 0.25)
"""Ridge penalties in units of the mean square Σ s_i ‖x_i‖² of the features."""
STEPS = 10.0 ** np.array([1.6, 0.8, 0.4, 0.0, -0.4, -0.8, -1.6])
"""Logistic penalties in units of the mapped one: five around it and two ends."""
LEAST_CURVATURE = 1e-3
"""Of T: rows fitted perfectly leave no curvature to read."""
CONSTANT = 10.0
"""Size of the constant, in root mean squares of the features: so large that its weight, which takes up the class shares
(targets are not centred by 1/K), costs next to nothing."""


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Logistic penalties, strongest first, and where they come from."""

    penalties: Matrix
    ridge_penalty: float
    """λ_sq of least leave-one-out squared loss."""
    ridge_training_loss: float
    """T there."""
    at_edge: bool
    """Whether λ_sq is an end of the grid: nothing to learn, or no noise."""


def choose_penalties(
    X: ArrayLike, y: ArrayLike, *, intercept: Intercept = "penalized", sample_weight: ArrayLike | None = None
) -> Shortlist:
    """Seven penalties around the one that leave-one-out of the squared loss points to; `leave_one_out` decides there.

    One eigendecomposition and one pass for 41 ridge penalties; the grid moves with the scale of the features.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 200)
    >>> X = rng.normal(size=(200, 5)) + y[:, None]
    >>> one, large = choose_penalties(X, y, intercept="free"), choose_penalties(10 * X, y, intercept="free")
    >>> bool(np.allclose(large.penalties, 100 * one.penalties)), len(one.penalties)
    (True, 7)

    Raises BadInput (a LimenError) for rows, labels, weights and an intercept that `limen.probe_path` refuses.
    """
    return shortlist(checked_rows(X, y, sample_weight, intercept)[0], intercept)


def shortlist(rows: WeightedRows, intercept: Intercept) -> Shortlist:
    """The same for rows that are checked."""
    x = np.asarray(rows.features)
    centre = (rows.shares @ x).astype(x.dtype) if intercept == "free" else np.zeros(x.shape[1], dtype=x.dtype)
    square = float(rows.shares @ np.einsum("ij,ij->i", x - centre, x - centre))
    square = square if square > 0 else 1.0
    total = square + (intercept == "penalized")
    features = np.column_stack([x - centre, np.full(len(x), CONSTANT * total**0.5, dtype=x.dtype)])
    table = ridge_grid(Rows(features, rows.labels, rows.classes, "squared"), [len(x)], total * GRID, rows.shares)
    best = int(table.leave_one_out_loss[0].argmin())
    training = float(table.training_loss[0, best])
    mapped = float(table.penalties[best]) * max(training, LEAST_CURVATURE) / (rows.classes - 1)
    return Shortlist(mapped * STEPS, float(table.penalties[best]), training, best in (0, len(GRID) - 1))
