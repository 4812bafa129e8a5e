"""Approximate curvature of the mean log loss: what a quasi-Newton step divides the gradient by.

The Hessian is Σ_i s_i (diag p_i − p_i p_iᵀ) ⊗ x_i x_iᵀ, x_i in the eigenbasis of the Gram matrix Σ_i s_i x_i x_iᵀ with
eigenvalues e. Two approximations, each plus a multiplier λ of the identity:

    scaled Gram    class c:  diag(w_c·e_j + λ),           w_c = Σ_i s_i p_ic(1 − p_ic)
    class blocks   class c:  Σ_i s_i p_ic(1 − p_ic) x_i x_iᵀ + λI in the q leading directions, scaled Gram in the others

The first costs nothing. The second, the diagonal blocks of the Hessian, follows each class to the rows on its border:
where the fit is close, p(1 − p) is concentrated on few rows, the first is far off and the second is not
(docs/decisions/2026-11-25-class-blocks.md). Of a class, the rows of largest weight enter as they are, the rest by their
total weight times diag(e).
Adding one vector to all classes changes no score: steps stay where Σ_c W_c = 0 (`project`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.passes import Passes

Single = NDArray[np.float32]

ROWS_PER_DIRECTION = 1.5
"""Rows of largest weight that enter the block of a class, per direction."""
MOST_BLOCK_NUMBERS = 8_000_000
"""Numbers in all blocks (K·q²): 32 MB."""
LEAST_WEIGHT = 1e-7


@dataclass(frozen=True, slots=True)
class ScaledGram:
    """Divides by w_c·e + λ."""

    divisor: Matrix
    """[K, r]"""

    def solve(self, gradient: Matrix) -> Matrix:
        """Apply the inverse to every class: [A, K, r] → [A, K, r]."""
        return project(gradient / self.divisor)


@dataclass(frozen=True, slots=True)
class ClassBlocks:
    """Divides by the diagonal blocks of the Hessian plus λ."""

    inverses: Single
    """[K, q, q]"""
    rest: Matrix
    """Divisors of the directions without a block [K, r − q]."""

    def solve(self, gradient: Matrix) -> Matrix:
        """Apply the inverse to every class: [A, K, r] → [A, K, r]."""
        q = self.inverses.shape[1]
        divided = np.empty_like(gradient)
        rows = np.ascontiguousarray(gradient[:, :, :q].transpose(1, 0, 2), dtype=np.float32)
        divided[:, :, :q] = np.matmul(rows, self.inverses).transpose(1, 0, 2)  # inverses are symmetric
        np.divide(gradient[:, :, q:], self.rest, out=divided[:, :, q:])
        return project(divided)


Curvature = ScaledGram | ClassBlocks


def project(weights: Matrix) -> Matrix:
    """Take the mean over classes away: [A, K, r] → [A, K, r]."""
    centred: Matrix = weights - weights.mean(axis=1, keepdims=True)
    return centred


def scaled_gram(values: Matrix, class_weights: Matrix, multiplier: float) -> ScaledGram:
    """From eigenvalues e [r], w [K] and λ.

    >>> scaled_gram(np.array([2.0]), np.array([0.25, 0.5]), 1.0).divisor.tolist()
    [[1.5], [2.0]]
    """
    return ScaledGram(np.maximum(class_weights, LEAST_WEIGHT)[:, None] * values + multiplier)


def block_size(classes: int, directions: int) -> int:
    """q: all directions, as long as the blocks fit.

    >>> block_size(10, 768), block_size(150, 768)
    (768, 230)
    """
    return min(directions, int((MOST_BLOCK_NUMBERS / classes) ** 0.5))


def class_blocks(passes: Passes, values: Matrix, spread: NDArray[np.floating], multiplier: float) -> ClassBlocks:
    """The inverse blocks where s_i·p_ic(1 − p_ic) is `spread` [K, n]; `values` e [r], largest first."""
    classes, n = spread.shape
    q = block_size(classes, len(values))
    most = int(ROWS_PER_DIRECTION * q) + 1
    inverses = np.empty((classes, q, q), dtype=np.float32)
    total = np.maximum(spread.sum(axis=1, dtype=np.float64), LEAST_WEIGHT)
    diagonal = np.diag_indices(q)
    for c in range(classes):
        weight, chosen = spread[c], passes.features[:, :q]
        if n > most:
            rows = np.argpartition(weight, n - most)[n - most :]
            weight, chosen = weight[rows], chosen[rows]
        scaled = (chosen * np.sqrt(weight)[:, None]).astype(np.float32, copy=False)
        block: Single = scaled.T @ scaled
        block[diagonal] += (max(total[c] - float(weight.sum(dtype=np.float64)), 0.0) * values[:q]).astype(np.float32)
        inverses[c] = _inverse(block, multiplier, diagonal)
    return ClassBlocks(inverses, total[:, None] * values[q:] + multiplier)


def _inverse(block: Single, multiplier: float, diagonal: tuple[NDArray[np.intp], ...]) -> Single:
    """(block + λI)⁻¹ in float32; where rounding makes it indefinite, with a larger λ: it only steers the steps."""
    trace = float(block[diagonal].sum())
    least = max(1e-7 * trace / len(block), 1e-30)
    while True:
        regular = block.copy()
        regular[diagonal] += np.float32(max(multiplier, least))
        factor, failed = scipy.linalg.lapack.spotrf(regular, lower=1, overwrite_a=1)
        if not failed:
            inverse, failed = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
            if not failed:
                lower = np.tril(inverse)
                full: Single = lower + np.tril(inverse, -1).T
                return full
        least *= 10
