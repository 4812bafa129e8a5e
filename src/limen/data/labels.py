"""From a column of labels to integers into class names: y [n] → (labels [n], classes [C]).

Class names are the distinct labels in sorted order: integers by value, everything else by text. A population of the
same task is coded with the classes of the train rows; a class that the train rows do not have is an error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limen.data.phrases import names_text, rows_text
from limen.data.raw import RawRows
from limen.records.errors import Problem
from limen.records.units import counted

CONTINUOUS = "Limen answers for single-label classification: bin y into classes, or choose another target"


def check_labels(raw: RawRows) -> list[Problem]:
    """Everything that is wrong with the labels by themselves: shape, type, missing values, continuous values."""
    where, y = raw.place(1), raw.labels
    if y.ndim != 1:
        return [_wrong_shape(where, y)]
    if y.dtype == object:
        return _check_objects(where, y)
    if y.dtype.kind not in "biufUST":
        return [Problem(where, f"expected integer or string labels, got {y.dtype}", fix="convert y to int or str")]
    if y.dtype.kind == "f":
        return _check_floats(where, y)
    if y.dtype.kind in "UST":
        empty = np.flatnonzero(np.char.str_len(y.astype(str)) == 0)
        if len(empty):
            return [_missing(where, empty)]
    return []


def encode_labels(raw: RawRows, classes: Sequence[str] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as integers into the class names, for labels that passed `check_labels`.

    >>> encode_labels(RawRows("", np.zeros((3, 1)), np.array([10, 9, 10])), None)
    (array([1, 0, 1]), ('9', '10'))
    >>> encode_labels(RawRows("", np.zeros((2, 1)), np.array(["b", "b"])), ("a", "b"))
    (array([1, 1]), ('a', 'b'))
    """
    names, codes = _distinct(raw.labels)
    if classes is None:
        return codes.astype(np.int64), names
    index = {name: k for k, name in enumerate(classes)}
    table = np.array([index.get(name, -1) for name in names], dtype=np.int64)
    return table[codes] if len(codes) else np.zeros(0, dtype=np.int64), tuple(classes)


def check_classes(raw: RawRows, classes: Sequence[str] | None) -> list[Problem]:
    """Fewer than two classes, a class of its own for every row, or classes that the train rows do not have."""
    where = raw.place(1)
    names, codes = _distinct(raw.labels)
    if not len(codes):
        return []
    if classes is not None:
        unknown = [name for name in names if name not in set(classes)]
        rows = np.flatnonzero(np.isin(codes, [names.index(name) for name in unknown]))
        if not unknown:
            return []
        return [
            Problem(
                where,
                f"{counted(len(unknown), 'class does', 'classes do')} not occur in the train rows: "
                f"{names_text(unknown)}; {rows_text(rows)}",
                cause=f"another task, or labels spelt differently; the train classes are {names_text(classes)}",
                fix="use the same label names in both files, or drop these rows",
            )
        ]
    if len(names) == 1:
        return [
            Problem(
                where,
                f"expected at least two classes, got one: {names_text(names)}",
                cause="a file of one class, or a wrong label column",
                fix="name the label column, or add rows of another class",
            )
        ]
    if len(names) == len(codes) and len(codes) > 2:
        return [
            Problem(
                where,
                f"every one of the {len(codes):,} rows has a class of its own",
                cause="this column holds ids or a continuous quantity, not classes",
                fix="name the label column",
            )
        ]
    return []


def _distinct(y: NDArray[np.generic]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    if y.dtype.kind == "f":
        y = y.astype(np.int64)
    elif y.dtype == object:
        y = y.astype(str)
    elif y.dtype.kind == "S":
        y = np.char.decode(y.astype(np.bytes_), "utf-8", "backslashreplace")
    values, codes = np.unique(y, return_inverse=True)
    return tuple(str(value) for value in values.tolist()), codes.astype(np.int64)


def _wrong_shape(where: str, y: NDArray[np.generic]) -> Problem:
    cause = "multi-label or one-hot y" if y.ndim == 2 else "a scalar or a nested array"
    fix = "give one label a row; for one-hot y use y.argmax(axis=1). Multi-label y is not supported"
    return Problem(where, f"expected one label a row, shape [n], got shape {list(y.shape)}", cause, fix)


def _missing(where: str, rows: NDArray[np.integer]) -> Problem:
    return Problem(where, f"labels are missing in {rows_text(rows)}", fix="label or drop these rows")


def _check_floats(where: str, y: NDArray[np.generic]) -> list[Problem]:
    values = y.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    problems = [_missing(where, bad)] if len(bad) else []
    finite = values[np.isfinite(values)]
    fractional = np.flatnonzero(np.isfinite(values) & (values != np.round(values)))
    if len(fractional):
        example = ", ".join(f"{v:.4g}" for v in values[fractional[:3]])
        what = f"expected classes, got continuous values such as {example} in {rows_text(fractional)}"
        problems.append(Problem(where, what, "y is a regression target", CONTINUOUS))
    elif len(finite) and np.abs(finite).max() >= 2.0**53:
        problems.append(Problem(where, "labels of 2^53 and more are not exact as floats", fix="save y as integers"))
    return problems


def _check_objects(where: str, y: NDArray[np.generic]) -> list[Problem]:
    values = y.tolist()
    empty = np.array([i for i, v in enumerate(values) if v is None or v == "" or v != v], dtype=np.int64)
    odd = np.array([i for i, v in enumerate(values) if i not in set(empty.tolist()) and not isinstance(v, str)])
    problems = [_missing(where, empty)] if len(empty) else []
    if len(odd):
        kinds = names_text(sorted({type(values[i]).__name__ for i in odd}))
        what = f"expected integer or string labels, got objects of type {kinds} in {rows_text(odd)}"
        problems.append(Problem(where, what, fix="convert y to int or str"))
    return problems
