"""Which columns of a table are features, labels, groups and ids, for tables of embeddings.

Features are one list column of numbers (`X`, `embedding` or `embeddings`) or, without one, all numeric columns that
are not label, group or id. The label is `y` or `label`; group and id are `group` and `id`; others when named.

A row number is no feature: in a file sorted by class it gives the label away. Numeric columns are left out, with a
note, that carry the name pandas gives its index, or that hold n consecutive whole numbers, each once, in any order.
An embedding never looks like that; whoever has such a feature renames it, or adds 0.5 to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from limen.data.phrases import did_you_mean, names_text, printable, rows_text
from limen.data.raw import RawRows
from limen.records.errors import BadInput, Problem

LIST_NAMES = ("X", "embedding", "embeddings")
LABEL_NAMES = ("y", "label")
INDEX_NAMES = re.compile(r"|index|level_\d+|Unnamed: \d+(_level_\d+)?|__index_level_\d+__")
"""What pandas calls the index of a data frame that was saved with it; the empty name is that of `to_csv`."""


def raw_rows(path: Path, table: pa.Table, label: str | None, group: str | None, id_column: str | None) -> RawRows:
    """The rows of a table of embeddings. Raises BadInput naming every column that is missing or cannot be used."""
    found = named_columns(path, table.column_names, table.num_rows, (label, group, id_column))
    features = _features(path, table, [c for c in table.column_names if c not in found])
    return assembled(path, table, found, features)


Named = tuple[str, str | None, str | None]
"""Columns of labels, groups and ids."""


def named_columns(path: Path, columns: list[str], rows: int, asked: tuple[str | None, str | None, str | None]) -> Named:
    """Which columns hold labels, groups and ids; `asked` as named by the caller. Raises BadInput."""
    label, group, id_column = asked
    problems = [_repeated(path, name) for name in sorted({c for c in columns if columns.count(c) > 1})]
    label_name = _pick(path, columns, label, LABEL_NAMES, problems)
    group_name = _pick(path, columns, group, ("group",), problems)
    id_name = _pick(path, columns, id_column, ("id",), problems)
    if label_name is None and label is None:
        problems.append(_no_label(path, columns))
    if rows == 0:
        problems.append(Problem(str(path), "expected rows, got a table without any", "an empty selection was saved"))
    if problems:
        raise BadInput(problems)
    assert label_name is not None
    return label_name, group_name, id_name


def assembled(
    path: Path, table: pa.Table, named: Named, features: tuple[NDArray[Any], str, tuple[str, ...]]
) -> RawRows:
    """Rows from features (with their name and notes) and the named columns of a table."""
    label, group, id_column = named
    matrix, name, notes = features
    return RawRows(
        where=str(path),
        features=matrix,
        labels=to_numpy(table[label]),
        groups=None if group is None else _category(table[group]),
        ids=None if id_column is None else to_numpy(table[id_column]),
        names=(name, label, group or "group", id_column or "id"),
        notes=notes,
    )


def to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as a NumPy array; missing values become NaN (numbers) or None (everything else).

    >>> to_numpy(pa.chunked_array([[1, 2]]))
    array([1, 2])
    >>> to_numpy(pa.chunked_array([["a", None]])).tolist()
    ['a', None]
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string(column.type):
        values = np.array(column.to_pylist(), dtype=object)
        return values if column.null_count else values.astype(str)
    if pa.types.is_boolean(column.type) and not column.null_count:
        return np.asarray(column.to_numpy(), dtype=np.bool_)
    if is_number(column.type):
        return np.asarray(column.to_numpy())
    return _objects(column)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column type holds integers, floats or booleans."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether a column type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def list_matrix(where: str, column: pa.ChunkedArray, first_row: int = 0) -> NDArray[Any]:
    """A column of equally long lists of numbers as a matrix [n, d]. Raises BadInput for ragged or missing lists.

    `first_row` is the number of its first row in the file.
    """
    problems = []
    if not is_number(column.type.value_type):
        raise BadInput(Problem(where, f"expected lists of numbers, got {column.type}"))
    missing = first_row + np.flatnonzero(np.asarray(column.is_null()))
    if len(missing):
        problems.append(Problem(where, f"embeddings are missing in {rows_text(missing)}", fix="drop these rows"))
    lengths = np.asarray(pc.list_value_length(column).fill_null(-1).to_numpy())
    present = lengths[lengths >= 0]
    if len(present):
        usual = int(np.bincount(present).argmax())
        odd = np.flatnonzero((lengths >= 0) & (lengths != usual))
        if len(odd):
            got = f"{rows_text(odd + first_row)} have other lengths, such as {int(lengths[odd[0]])}"
            problems.append(Problem(where, f"expected lists of {usual:,} numbers; {got}", fix="compute them again"))
    if problems:
        raise BadInput(problems)
    flat = pc.list_flatten(column)
    values = np.asarray(flat.to_numpy())
    return values.reshape(len(column), -1) if len(column) and len(values) else np.zeros((len(column), 0))


def _objects(column: pa.ChunkedArray) -> NDArray[Any]:
    values = np.empty(len(column), dtype=object)
    for row, value in enumerate(column):
        values[row] = value.as_py() if value.is_valid else None
    return values


def _category(column: pa.ChunkedArray) -> NDArray[Any]:
    values = to_numpy(column)
    if values.dtype != object:
        return values
    return values if any(v is not None and not isinstance(v, str) for v in values) else values.astype(str)


def _pick(
    path: Path, columns: list[str], named: str | None, usual: tuple[str, ...], problems: list[Problem]
) -> str | None:
    if named is None:
        return next((name for name in usual if name in columns), None)
    if named in columns:
        return named
    what = f"there is no column {printable(named)}; the columns are {names_text(columns)}"
    problems.append(Problem(str(path), what, fix=did_you_mean(named, columns) or "name one of these columns"))
    return None


def _no_label(path: Path, columns: list[str]) -> Problem:
    what = f"expected a label column {' or '.join(LABEL_NAMES)}; the columns are {names_text(columns)}"
    near = next((near for name in reversed(LABEL_NAMES) if (near := did_you_mean(name, columns))), "")
    numbers = columns and all(_is_float(name) for name in columns)
    cause = "the first line holds numbers: the header line is missing" if numbers else ""
    return Problem(str(path), what, cause, f"{near} name the label column".strip())


def _repeated(path: Path, name: str) -> Problem:
    return Problem(str(path), f"the column {printable(name)} occurs more than once", fix="rename one of them")


def _features(path: Path, table: pa.Table, names: list[str]) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    chosen = feature_columns(path, table.schema, names, lambda name: table[name])
    if len(chosen.names) == 1 and is_list(table.schema.field(chosen.names[0]).type):
        name = chosen.names[0]
        return list_matrix(f"{path}: {name}", table[name]), chosen.called, chosen.notes
    return np.column_stack([to_numpy(table[name]) for name in chosen.names]), chosen.called, chosen.notes


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """The columns that are features (one of lists, or numeric ones), what they are called, what was left out."""

    names: list[str]
    called: str
    notes: tuple[str, ...]


def feature_columns(
    path: Path, schema: pa.Schema, names: list[str], column: Callable[[str], pa.ChunkedArray]
) -> FeatureColumns:
    """Which of the columns `names` are features; `column` reads one. Raises BadInput where none can be used."""
    listed = [name for name in names if name in LIST_NAMES and is_list(schema.field(name).type)]
    if len(listed) > 1:
        raise BadInput(Problem(str(path), f"expected one column of embeddings, got {names_text(listed)}"))
    if listed:
        left = [name for name in names if name != listed[0]]
        return FeatureColumns(listed, listed[0], (f"columns not used: {names_text(left)}",) if left else ())
    numbers = [name for name in names if is_number(schema.field(name).type)]
    index = {name: why for name in numbers if (why := _row_number(name, column(name)))}
    numeric = [name for name in numbers if name not in index]
    if index and not numeric:
        raise BadInput(_only_row_numbers(path, index))
    names = [name for name in names if name not in index]
    left = [name for name in names if name not in numeric]
    problems = [problem for name in left if (problem := _spoilt(path, name, column(name)))]
    if not numeric and not problems:
        kinds = names_text(f"{name} ({schema.field(name).type})" for name in names)
        what = f"expected a list column X, embedding or embeddings, or numeric columns; the others are {kinds}"
        problems.append(Problem(str(path), what, fix="compute embeddings first; a study file computes them from text"))
    if problems:
        raise BadInput(problems)
    notes = (f"columns not used: {names_text(left)}",) if left else ()
    said = tuple(f"column {_quoted(name)} is not used as a feature: {why}" for name, why in index.items())
    return FeatureColumns(numeric, f"{len(numeric)} numeric columns", (*notes, *said))


def _row_number(name: str, column: pa.ChunkedArray) -> str:
    """Why a numeric column is a row number and no feature; empty for a feature."""
    if INDEX_NAMES.fullmatch(name):
        return "this is the name that pandas gives its index"
    rows = len(column)
    if rows < 3 or pa.types.is_boolean(column.type) or column.null_count:
        return ""  # two rows of 0 and 1 are a plain feature
    values = to_numpy(column)
    low, high = float(values.min()), float(values.max())
    if not low.is_integer() or high - low != rows - 1:  # also where the column holds NaN or infinity
        return ""
    return "it numbers the rows" if np.array_equal(np.sort(values), low + np.arange(rows)) else ""


def _quoted(name: str) -> str:
    return repr(printable(name))


def _only_row_numbers(path: Path, index: dict[str, str]) -> Problem:
    said = "; ".join(f"{_quoted(name)}: {why}" for name, why in index.items())
    what = f"expected features, got row numbers only ({said})"
    return Problem(str(path), what, "a data frame saved without its embeddings", "save the features as well")


def _spoilt(path: Path, name: str, column: pa.ChunkedArray) -> Problem | None:
    """A column that is mostly numbers but holds some text: dropping it without a word would lose a feature."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    values = column.to_pylist()
    bad = [row for row, value in enumerate(values) if value and not _is_float(value)]
    filled = sum(1 for value in values if value)
    if not bad or 2 * len(bad) >= filled:
        return None
    examples = names_text(repr(values[row]) for row in bad[:3])
    what = f"expected numbers, got text such as {examples} in {rows_text(bad)}"
    return Problem(f"{path}: {name}", what, fix="correct these cells, or leave the column out")


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
