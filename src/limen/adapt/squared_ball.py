"""Minimum of the squared loss over the ball ‖W‖_F ≤ B in closed form.

W_λ = (G + λI)⁻¹C,   G = XᵀX/n,   C = XᵀY/n,   λ ≥ 0 the root of the secular equation ‖W_λ‖_F = B, 0 if W_0 is inside.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize

from limen.adapt.feature_map import Matrix
from limen.adapt.losses import one_hot
from limen.records.task import Integers

RANK = 1e-13
"""Eigenvalues of G below this share of the largest are rounding."""


def squared_minimum(features: Matrix, labels: Integers, classes: int, radius: float) -> Matrix:
    """The minimiser [p, K] on rows [n, p].

    >>> squared_minimum(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, 10.0).tolist()
    [[0.5, -0.5]]
    """
    n, p = features.shape
    if n >= p:
        values, vectors = scipy.linalg.eigh(features.T @ features / n)
        kept = values > values[-1] * RANK
        values, vectors = values[kept], vectors[:, kept]
    else:  # the n-dimensional span of the rows holds the minimiser of least norm
        values, left = scipy.linalg.eigh(features @ features.T / n)
        kept = values > values[-1] * RANK
        values = values[kept]
        vectors = features.T @ (left[:, kept] / np.sqrt(values * n))
    target = (features @ vectors).T @ one_hot(labels, classes) / n
    power = (target**2).sum(axis=1)

    def excess(penalty: float) -> float:
        return float(np.sqrt((power / (values + penalty) ** 2).sum())) - radius

    penalty = 0.0
    if excess(0.0) > 0:
        high = float(np.sqrt(power.sum())) / radius  # ‖W_λ‖ ≤ ‖C‖/λ
        penalty = float(scipy.optimize.brentq(excess, 0.0, high, xtol=1e-300, rtol=1e-14, maxiter=500))
    solution: Matrix = vectors @ (target / (values + penalty)[:, None])
    return solution
