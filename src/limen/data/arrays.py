"""Labelled features from arrays in memory, with the same checks as the readers of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.data.checks import labelled_features
from limen.data.raw import RawRows
from limen.records.errors import BadInput, Problem
from limen.records.task import LabelledFeatures


def from_arrays(
    X: ArrayLike,
    y: ArrayLike,
    *,
    group: ArrayLike | None = None,
    id: ArrayLike | None = None,  # noqa: A002  the name of the column and of the record's field
    classes: Sequence[str] | None = None,
) -> LabelledFeatures:
    """Features [n, d] and labels [n] given as arrays, lists or data frames, checked like those of a file.

    Raises BadInput with every problem found; see `limen.data.embeddings.read_embeddings`.

    >>> rows = from_arrays([[0.0, 1.0], [1.0, 1.0]], ["b", "a"])
    >>> rows.features.tolist(), rows.labels.tolist(), rows.classes, rows.dropped_columns
    ([[0.0], [1.0]], [1, 0], ('a', 'b'), (1,))
    """
    given = (("X", X), ("y", y), ("group", group), ("id", id))
    arrays: list[NDArray[Any] | None] = []
    problems: list[Problem] = []
    for name, values in given:
        array, problem = _array(name, values)
        arrays.append(array)
        problems += problem
    if problems:
        raise BadInput(problems)
    features, labels, groups, ids = arrays
    assert features is not None
    assert labels is not None
    return labelled_features(RawRows("", features, labels, groups, ids), classes)


def _array(name: str, values: Any) -> tuple[NDArray[Any] | None, list[Problem]]:
    if values is None and name in ("group", "id"):
        return None, []
    if hasattr(values, "toarray") and not isinstance(values, np.ndarray):
        return None, [Problem(name, "expected a dense array, got a sparse matrix", fix=f"pass {name}.toarray()")]
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        return None, [Problem(name, f"expected an array; {error}", "rows of different lengths", "pass a 2-D array")]
    if array.dtype == object and name != "y" and array.size and all(isinstance(v, str) for v in array.ravel()):
        array = array.astype(str)
    return array, []
