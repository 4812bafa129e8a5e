"""What the squared loss needs to know of rows: n, XᵀX and XᵀY, of many parts of the rows in one pass over them.

Moments of disjoint parts add, so nested prefixes, folds and rows without a group cost one pass together:

    prefix k = Σ_{j ≤ k} part j,      rows without group g = all − part g.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.losses import one_hot
from limen.adapt.mapped_rows import feature_blocks
from limen.records.task import Integers

MOST_BYTES = 1 << 29
"""Most bytes of moments of parts that are held together: 100 parts at 768 features."""


@dataclass(frozen=True, slots=True)
class Moments:
    """n, XᵀX [p, p] and XᵀY [p, K] with one-hot Y."""

    n: int
    square: Matrix
    cross: Matrix

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.square + other.square, self.cross + other.cross)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.square - other.square, self.cross - other.cross)


def part_moments(features: Matrix, labels: Integers, classes: int, part: Integers, parts: int) -> list[Moments]:
    """Moments of the rows of part 0 … parts − 1; rows of part −1 belong to none.

    >>> found = part_moments(np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 1]), 2, np.array([0, 1, 0]), 2)
    >>> [(m.n, m.square.tolist(), m.cross.tolist()) for m in found]
    [(2, [[10.0]], [[1.0, 3.0]]), (1, [[4.0]], [[0.0, 2.0]])]
    """
    p = features.shape[1]
    square, cross = np.zeros((parts, p, p)), np.zeros((parts, p, classes))
    for positions, block in feature_blocks(features):
        mine, y = part[positions], labels[positions]
        for k in np.unique(mine[mine >= 0]):
            chosen = mine == k
            x = block if chosen.all() else block[chosen]
            square[k] += x.T @ x  # x in both factors: BLAS computes half of it
            cross[k] += x.T @ one_hot(y[chosen], classes)
    sizes = np.bincount(part[part >= 0], minlength=parts)
    return [Moments(int(n), s, c) for n, s, c in zip(sizes, square, cross, strict=True)]


def subset_moments(features: Matrix, labels: Integers, classes: int, subsets: NDArray[np.bool_]) -> Iterable[Moments]:
    """Moments of each of `subsets` [B, n], one after the other; rows that are in the same subsets share a sum.

    >>> kept = np.array([[True, True], [True, False]])
    >>> [m.square.tolist() for m in subset_moments(np.array([[1.0], [2.0]]), np.array([0, 1]), 2, kept)]
    [[[5.0]], [[1.0]]]
    """
    part = np.zeros(subsets.shape[1], dtype=np.int64)
    for kept in subsets:
        part = np.unique(2 * part + kept, return_inverse=True)[1].astype(np.int64)
    first = np.unique(part, return_index=True)[1]
    held = len(first) * features.shape[1] ** 2 * 8
    if len(first) > len(subsets) + 1 or held > MOST_BYTES:  # no partition behind them, or too much: one pass each
        for kept in subsets:
            yield part_moments(features, labels, classes, np.where(kept, 0, -1), 1)[0]
        return
    patterns = subsets[:, first]
    parts = part_moments(features, labels, classes, part, len(first))
    everything = reduce(Moments.__add__, parts)
    for inside in patterns:
        left_out = [parts[k] for k in np.flatnonzero(~inside)]
        if 2 * len(left_out) <= len(parts):
            yield reduce(Moments.__sub__, left_out, everything)
        else:
            yield reduce(Moments.__add__, [parts[k] for k in np.flatnonzero(inside)])
