"""The feature map of the class, fixed on design rows before any other row is seen.

With centre m, one scalar scale s and bound R = max ‖(x − m)/s‖, all from the design rows,

    φ(x) = [u·min(1, R/‖u‖), 1],   u = (x − m)/s,   s² = mean ‖x − m‖² over the design,

so ‖φ(x)‖ ≤ √(R² + 1) for every x: clipping is part of the class, and the constant feature is counted in the norm
(with a free intercept no loss range exists and the objective is not strongly convex).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.arrays.row_blocks import row_blocks, taken

Matrix = NDArray[np.float64]

BLOCK = 512  # rows standardised at a time: they stay in the cache; the result does not depend on it


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Centre [d], scale and clipping bound of φ."""

    centre: Matrix
    scale: float
    bound: float

    @property
    def norm_bound(self) -> float:
        """sup ‖φ(x)‖ = √(R² + 1).

        >>> FeatureMap(np.zeros(2), 1.0, 1.0).norm_bound
        1.4142135623730951
        """
        return float(np.hypot(self.bound, 1.0))

    def __call__(self, features: NDArray[np.floating]) -> Matrix:
        """φ of every row: [n, d] → [n, d + 1] in float64.

        >>> FeatureMap(np.zeros(2), 1.0, 5.0)(np.array([[6.0, 8.0], [3.0, 4.0]]))
        array([[3., 4., 1.],
               [3., 4., 1.]])
        """
        n, d = features.shape
        mapped = np.ones((n, d + 1))
        for rows, block in row_blocks(features, BLOCK):
            u = block.astype(np.float64)
            u -= self.centre
            u /= self.scale
            norm = np.linalg.norm(u, axis=1, keepdims=True)
            if norm.max(initial=0.0) > self.bound:
                u *= np.minimum(1.0, self.bound / np.maximum(norm, 1e-300))
            mapped[rows, :d] = u
        return mapped

    def clipped_share(self, features: NDArray[np.floating], rows: NDArray[np.integer] | None = None) -> float:
        """Share of rows, or of the chosen ones, that clipping moves."""
        chosen = np.arange(len(features)) if rows is None else np.sort(rows)
        clipped: int = 0
        for start in range(0, len(chosen), BLOCK):
            block = taken(features, chosen[start : start + BLOCK])
            u = (block.astype(np.float64) - self.centre) / self.scale
            clipped += int(np.count_nonzero(np.linalg.norm(u, axis=1) > self.bound * (1 + 1e-12)))
        return float(clipped / len(chosen))


def design_map(design: NDArray[np.floating]) -> FeatureMap:
    """The feature map fixed by the design rows [n, d].

    >>> phi = design_map(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    >>> phi.scale, phi.bound
    (1.0, 1.0)

    Raises ValueError when all design rows are the same (no scale exists), or too large to square.
    """
    n, total = len(design), np.zeros((1, design.shape[1]))
    for _, block in row_blocks(design):
        # the sum so far is the first row: rows are added one by one, whatever the block
        total = np.concatenate([total, block], dtype=np.float64).sum(axis=0, keepdims=True)
    centre = total[0] / n
    squared = np.empty(n)
    with np.errstate(over="ignore"):
        for rows, block in row_blocks(design):
            squared[rows] = ((block.astype(np.float64) - centre) ** 2).sum(axis=1)
    scale = float(np.sqrt(squared.mean()))
    if not np.isfinite(scale):
        most = max(float(np.abs(block).max()) for _, block in row_blocks(design))
        raise ValueError(f"features of size {most:.2g} are too large to square; rescale them")
    # rounding of the mean leaves a residue of this order on identical rows
    if scale <= 1e-12 * max(1.0, float(np.abs(centre).max(initial=0.0))):
        raise ValueError(f"the {n} design rows are identical, so the features have no scale; use more rows")
    return FeatureMap(centre, scale, float(np.sqrt(squared.max()) / scale))
