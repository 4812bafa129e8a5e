"""Matrices too large to hold: written once to a temporary file in plain rows, then read block by block from there.

The file has no name from the start, so nothing is left behind, whatever happens. It lies where `tempfile` puts files
(TMPDIR) and takes as much room as the features.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from limen.records.errors import BadInput, Problem

LARGE_BYTES = 1 << 29
"""Features of more bytes than this, counted as float64, are not read into memory: 87,000 rows of 768."""


def spooled(where: str, blocks: Iterable[NDArray[Any]], width: int, dtype: DTypeLike) -> NDArray[Any]:
    """The blocks [·, width] one after the other as a read-only matrix in a file.

    >>> found = spooled("x", [np.eye(2), np.ones((1, 2))], 2, np.float32)
    >>> found.tolist(), found.dtype.name
    ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 'float32')

    Raises BadInput where the disk refuses.
    """
    rows = 0
    with tempfile.TemporaryFile() as file:
        try:
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype=dtype).data)
                rows += len(block)
            file.flush()
        except OSError as error:
            what = f"features too large to hold are copied to {tempfile.gettempdir()}, which refused: {error.strerror}"
            fix = "free space there, or set TMPDIR to a folder with room"
            raise BadInput(Problem(where, what, fix=fix)) from None
        return np.memmap(file, dtype=dtype, mode="r", shape=(rows, width))
