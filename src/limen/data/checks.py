"""From raw rows to labelled features that fits can trust; every problem is found before one is raised.

Checked: shape [n, d] and type of X, finite values, constant columns, one label a row, classes, unique ids, one group
a row. Kept: float32 and float64 as they are, float16 as float32, integers as float64 (float32 up to 16 bits) with a
note. Constant columns carry nothing for any adapter with an intercept; they are dropped and their indices kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limen.arrays.row_blocks import in_file, row_blocks
from limen.data.labels import check_classes, check_labels, encode_labels
from limen.data.phrases import names_text, rows_text
from limen.data.raw import RawRows
from limen.data.spool import LARGE_BYTES, spooled
from limen.records.errors import BadInput, Problem
from limen.records.task import LabelledFeatures


def labelled_features(raw: RawRows, classes: Sequence[str] | None = None) -> LabelledFeatures:
    """Checked rows, their labels coded by `classes` or, without them, by the classes found.

    Constant columns are dropped only where the classes are found here: a further population of a task keeps every
    column, so that its columns can be matched to those of the train rows.

    Raises BadInput with every problem found.

    >>> rows = labelled_features(RawRows("", np.array([[1, 5], [2, 5]]), np.array([1, 0])))
    >>> rows.features.tolist(), rows.dropped_columns, rows.notes[0]
    ([[1.0], [2.0]], (1,), 'X was int64; it was converted to float64')
    """
    problems = [*_check_shape(raw), *check_labels(raw), *_check_lengths(raw), *_check_ids(raw), *_check_groups(raw)]
    shaped = raw.features.ndim == 2 and raw.features.size > 0
    if shaped and _numeric(raw.features):
        problems += _check_finite(raw)
    if not check_labels(raw):
        problems += check_classes(raw, classes)
    constant = np.zeros(0, dtype=np.int64)
    if classes is None and shaped and _numeric(raw.features) and not problems:
        constant = constant_columns(raw.features)
        problems += _check_constant(raw, constant)
    if problems:
        raise BadInput(problems)
    kept = np.delete(np.arange(raw.features.shape[1]), constant)
    features, notes = _as_floats(raw, kept)
    if len(constant):
        notes = (*notes, f"{len(constant)} constant columns dropped: {names_text(str(k) for k in constant)}")
    labels, names = encode_labels(raw, classes)
    return LabelledFeatures(
        features=features,
        labels=labels,
        classes=names,
        groups=None if raw.groups is None else np.unique(raw.groups, return_inverse=True)[1].astype(np.int64),
        ids=None if raw.ids is None else tuple(str(name) for name in raw.ids.tolist()),
        dropped_columns=tuple(int(k) for k in constant),
        notes=notes,
    )


def constant_columns(features: NDArray[np.generic]) -> NDArray[np.int64]:
    """Indices of the columns that have one value in all rows.

    >>> constant_columns(np.array([[1.0, 2.0], [1.0, 3.0]]))
    array([0])
    """
    same = np.ones(features.shape[1], dtype=bool)
    first = np.array(features[0])
    for _, block in row_blocks(features):
        same &= (block == first).all(axis=0)
    return np.flatnonzero(same).astype(np.int64)


def _numeric(features: NDArray[np.generic]) -> bool:
    return features.dtype.kind in "biu" or (features.dtype.kind == "f" and features.dtype.itemsize <= 8)


def _check_shape(raw: RawRows) -> list[Problem]:
    where, x = raw.place(0), raw.features
    problems = []
    if not _numeric(x):
        what = f"expected features of type float16, float32, float64 or integer, got {x.dtype}"
        problems.append(Problem(where, what, fix="convert X with X.astype('float32')"))
    if x.ndim != 2:
        what = f"expected a matrix of features, shape [n, d], got shape {list(x.shape)}"
        problems.append(Problem(where, what, fix="X.reshape(len(X), -1) makes one row of features an example"))
    elif x.shape[0] == 0 or x.shape[1] == 0:
        what = f"expected at least one row and one column, got shape {list(x.shape)}"
        problems.append(Problem(where, what, "an empty selection was saved", "save the rows again"))
    return problems


def _check_lengths(raw: RawRows) -> list[Problem]:
    if raw.features.ndim == 0:
        return []
    n = len(raw.features)
    problems = []
    for part, column in ((1, raw.labels), (2, raw.groups), (3, raw.ids)):
        if column is not None and column.ndim == 1 and len(column) != n:
            what = f"expected one value for each of the {n:,} rows of {raw.names[0]}, got {len(column):,}"
            problems.append(
                Problem(
                    raw.place(part),
                    what,
                    "rows were added or dropped in one of the two",
                    f"save {raw.names[0]} and {raw.names[part]} from the same selection of rows",
                )
            )
    return problems


def _check_ids(raw: RawRows) -> list[Problem]:
    if raw.ids is None:
        return []
    if raw.ids.ndim != 1 or raw.ids.dtype.kind not in "biuUSTO":
        return [Problem(raw.place(3), f"expected one integer or string id a row, got {_brief(raw.ids)}")]
    names = np.array([str(name) for name in raw.ids.tolist()] or [""])
    values, first, counts = np.unique(names, return_index=True, return_counts=True)
    repeated = np.flatnonzero(counts > 1)
    if not len(repeated):
        return []
    what = f"expected unique ids; {len(repeated):,} ids recur: {names_text(values[repeated].tolist())}"
    where = f"first at {rows_text(np.sort(first[repeated]))}"
    return [
        Problem(
            raw.place(3),
            f"{what}; {where}",
            "rows were appended twice",
            "drop the repeated rows, or rename a column that is no row id",
        )
    ]


def _check_groups(raw: RawRows) -> list[Problem]:
    if raw.groups is None:
        return []
    if raw.groups.ndim != 1 or raw.groups.dtype.kind not in "biuUST":
        return [Problem(raw.place(2), f"expected one integer or string group a row, got {_brief(raw.groups)}")]
    return []


def _brief(values: NDArray[np.generic]) -> str:
    return f"{values.dtype} of shape {list(values.shape)}"


def _check_finite(raw: RawRows) -> list[Problem]:
    if raw.features.dtype.kind != "f":
        return []
    bad_rows, bad_values = [], 0
    for rows, block in row_blocks(raw.features):
        bad = ~np.isfinite(block)
        bad_values += int(bad.sum())
        bad_rows.append(rows.start + np.flatnonzero(bad.any(axis=1)))
    if not bad_values:
        return []
    spoilt = np.concatenate(bad_rows)
    return [
        Problem(
            raw.place(0),
            f"expected finite features, got {bad_values:,} NaN or infinite values in {rows_text(spoilt)}",
            cause="an encoder that overflowed, or empty cells",
            fix="compute these rows again, or drop them from X and y",
        )
    ]


def _check_constant(raw: RawRows, constant: NDArray[np.int64]) -> list[Problem]:
    n, width = raw.features.shape
    if len(constant) < width:
        return []
    what = f"all {width:,} columns are constant over the {n:,} rows: the features say nothing about the labels"
    return [Problem(raw.place(0), what, "a collapsed encoder, or one row repeated", "check how X was computed")]


def _as_floats(raw: RawRows, kept: NDArray[np.int64]) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """The kept columns as plain rows of floats; those of a large file stay in a file."""
    x, notes = raw.features, raw.notes
    if x.dtype.kind == "f":
        target = np.dtype(np.float64 if x.dtype.itemsize == 8 else np.float32)
    else:
        target = np.dtype(np.float32 if x.dtype.itemsize <= 2 else np.float64)
        notes = (*notes, f"{raw.names[0]} was {x.dtype}; it was converted to {target}")
    every = len(kept) == x.shape[1]
    if in_file(x) and x.size * 8 > LARGE_BYTES:
        if every and x.dtype == target and x.flags.c_contiguous:
            return x, notes
        blocks = (block if every else block[:, kept] for _, block in row_blocks(x))
        return spooled(raw.place(0), blocks, len(kept), target), notes
    return np.ascontiguousarray(x if every else x[:, kept], dtype=target), notes
