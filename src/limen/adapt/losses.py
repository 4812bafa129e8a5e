"""The two losses of a linear adapter with scores z = Wᵀφ(x), W ∈ ℝ^{p×K}, and their ranges on the ball ‖W‖_F ≤ B.

log      ℓ(z, y) = ln Σ_c exp(z_c) − z_y          0 ≤ ℓ ≤ ln(1 + (K − 1)·exp(√2·B·R))
squared  ℓ(z, y) = ‖z − e_y‖²                     0 ≤ ℓ ≤ (1 + B·R)²

with R = sup ‖φ(x)‖. Ranges: |z_c − z_y| ≤ ‖w_c − w_y‖·R ≤ √2·B·R, and ‖Wᵀφ‖ ≤ B·R.
Both are in nats (log) or squared units of the one-hot target, as means over rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.records.task import Integers, Loss


def per_example_loss(scores: Matrix, labels: Integers, loss: Loss) -> Matrix:
    """ℓ of every row: scores [n, K], labels [n] → [n].

    >>> per_example_loss(np.zeros((1, 4)), np.array([2]), "log") / np.log(4)
    array([1.])
    >>> per_example_loss(np.zeros((1, 4)), np.array([2]), "squared")
    array([1.])
    """
    rows = np.arange(len(labels))
    if loss == "log":
        top = scores.max(axis=1)
        lse: Matrix = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        return lse - scores[rows, labels]
    total: Matrix = (scores**2).sum(axis=1) - 2 * scores[rows, labels] + 1
    return total


def loss_range(loss: Loss, classes: int, radius: float, norm_bound: float) -> float:
    """Largest possible loss on the ball.

    >>> round(loss_range("log", 2, 0.0, 1.0) / math.log(2), 12)
    1.0
    >>> loss_range("squared", 2, 1.0, 2.0)
    9.0
    """
    if loss == "log":
        return float(np.logaddexp(0.0, math.log(classes - 1) + math.sqrt(2) * radius * norm_bound))
    return (1 + radius * norm_bound) ** 2


def one_hot(labels: Integers, classes: int) -> Matrix:
    """e_y of every row: [n] → [n, K]."""
    encoded = np.zeros((len(labels), classes))
    encoded[np.arange(len(labels)), labels] = 1.0
    return encoded


def residuals(scores: Matrix, labels: Integers, loss: Loss) -> Matrix:
    """∂ℓ/∂z of every row: p − e_y (log), 2(z − e_y) (squared). Overwrites `scores` and returns it."""
    rows = np.arange(len(labels))
    if loss == "log":
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        scores[rows, labels] -= 1
        return scores
    scores[rows, labels] -= 1
    scores *= 2
    return scores


def dual_per_example(scores: Matrix, loss: Loss, labels: Integers) -> Matrix:
    """ℓ(z_i, y_i) − ⟨∂ℓ/∂z_i, z_i⟩ of every row: the part of the certificate that does not depend on the ball.

    For the log loss this is the entropy H(p_i); it is computed that way, apart from `per_example_loss`.
    """
    if loss == "log":
        shifted = scores - scores.max(axis=1, keepdims=True)
        weights = np.exp(shifted)
        total = weights.sum(axis=1)
        entropy: Matrix = np.log(total) - (weights * shifted).sum(axis=1) / total
        return entropy
    dual: Matrix = 1 - (scores**2).sum(axis=1)
    return dual


def predictions(scores: NDArray[np.float64]) -> Integers:
    """Label with the largest score, the lowest one among ties."""
    best: Integers = scores.argmax(axis=1).astype(np.int64)
    return best
