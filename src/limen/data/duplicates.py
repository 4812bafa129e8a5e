"""Rows that are byte-identical: within one matrix, and from one matrix to another.

Two rows are identical when their bytes are, after −0.0 → 0.0 and in a common float type. Identical rows stay in one
part of a split, because a row seen in training is not held out. Rows are compared by a 128-bit BLAKE2b hash: with
n rows the chance of any accidental match is below n²·2^−129 (10^−21 at ten million rows).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from limen.arrays.row_blocks import BLOCK, taken

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


def identical_rows(features_a: Floats, features_b: Floats | None = None, rows: Integers | None = None) -> Integers:
    """Classes of identical rows, or for each row of `features_a` an identical row of `features_b`.

    With one matrix [n, d]: for each row the index of its first identical row, so `identical_rows(x)[i] == i` marks
    first occurrences. With two: for each row of the first the index of the first identical row of the second, or −1.
    With `rows`, only these rows of the first matrix are looked at and numbered.

    >>> import numpy as np
    >>> x = np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0]])
    >>> identical_rows(x)
    array([0, 1, 0])
    >>> identical_rows(x, np.array([[2.0, 3.0]]))
    array([-1,  0, -1])

    Raises ValueError for matrices of different width.
    """
    if features_b is None:
        first: dict[bytes, int] = {}
        keys = _keys(features_a, features_a.dtype, rows)
        return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], dtype=np.int64)
    if features_a.shape[1] != features_b.shape[1]:
        raise ValueError(f"rows of width {features_a.shape[1]} and {features_b.shape[1]} cannot be identical")
    common = np.result_type(features_a, features_b)
    index: dict[bytes, int] = {}
    for row, key in enumerate(_keys(features_b, common, None)):
        index.setdefault(key, row)
    return np.array([index.get(key, -1) for key in _keys(features_a, common, rows)], dtype=np.int64)


def _keys(features: Floats, kind: np.dtype[np.floating], rows: Integers | None) -> Iterator[bytes]:
    chosen = np.arange(len(features)) if rows is None else rows
    for start in range(0, len(chosen), BLOCK):
        block = taken(features, chosen[start : start + BLOCK]).astype(kind, copy=False)
        block = np.ascontiguousarray(block + kind.type(0))  # adding 0 turns −0.0 into 0.0
        for row in block:
            yield hashlib.blake2b(row.tobytes(), digest_size=16).digest()
