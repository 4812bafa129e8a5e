"""φ(x) of many rows as if it were a matrix [n, p] of float64, computed block by block from the raw rows.

A matrix of at most `HELD_BYTES` is computed once and held; a larger one is a `MappedRows`, which knows the products

    φW [n, K],      φᵀR [p, K],      φᵀφ [p, p]   (written `features.T @ features`),

selections of rows, and `blocks()`. Blocks go by in the order of the file, whatever the order of the rows, so that reads
are sequential; sums over blocks are float64. 10⁶ × 768 raw float32 values are 3.1 GB in a file, and 6.2 GB as φ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from limen.adapt.feature_map import FeatureMap, Matrix
from limen.arrays.row_blocks import BLOCK, taken
from limen.records.task import Floats, Integers

HELD_BYTES = 1 << 29
"""Most bytes of mapped rows that are held: 87,000 rows of 768 features."""
BLOCK_BYTES = 3 << 23
"""Most bytes of one block: the C library gives memory of up to 32 MB out again, larger pieces it asks for anew."""

Source = tuple[Floats, FeatureMap | None]
"""Raw rows and their map, or rows that are mapped already."""


def mapped_rows(phi: FeatureMap, features: Floats, rows: Integers) -> Matrix:
    """φ of the chosen rows of raw features [N, d], held or in blocks; used as a matrix [n, d + 1] either way.

    >>> mapped_rows(FeatureMap(np.zeros(1), 2.0, 9.0), np.array([[2.0], [4.0]]), np.array([1, 0])).tolist()
    [[2.0, 1.0], [1.0, 1.0]]
    """
    if len(rows) * (features.shape[1] + 1) * 8 <= HELD_BYTES:
        return phi(taken(features, rows))
    return cast(Matrix, MappedRows(((features, phi),), rows))


def joined(parts: Sequence[Matrix]) -> Matrix:
    """Rows of all parts, one part after the other."""
    if sum(part.size for part in parts) * 8 <= HELD_BYTES:
        return np.concatenate(list(parts))
    sources: list[Source] = []
    rows, start = [], 0
    for part in parts:
        blocks = in_blocks(part)
        if blocks is not None:
            sources += blocks.sources
            rows.append(blocks.rows + start)
        else:
            sources.append((part, None))
            rows.append(np.arange(len(part)) + start)
        start = sum(len(raw) for raw, _ in sources)
    return cast(Matrix, MappedRows(tuple(sources), np.concatenate(rows)))


def feature_blocks(features: Matrix) -> Iterator[tuple[Integers | slice, Matrix]]:
    """(positions, those rows) of a held matrix or of `MappedRows`; every row once.

    >>> [(at, block.tolist()) for at, block in feature_blocks(np.eye(2))]
    [(slice(0, 2, None), [[1.0, 0.0], [0.0, 1.0]])]
    """
    blocks = in_blocks(features)
    if blocks is not None:
        yield from blocks.blocks()
        return
    for start in range(0, len(features), BLOCK):
        at = slice(start, min(start + BLOCK, len(features)))
        yield at, features[at]


def in_blocks(features: object) -> MappedRows | None:
    """The rows, where they are not held."""
    return features if isinstance(features, MappedRows) else None


class MappedRows:
    """φ of chosen rows, never held as a whole; `sources` are numbered through, `rows` [n] are such numbers."""

    __slots__ = ("_order", "_starts", "dtype", "rows", "shape", "sources")
    __array_ufunc__ = None  # a ufunc would hold everything: it is refused; products are asked of this class
    ndim = 2

    def __init__(self, sources: tuple[Source, ...], rows: Integers, dtype: Any = np.float64) -> None:
        raw, phi = sources[0]
        self.sources, self.rows, self.dtype = sources, rows, np.dtype(dtype)
        self.shape: tuple[int, int] = (len(rows), int(raw.shape[1]) + (phi is not None))
        self._starts = np.cumsum([0, *(len(source) for source, _ in sources)])
        self._order = np.argsort(rows, kind="stable")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """n·p."""
        return self.shape[0] * self.shape[1]

    @property
    def T(self) -> _Transposed:
        """φᵀ, for products with [n, K] and with φ itself."""
        return _Transposed(self)

    def blocks(self) -> Iterator[tuple[Integers, Matrix]]:
        """(positions, φ of them) in the order of the file."""
        size = min(BLOCK, max(1, BLOCK_BYTES // (8 * self.shape[1])))
        for start in range(0, len(self), size):
            positions = self._order[start : start + size]
            yield positions, self._mapped(self.rows[positions]).astype(self.dtype, copy=False)

    def astype(self, dtype: Any, copy: bool = True) -> MappedRows:
        """The same rows, with blocks and products of another type."""
        del copy
        return MappedRows(self.sources, self.rows, dtype)

    def __getitem__(self, index: Any) -> Any:
        """Some rows, held where they are few or a slice; anything else than rows holds everything first."""
        if isinstance(index, tuple):
            return np.asarray(self)[index]
        chosen = MappedRows(self.sources, np.atleast_1d(self.rows[index]), self.dtype)
        held = isinstance(index, slice) or chosen.size * 8 <= HELD_BYTES
        found: Any = np.asarray(chosen) if held else chosen
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        del copy
        held = np.empty(self.shape, dtype=self.dtype)
        for positions, block in self.blocks():
            held[positions] = block
        return held if dtype is None else held.astype(dtype, copy=False)

    def __matmul__(self, weights: NDArray[Any]) -> NDArray[Any]:
        product = np.empty((len(self), *weights.shape[1:]), dtype=np.result_type(self.dtype, weights.dtype))
        for positions, block in self.blocks():
            product[positions] = block @ weights
        return product

    def _mapped(self, rising: Integers) -> Matrix:
        """φ of rows whose numbers rise."""
        cuts = np.searchsorted(rising, self._starts)
        found = []
        for k, (raw, phi) in enumerate(self.sources):
            mine = rising[cuts[k] : cuts[k + 1]] - self._starts[k]
            if len(mine):
                chosen = taken(raw, mine)
                found.append(chosen if phi is None else phi(chosen))
        return found[0] if len(found) == 1 else np.concatenate(found)


class _Transposed:
    __slots__ = ("_rows",)

    def __init__(self, rows: MappedRows) -> None:
        self._rows = rows

    def __matmul__(self, other: Any) -> Matrix:
        """φᵀφ where `other` is φ, else φᵀ·other."""
        square = other is self._rows
        total = np.zeros((self._rows.shape[1], other.shape[1]))
        for positions, block in self._rows.blocks():
            total += block.T @ (block if square else other[positions])
        return total
