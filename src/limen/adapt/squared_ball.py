"""Minimum of the squared loss over the ball ‖W‖_F ≤ B in closed form.

W_λ = (G + λI)⁻¹C,   G = XᵀX/n,   C = XᵀY/n,   λ ≥ 0 the root of the secular equation ‖W_λ‖_F = B, 0 if W_0 is inside.
With G = V diag(v) Vᵀ and T = VᵀC, the loss of W_λ is 1 + Σ_j ‖T_j‖²·(v_j/(v_j + λ)² − 2/(v_j + λ)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize

from limen.adapt.feature_map import Matrix
from limen.adapt.losses import one_hot
from limen.adapt.moments import Moments, part_moments
from limen.records.task import Integers

RANK = 1e-13
"""Eigenvalues of G below this share of the largest are rounding."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """G and C of some rows in the eigenbasis of G: what the minimum at every radius follows from."""

    values: Matrix
    """v [r]."""
    vectors: Matrix
    """V [p, r]."""
    target: Matrix
    """T [r, K]."""

    def penalty(self, radius: float) -> float:
        """λ of the ball."""
        power = (self.target**2).sum(axis=1)

        def excess(penalty: float) -> float:
            return float(np.sqrt((power / (self.values + penalty) ** 2).sum())) - radius

        if excess(0.0) <= 0:
            return 0.0
        high = float(np.sqrt(power.sum())) / radius  # ‖W_λ‖ ≤ ‖C‖/λ
        return float(scipy.optimize.brentq(excess, 0.0, high, xtol=1e-300, rtol=1e-14, maxiter=500))

    def minimum(self, radius: float) -> tuple[Matrix, float]:
        """The minimiser [p, K] and its loss."""
        shrunk = self.target / (self.values + self.penalty(radius))[:, None]
        weights: Matrix = self.vectors @ shrunk
        return weights, 1 + float((shrunk * (self.values[:, None] * shrunk - 2 * self.target)).sum())


def moment_spectrum(moments: Moments) -> Spectrum:
    """The spectrum of rows from their sums, p ≤ n."""
    values, vectors = scipy.linalg.eigh(moments.square / moments.n)
    kept = values > values[-1] * RANK
    vectors = vectors[:, kept]
    return Spectrum(values[kept], vectors, vectors.T @ moments.cross / moments.n)


def row_spectrum(features: Matrix, labels: Integers, classes: int) -> Spectrum:
    """The spectrum of rows [n, p]: from their moments, or for n < p from their inner products."""
    n, p = features.shape
    if n >= p:
        return moment_spectrum(part_moments(features, labels, classes, np.zeros(n, dtype=np.int64), 1)[0])
    # the n-dimensional span of the rows holds the minimiser of least norm
    values, left = scipy.linalg.eigh(features @ features.T / n)
    kept = values > values[-1] * RANK
    values = values[kept]
    vectors = features.T @ (left[:, kept] / np.sqrt(values * n))
    return Spectrum(values, vectors, (features @ vectors).T @ one_hot(labels, classes) / n)


def squared_minimum(features: Matrix, labels: Integers, classes: int, radius: float) -> Matrix:
    """The minimiser [p, K] on rows [n, p].

    >>> squared_minimum(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, 10.0).tolist()
    [[0.5, -0.5]]
    """
    return row_spectrum(features, labels, classes).minimum(radius)[0]
