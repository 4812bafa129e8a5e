"""Coordinates in which the rows of a probe are well conditioned, and the curvature they are steered by.

Inner features u = [(x − c)/σ, κ], c the weighted mean where the intercept is free and 0 where it counts in the norm, σ
one scalar so that no size over- or underflows, κ the constant feature: 0.7 where it is free, 1/σ where it counts. A
penalty λ on raw weights is λ/σ² on inner ones. Curvature of the mean log loss, exact at W = 0 but for the coupling of
classes:

    H ≈ diag(w) ⊗ G + λI,      w_c = Σ_i s_i p_ic(1 − p_ic),      G = Σ_i s_i u_i u_iᵀ = V diag(e) Vᵀ

Where rows are few for the features, u is taken along the span of the rows (eigenvectors of the kernel matrix: fewer
columns, nothing is lost); where they are few for the classes, along V, and dividing by H costs nothing; else as it is.
Rows that are too many to be held are computed block by block at every pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.penalised import WeightedRows
from limen.arrays.row_blocks import copied

ROTATE_UP_TO = 240
"""Rows per class up to which turning all rows once costs less than turning every step."""
RANK = 1e-13
GRAM_ROWS = 4096
FREE_CONSTANT = 0.7
"""So that ‖∇F‖² foretells the certificate: what is left of ∂F/∂b moves into the others' once b is set to its best
value, times the norm of a class's mean, which lies between 0 and the 1 of the mean squared norm."""


class InnerRows:
    """(x − c)/σ of rows that are not held, block by block."""

    def __init__(self, rows: WeightedRows, centre: Matrix, scale: float, precision: type[np.floating]) -> None:
        self.raw, self.centre, self.scale = rows.features, centre.astype(precision), precision(scale)
        self.shape, self.dtype = rows.features.shape, np.dtype(precision)

    def __getitem__(self, rows: slice) -> NDArray[np.floating]:
        block = copied(self.raw, rows, self.dtype.type)
        block -= self.centre
        block /= self.scale
        return block


def _streamed(rows: WeightedRows, centre: Matrix, scale: float, precision: type[np.floating]) -> NDArray[np.floating]:
    """Slices of it are all that is asked for."""
    return cast(NDArray[np.floating], InnerRows(rows, centre, scale, precision))


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Inner features, and how raw adapters follow from inner ones [K, m]."""

    features: NDArray[np.floating]
    """[n, m], or [n, m − 1] where the constant is stored nowhere."""
    constant: float
    """κ where the constant feature is stored nowhere and stands last, else 0."""
    turn: Matrix | None
    """[d + 1, m]: directions of the inner features among those of u; None: u itself."""
    centre: Matrix
    scale: float
    kappa: float

    @property
    def size(self) -> int:
        """m."""
        return int(self.features.shape[1]) + (self.constant != 0)

    def raw(self, inner: Matrix) -> tuple[Matrix, Matrix]:
        """Weights [K, d] and intercept [K] of the raw features."""
        along = inner if self.turn is None else inner @ self.turn.T
        weights = along[:, :-1] / self.scale
        return weights, along[:, -1] * self.kappa - weights @ self.centre

    def inner(self, weights: Matrix, intercept: Matrix) -> Matrix:
        """The other way round."""
        moved = (intercept + weights @ self.centre) / self.kappa
        along = np.hstack([weights * self.scale, moved[:, None]])
        return along if self.turn is None else along @ self.turn


@dataclass(frozen=True, slots=True)
class Kronecker:
    """H in the inner coordinates."""

    vectors: NDArray[np.floating] | None
    """V [m, m]; None: the coordinates are along V."""
    values: Matrix
    """e [m]"""
    mask: Matrix
    """1 where a coordinate counts in the norm, 0 for a free intercept [m]; V does not mix the two."""

    def solve(self, gradient: NDArray[np.floating], class_weights: Matrix, penalty: float) -> Matrix:
        """H⁻¹ at gradients [K, m], back where classes sum to zero."""
        divisor = class_weights[:, None] * self.values + penalty * self.mask
        if self.vectors is None:
            moved = gradient / divisor
        else:
            turned = gradient.astype(self.vectors.dtype) @ self.vectors
            turned /= divisor.astype(self.vectors.dtype)
            moved = (turned @ self.vectors.T).astype(np.float64)
        moved -= moved.mean(axis=0)
        return moved


def inner_coordinates(rows: WeightedRows, free: bool, precision: type[np.floating]) -> tuple[Coordinates, Kronecker]:
    """The coordinates of some rows and their curvature.

    >>> rows = WeightedRows(np.array([[3.0], [-3.0]]), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> coordinates, curvature = inner_coordinates(rows, True, np.float64)
    >>> coordinates.scale, curvature.values.round(9).tolist()
    (3.0, [1.0, 0.49])
    """
    n, d = rows.features.shape
    centre = rows.mean if free else np.zeros(d)
    scale = _scale(rows, centre, free)
    kappa = FREE_CONSTANT if free else 1 / scale
    if not rows.held:
        streamed = Coordinates(_streamed(rows, centre, scale, precision), kappa, None, centre, scale, kappa)
        return streamed, _curvature(rows, streamed, free)
    u = (rows.centred + (rows.mean - centre)) / scale
    if n < d:
        features, turn = _span(u if free else np.hstack([u, np.full((n, 1), kappa)]))
        turn = scipy.linalg.block_diag(turn, 1.0) if free else turn
        plain = Coordinates(features.astype(precision), kappa if free else 0.0, turn, centre, scale, kappa)
        curvature = _curvature(rows, plain, free)
        return _turned(plain, curvature) if curvature.vectors is not None else (plain, curvature)
    plain = Coordinates(u.astype(precision), kappa, None, centre, scale, kappa)
    curvature = _curvature(rows, plain, free)
    return _turned(plain, curvature) if n <= ROTATE_UP_TO * rows.classes else (plain, curvature)


def _scale(rows: WeightedRows, centre: Matrix, free: bool) -> float:
    """Root of the mean squared norm, the constant's 1 in it unless it is free."""
    size = _root_mean_square(rows, centre, 1.0)
    if not 1e-140 < size < np.inf:  # squares over- or underflow
        offset = rows.mean - centre
        most = max(float(np.abs(rows.block(block) + offset).max()) for block in rows.blocks()) or 1.0
        size = most * _root_mean_square(rows, centre, most)
    return (size if free else float(np.hypot(size, 1.0))) or 1.0


def _root_mean_square(rows: WeightedRows, centre: Matrix, unit: float) -> float:
    total = 0.0
    with np.errstate(over="ignore"):
        for block in rows.blocks():
            moved = (rows.block(block) + (rows.mean - centre)) / unit
            total += float(rows.shares[block] @ np.einsum("nd,nd->n", moved, moved))
    return float(total**0.5)


def _span(u: Matrix) -> tuple[Matrix, Matrix]:
    """Rows along orthonormal directions that span them: [n, r], directions [d, r]."""
    values, left = scipy.linalg.eigh(u @ u.T)
    kept = values > values[-1] * RANK
    root = np.sqrt(values[kept])
    return left[:, kept] * root, u.T @ (left[:, kept] / root)


def _curvature(rows: WeightedRows, inner: Coordinates, free: bool) -> Kronecker:
    mask = np.ones(inner.size)
    if free:
        mask[-1] = 0.0
    u = inner.features
    if inner.turn is not None and rows.even:  # kernel eigenvectors are those of G too
        values = np.einsum("nr,nr->r", u, u, dtype=np.float64) / len(rows)
        return Kronecker(None, np.append(values, inner.constant**2) if free else values, mask)
    gram, across = _gram(rows, u)
    if inner.constant and not free:
        side = inner.constant * across[:, None]
        gram = np.block([[gram, side], [side.T, np.full((1, 1), inner.constant**2, dtype=gram.dtype)]])
    values, vectors = scipy.linalg.eigh(gram, driver="evd")
    if free:
        values = np.append(values, inner.constant**2)
        vectors = scipy.linalg.block_diag(vectors, np.ones((1, 1), dtype=vectors.dtype))
    return Kronecker(vectors, np.maximum(values.astype(np.float64), 0.0), mask)


def _gram(rows: WeightedRows, u: NDArray[np.floating]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Σ s u uᵀ and Σ s u, in the precision of u, sums of blocks in float64."""
    d = u.shape[1]
    gram, across = np.zeros((d, d)), np.zeros(d)
    for start in range(0, len(rows), GRAM_ROWS):
        block = slice(start, start + GRAM_ROWS)
        share, x = rows.shares[block].astype(u.dtype), u[block]
        across += share @ x
        weighted = x * np.sqrt(share)[:, None]
        gram += weighted.T @ weighted
    return gram.astype(u.dtype), across.astype(u.dtype)


def _turned(plain: Coordinates, curvature: Kronecker) -> tuple[Coordinates, Kronecker]:
    """The same rows along V; a free constant stays apart."""
    assert curvature.vectors is not None
    vectors, free = curvature.vectors, bool(curvature.mask[-1] == 0)
    stored = plain.constant != 0
    part = vectors[:-1, :-1] if free else vectors[:-1] if stored else vectors
    features = plain.features @ part
    if stored and not free:
        features += plain.features.dtype.type(plain.constant) * vectors[-1]
    turn = vectors.astype(np.float64) if plain.turn is None else plain.turn @ vectors
    moved = replace(plain, features=features, constant=plain.constant if free else 0.0, turn=turn)
    return moved, Kronecker(None, curvature.values, curvature.mask)
