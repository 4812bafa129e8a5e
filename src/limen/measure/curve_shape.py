"""Does a learning curve fall, or does it rise somewhere by more than noise (a peak, as at n ≈ d without a penalty)?

Units (training subsets or held-out rows) were each scored at every label count, so steps are judged by paired
differences. For every pair i < j, rise_ij = mean over units of loss(n_j) − loss(n_i), one-sided t test at level
α / (k(k−1)/2). A rise counts if it passes and is more than a twentieth of the curve's range: with many rows a flat end
shows significant ripples of the training subsets, which a law may ignore.

A peak at n ≈ d of least squares: Belkin, Hsu, Ma, Mandal, PNAS 116 (2019); Hastie et al., Ann. Stat. 50 (2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from limen.arrays.checks import probability, vector

MATERIAL = 0.05
"""Share of the curve's range that a rise must exceed to matter."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Whether the curve only falls; where it peaks if not."""

    kind: Literal["falling", "peak", "rising"]
    """`peak`: rises, then falls again; `rising`: its largest rise ends at the largest label count."""
    at: int | None = None
    """Label count where the rise ends."""
    rise: float = 0.0
    """Largest rise between two label counts, in units of the loss."""
    near_dimension: bool = False
    """Whether `at` is within a factor 2 of the number of features."""

    def reason(self) -> str:
        """The finding in words.

        >>> Shape("peak", 64, 0.5, True).reason()
        'the held-out loss peaks at n = 64 (up by 0.5), near the number of features: fit the law beyond the peak'
        """
        where = ", near the number of features" if self.near_dimension else ""
        verb, advice = "peaks", "fit the law beyond the peak"
        if self.kind == "rising":
            verb, advice = "still rises", "add larger label counts"
        return f"the held-out loss {verb} at n = {self.at} (up by {self.rise:.3g}){where}: {advice}"


def shape_of(n: ArrayLike, losses: ArrayLike, dimension: int | None = None, alpha: float = 0.01) -> Shape:
    """Shape of a learning curve from losses [u units, k label counts], u ≥ 2; `n` [k] in any order, k ≥ 2.

    >>> shape_of([10, 20, 40], [[3.0, 2.0, 1.0], [3.1, 2.2, 1.1]]).kind
    'falling'
    >>> shape_of([10, 20, 40], [[1.0, 9.0, 0.5], [1.1, 9.2, 0.4]], dimension=20).kind
    'peak'
    """
    sizes = vector("n", n, least=2)
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] != sizes.size:
        raise ValueError(f"losses: expected [2 or more units, {sizes.size}], got shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("losses: expected finite values, got NaN or infinite")
    probability("alpha", alpha)
    order = np.argsort(sizes, kind="stable")
    sizes, table = sizes[order], table[:, order]
    means = table.mean(axis=0)
    level = alpha / math.comb(sizes.size, 2)
    floor = MATERIAL * float(np.ptp(means))
    rises = [
        (float(means[j] - means[i]), j)
        for j in range(1, sizes.size)
        for i in range(j)
        if means[j] - means[i] > floor and _p_rise(table[:, j] - table[:, i]) < level
    ]
    if not rises:
        return Shape("falling")
    rise, top = max(rises)
    at = int(sizes[top])
    near = dimension is not None and dimension / 2 <= at <= 2 * dimension
    return Shape("rising" if top == sizes.size - 1 else "peak", at, rise, near)


def _p_rise(differences: np.ndarray) -> float:
    u = differences.size
    error = float(differences.std(ddof=1)) / math.sqrt(u)
    if error == 0.0:
        return 0.0 if differences[0] > 0 else 1.0
    return float(student.sf(float(differences.mean()) / error, u - 1))
