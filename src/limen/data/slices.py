"""Columns of categories by which the holdout is split: read beside the features, never among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from limen.data.columns import LABEL_NAMES, to_numpy
from limen.data.npz import read_arrays
from limen.data.phrases import did_you_mean, names_text, printable, rows_text
from limen.records.errors import BadInput, Problem

Slices = Mapping[str, tuple[str, ...]]


def slice_values(where: str, name: str, values: ArrayLike, rows: int) -> tuple[str, ...]:
    """One category a row, as text.

    >>> slice_values("", "who", ["a", "b"], 2), slice_values("", "n", np.array([1, 2]), 2)
    (('a', 'b'), ('1', '2'))

    Raises BadInput for values that are missing, of another number than the rows, or not one a row.
    """
    place, array = f"{where}: {name}" if where else name, np.asarray(values)
    if array.shape != (rows,):
        raise BadInput(Problem(place, f"expected one category for each of {rows:,} rows, got shape {array.shape}"))
    missing = np.array([value is None or (isinstance(value, float) and np.isnan(value)) for value in array.tolist()])
    if missing.any():
        fix = "fill or drop these rows"
        raise BadInput(Problem(place, f"values are missing in {rows_text(np.flatnonzero(missing))}", fix=fix))
    return tuple(str(value) for value in array.tolist())


def table_slices(path: Path, table: pa.Table, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Categories of the named columns of a table. Raises BadInput naming every column that is not there."""
    absent = [_absent(path, name, table.column_names) for name in names if name not in table.column_names]
    if absent:
        raise BadInput(absent)
    return {name: slice_values(str(path), name, to_numpy(table[name]), table.num_rows) for name in names}


def npz_slices(path: Path, names: Sequence[str], rows: int) -> dict[str, tuple[str, ...]]:
    """Categories of the named arrays of an .npz. Raises BadInput for arrays that are not there or do not fit."""
    arrays: Mapping[str, NDArray[Any]] = read_arrays(path, names) if names else {}
    return {name: slice_values(str(path), name, arrays[name], rows) for name in names}


def without(table: pa.Table, names: Sequence[str], taken: Sequence[str | None]) -> pa.Table:
    """The table without slice columns that are nothing else: `taken` = label, group and id as asked for, in order.

    >>> without(pa.table({"who": [1, 2], "y": [0, 1]}), ["who", "y"], (None, None, None)).column_names
    ['y']
    """
    stay = without_names(table.column_names, names, taken)
    return table.drop_columns([name for name in dict.fromkeys(names) if name not in stay])


def without_names(columns: Sequence[str], names: Sequence[str], taken: Sequence[str | None]) -> list[str]:
    """The same for names of columns alone.

    >>> without_names(["who", "y"], ["who", "y"], (None, None, None))
    ['y']
    """
    kept: set[str | None] = set()
    for asked, usual in zip(taken, (LABEL_NAMES, ("group",), ("id",)), strict=True):
        kept |= set(usual) if asked is None else {asked}
    return [name for name in columns if name not in names or name in kept]


def _absent(path: Path, name: str, columns: Sequence[str]) -> Problem:
    what = f"there is no column {printable(name)} to slice by; the columns are {names_text(columns)}"
    return Problem(str(path), what, fix=did_you_mean(name, columns) or "name one of these columns")
