"""Rows of a matrix block by block, also of one in a file that is larger than memory.

A file-backed matrix (`numpy.memmap`, or a view of one) counts as resident memory for every page that was touched. Its
pages are handed back to the system after each block: they stay in the system's cache, and cost this process nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 8192
"""Rows of a block."""


def row_blocks(matrix: NDArray[Any], size: int = BLOCK) -> Iterator[tuple[slice, NDArray[Any]]]:
    """(rows, those rows) in order; a block is a view and must not be kept.

    >>> [(rows.start, rows.stop, block.tolist()) for rows, block in row_blocks(np.arange(3), 2)]
    [(0, 2, [0, 1]), (2, 3, [2])]
    """
    pages = _pages(matrix)
    for start in range(0, len(matrix), size):
        rows = slice(start, min(start + size, len(matrix)))
        yield rows, matrix[rows]
        _hand_back(pages)


def taken(matrix: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
    """A copy of some rows, in the order given; reading is fastest where they rise.

    >>> taken(np.array([5, 6, 7]), np.array([2, 0])).tolist()
    [7, 5]
    """
    pages = _pages(matrix)
    if pages is None:
        chosen: NDArray[Any] = matrix[rows]
        return chosen
    found = np.empty((len(rows), *matrix.shape[1:]), dtype=matrix.dtype)
    for start in range(0, len(rows), BLOCK):
        found[start : start + BLOCK] = matrix[rows[start : start + BLOCK]]
        _hand_back(pages)
    return found


def copied(matrix: NDArray[Any], rows: slice, precision: type[np.floating]) -> NDArray[Any]:
    """A copy of a slice in another precision.

    >>> copied(np.arange(4), slice(1, 3), np.float32).tolist()
    [1.0, 2.0]
    """
    block: NDArray[Any] = matrix[rows].astype(precision)
    _hand_back(_pages(matrix))
    return block


def in_file(matrix: NDArray[Any]) -> bool:
    """Whether the matrix is a view of a file that others may read as well, so that its pages can be handed back.

    >>> in_file(np.zeros(3))
    False
    """
    return _pages(matrix) is not None


def _pages(matrix: NDArray[Any]) -> mmap.mmap | None:
    """The mapped file under a matrix; None for memory and for a private map, whose changes exist nowhere else."""
    owner: Any = matrix
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap) and owner.mode not in ("r", "r+"):
            return None
        if owner.base is None:
            return None
        owner = owner.base
    return owner if isinstance(owner, mmap.mmap) and hasattr(owner, "madvise") else None


def _hand_back(pages: mmap.mmap | None) -> None:
    if pages is not None:
        pages.madvise(mmap.MADV_DONTNEED)
