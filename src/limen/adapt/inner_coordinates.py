"""Coordinates in which the rows of a probe are well conditioned, and the curvature they are steered by.

Inner features u = (x − c)/σ, c the weighted mean where the intercept is free and 0 where it counts in the norm, σ one
scalar, so that no size over- or underflows. The constant feature stands last and is stored nowhere. Where rows are
fewer than features, u is taken along their span (eigenvectors of the kernel matrix): fewer columns, nothing is lost.
A penalty λ on raw weights is λ/σ² on inner ones.

Curvature of the mean log loss, exact at W = 0 up to the coupling of classes:

    H ≈ diag(w) ⊗ G + λI,      w_c = Σ_i s_i p_ic(1 − p_ic),      G = Σ_i s_i u_i u_iᵀ = V diag(e) Vᵀ
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.penalised import WeightedRows

SPAN_FROM = 0.7
"""Rows per feature below which the span of the rows is smaller enough to pay."""
RANK = 1e-13


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Inner features [n, r] (float64 or float32), and how raw adapters follow from inner ones."""

    features: NDArray[np.floating]
    constant: float
    """Value of the constant feature, which stands last: [n, r + 1] in effect."""
    span: Matrix | None
    """[d, r] where features are along the span of the rows, else None."""
    centre: Matrix
    scale: float

    @property
    def size(self) -> int:
        """r + 1."""
        return int(self.features.shape[1]) + 1

    def raw(self, inner: Matrix) -> tuple[Matrix, Matrix]:
        """Weights [K, d] and intercept [K] of the raw features from inner ones [K, r + 1]."""
        weights = inner[:, :-1] / self.scale
        if self.span is not None:
            weights = weights @ self.span.T
        return weights, inner[:, -1] * self.constant - weights @ self.centre

    def inner(self, weights: Matrix, intercept: Matrix) -> Matrix:
        """The other way round."""
        moved = (intercept + weights @ self.centre) / self.constant
        weights = weights if self.span is None else weights @ self.span
        return np.hstack([weights * self.scale, moved[:, None]])


@dataclass(frozen=True, slots=True)
class Kronecker:
    """Eigenbasis of the Gram matrix of the inner features with their constant."""

    vectors: NDArray[np.float32] | None
    """[r + 1, r + 1]; None: the coordinates themselves."""
    values: Matrix
    """[r + 1]"""
    mask: Matrix
    """1 where a coordinate counts in the norm, 0 for a free intercept [r + 1]; the basis does not mix the two."""

    def solve(self, gradient: NDArray[np.floating], class_weights: Matrix, penalty: float) -> Matrix:
        """(diag(w) ⊗ G + λI)⁻¹ at gradients [K, r + 1], back where classes sum to zero."""
        divisor = class_weights[:, None] * self.values + penalty * self.mask
        if self.vectors is None:
            moved = gradient / divisor
        else:
            turned = gradient.astype(np.float32) @ self.vectors
            turned /= divisor.astype(np.float32)
            moved = (turned @ self.vectors.T).astype(np.float64)
        moved -= moved.mean(axis=0)
        return moved


def inner_coordinates(rows: WeightedRows, free: bool, precision: type[np.floating]) -> Coordinates:
    """Centred where the intercept is free, divided by one scalar, in the span of the rows where they are few."""
    n, d = rows.features.shape
    centre = rows.shares @ np.asarray(rows.features, dtype=np.float64) if free else np.zeros(d)
    moved = np.asarray(rows.features, dtype=np.float64) - centre
    most = float(np.abs(moved).max(initial=0.0)) or 1.0
    scale = most * float(np.sqrt(rows.shares @ ((moved / most) ** 2).sum(axis=1)))
    scale = scale if free else float(np.hypot(scale, 1.0))
    scale = scale or 1.0
    moved /= scale
    constant = 1.0 if free else 1 / scale
    span = None
    if n < SPAN_FROM * d:
        values, left = scipy.linalg.eigh(moved @ moved.T)
        kept = values > values[-1] * RANK
        root = np.sqrt(values[kept])
        span = moved.T @ (left[:, kept] / root)
        moved = left[:, kept] * root
    return Coordinates(moved.astype(precision), constant, span, centre, scale)


def kronecker(rows: WeightedRows, inner: Coordinates, free: bool, even: bool) -> Kronecker:
    """The curvature of rows in their inner coordinates; `even` where all shares are the same.

    >>> rows = WeightedRows(np.array([[3.0], [-3.0]]), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> kronecker(rows, inner_coordinates(rows, True, np.float64), True, True).values.tolist()
    [1.0, 1.0]
    """
    mask = np.ones(inner.size)
    if free:
        mask[-1] = 0.0
    r = inner.size - 1
    if inner.span is not None and free and even:
        values = (inner.features.astype(np.float64) ** 2).mean(axis=0)
        return Kronecker(None, np.append(values, 1.0), mask)
    gram = np.zeros((inner.size, inner.size), dtype=np.float32)
    u = inner.features
    if even:
        gram[:r, :r] = u.T @ u / len(u)
    else:
        weighted = u * np.sqrt(rows.shares).astype(u.dtype)[:, None]
        gram[:r, :r] = weighted.T @ weighted
    if not free:
        gram[:r, r] = gram[r, :r] = inner.constant * (rows.shares.astype(u.dtype) @ u)
    gram[r, r] = inner.constant**2
    if free:
        values, vectors = np.zeros(inner.size, dtype=np.float32), np.zeros_like(gram)
        values[:r], vectors[:r, :r] = scipy.linalg.eigh(gram[:r, :r], driver="evd")
        values[r] = vectors[r, r] = 1.0
    else:
        values, vectors = scipy.linalg.eigh(gram, driver="evd")
    return Kronecker(vectors, np.maximum(values.astype(np.float64), 0.0), mask)
