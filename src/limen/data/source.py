"""What the model behind an encoder says of the rows: class probabilities of its own task, checked against the rows.

Hard labels z_i [n] are the probabilities θ(x_i) = e_{z_i} [n, Z], Z distinct labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.records.errors import BadInput, Problem

SUM = 1e-3
"""How far a row of probabilities may sum from 1; rows of float16 softmax do within this."""


def source_probabilities(source: ArrayLike, rows: int) -> NDArray[np.float64]:
    """Probabilities [n, Z] of the n rows: given as they are, every row divided by its sum, or made of hard labels [n].

    >>> source_probabilities(["cat", "dog"], 2).tolist(), source_probabilities([[0.25, 0.75]], 1).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[0.25, 0.75]])

    Raises BadInput for another number of rows, and for rows that are not probabilities.
    """
    array: NDArray[Any] = np.asarray(source)
    if array.ndim not in (1, 2) or len(array) != rows or array.size == 0:
        what = f"expected class probabilities [n, Z] or labels [n] of the {rows:,} rows, got shape {array.shape}"
        raise BadInput(Problem("source", what, fix="one row for each row of X, in the same order"))
    if array.ndim == 1:
        names, codes = np.unique(array.astype(str), return_inverse=True)
        return np.eye(len(names))[codes]
    try:
        theta = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(Problem("source", f"expected numbers, got {array.dtype}", fix="pass a softmax")) from error
    total = theta.sum(axis=1)
    wrong = ~np.isfinite(theta).all(axis=1) | (theta < 0).any(axis=1) | ~(np.abs(total - 1) <= SUM)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        what = f"{int(wrong.sum()):,} of {rows:,} rows are no probabilities (first: row {row}, sum {total[row]:.4g})"
        raise BadInput(Problem("source", what, cause="scores or logits instead of a softmax", fix="pass a softmax"))
    return np.asarray(theta / total[:, None])
