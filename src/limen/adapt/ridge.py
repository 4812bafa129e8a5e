"""The squared-loss probe in closed form: every penalty of a path and exact leave-one-out from one eigendecomposition.

    W_λ = argmin (1/n) Σ ‖Wᵀx_i − e_{y_i}‖² + λ‖W‖²  =  (G + λI)⁻¹ XᵀY/n,        G = XᵀX/n,
    leave-one-out score of row i:  z_i^(−i) = e_{y_i} + (z_i − e_{y_i})/(1 − h_i),  h_i = x_iᵀ(G + λI)⁻¹x_i / n.

Leave-one-out keeps the penalty's weight per row, n·λ, fixed (the standard convention; Allen's PRESS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from limen.adapt.ball import Rows
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import one_hot


@dataclass(frozen=True, slots=True)
class RidgePath:
    """One row per penalty: norms ‖W_λ‖_F, training and exact leave-one-out squared loss, leave-one-out error."""

    penalties: Matrix
    norms: Matrix
    training_loss: Matrix
    leave_one_out_loss: Matrix
    leave_one_out_error: Matrix


def ridge_path(rows: Rows, penalties: Matrix) -> RidgePath:
    """The whole path on rows of loss "squared" [n, p], penalties λ > 0.

    Two equal rows of different labels, λ → ∞: scores are 0, the loss is ‖e_y‖² = 1.

    >>> path = ridge_path(Rows(np.array([[1.0], [1.0]]), np.array([0, 1]), 2, "squared"), np.array([1e12]))
    >>> path.training_loss.round(6), path.leave_one_out_loss.round(6)
    (array([1.]), array([1.]))

    Raises ValueError for a penalty that is not positive.
    """
    if not (penalties > 0).all():
        raise ValueError(f"penalties must be positive, got {penalties.min()}")
    x, n = rows.features, len(rows)
    targets = one_hot(rows.labels, rows.classes)
    left, singular, _ = scipy.linalg.svd(x, full_matrices=False)
    values = singular**2 / n
    inner = left.T @ targets
    norms, train, loo, error = [], [], [], []
    for penalty in penalties:
        shrink = values / (values + penalty)
        scores = left @ (shrink[:, None] * inner)
        leverage = (left**2) @ shrink
        residual = scores - targets
        out = residual / (1 - leverage)[:, None]
        norms.append(float(np.sqrt(((inner * (singular / n / (values + penalty))[:, None]) ** 2).sum())))
        train.append(float((residual**2).sum(axis=1).mean()))
        loo.append(float((out**2).sum(axis=1).mean()))
        error.append(float(((out + targets).argmax(axis=1) != rows.labels).mean()))
    return RidgePath(penalties, np.array(norms), np.array(train), np.array(loo), np.array(error))
