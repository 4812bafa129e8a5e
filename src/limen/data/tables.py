"""Tables of examples: text, image bytes, audio bytes, vectors, numbers, with labels and groups beside them.

A source is a .parquet, .csv or .npz file, or one of the built-in names `digits`, `digits:train`, `digits:test` and
those of `limen.data.worlds.pretraining.names`.
Kinds of columns: text, bytes (images or audio, undecoded), vector (a list of numbers a row), image (decoded pixels
[n, h, w, c]), number, boolean, other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from limen.data.columns import is_list, is_number, list_matrix, to_numpy
from limen.data.csv import missing_column, read_csv
from limen.data.digits import NAMES as DIGITS
from limen.data.digits import TEST_ROWS, TRAIN_ROWS, digits
from limen.data.files import present_file
from limen.data.npz import npz_headers, read_arrays
from limen.data.parquet import parquet_schema, read_parquet
from limen.data.phrases import did_you_mean, printable, rows_text
from limen.data.worlds.pretraining.names import SOURCES, world_columns, world_of
from limen.records.errors import BadInput, Problem

NAMES = (*DIGITS, *SOURCES)
"""Every built-in table."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a table holds, known without reading its data: number of rows, and the kind of each column."""

    rows: int
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length: text and bytes as object arrays [n], vectors as [n, d], images as [n, h, w, c]."""

    where: str
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def builtin(source: str | Path) -> bool:
    """Whether the source is a built-in name rather than a file.

    >>> builtin("digits:train"), builtin("digits.csv")
    (True, False)
    """
    return str(source) in NAMES


def describe(source: str | Path) -> TableFacts:
    """Rows and columns of a source, from footers and headers (a .csv has none: it is scanned once). Raises BadInput.

    >>> describe("digits:test")
    TableFacts(rows=450, columns={'image': 'image', 'label': 'number'})
    """
    if str(source) in SOURCES:
        world = world_of(source)
        return TableFacts(world.rows, world.kinds)
    if builtin(source):
        rows = {"digits": TRAIN_ROWS + TEST_ROWS, "digits:train": TRAIN_ROWS, "digits:test": TEST_ROWS}[str(source)]
        return TableFacts(rows, {"image": "image", "label": "number"})
    path = Path(source)
    suffix = _suffix(path)
    if suffix == ".parquet":
        rows, schema = parquet_schema(path)
        return TableFacts(rows, {field.name: _kind(field.type) for field in schema})
    if suffix == ".csv":
        table = read_csv(path)
        return TableFacts(table.num_rows, {field.name: _kind(field.type) for field in table.schema})
    headers = npz_headers(path)
    kinds = {name: _array_kind(header.dtype, len(header.shape)) for name, header in headers.items()}
    return TableFacts(max((h.shape[0] for h in headers.values() if h.shape), default=0), kinds)


def read_table(source: str | Path, columns: Sequence[str]) -> Table:
    """The named columns of a source. Raises BadInput for missing columns and for missing values, with row numbers.

    >>> table = read_table("digits:test", ["image", "label"])
    >>> len(table), table.columns["image"].shape
    (450, (450, 8, 8, 1))
    """
    facts = describe(source)
    missing = [missing_column(Path(source), name, list(facts.columns)) for name in columns if name not in facts.columns]
    if missing:
        raise BadInput(missing)
    if facts.rows == 0:
        raise BadInput(Problem(str(source), "expected rows, got a table without any", "an empty selection was saved"))
    if str(source) in SOURCES:
        held = world_columns(str(source))
        return Table(str(source), {name: held[name] for name in columns})
    if builtin(source):
        images, labels = digits(str(source))
        every: dict[str, NDArray[Any]] = {"image": images, "label": labels}
        return Table(str(source), {name: every[name] for name in columns})
    path = Path(source)
    if path.suffix.lower() == ".npz":
        return Table(str(path), read_arrays(path, columns))
    table = read_parquet(path, columns) if path.suffix.lower() == ".parquet" else read_csv(path, columns)
    return Table(str(path), _columns(path, table, columns))


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".csv", ".npz"):
        return suffix
    if not path.exists() and (near := did_you_mean(str(path), NAMES)):
        raise BadInput(Problem(printable(str(path)), "expected a file or a built-in name", fix=near))
    present_file(path)
    raise BadInput(Problem(str(path), f"expected a .parquet, .csv or .npz file, got {suffix or 'no suffix'}"))


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or _holds_bytes(kind):
        return "bytes"
    if is_list(kind) and is_number(kind.value_type):
        return "vector"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "number" if is_number(kind) else "other"


def _array_kind(dtype: np.dtype[Any], axes: int) -> str:
    if dtype.hasobject:
        return "pickle"
    if dtype.kind in "US" and axes == 1:
        return "text"
    if dtype.kind not in "biuf":
        return "other"
    return {1: "boolean" if dtype.kind == "b" else "number", 2: "vector", 4: "image"}.get(axes, "other")


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether it is a struct with the bytes of a file, as image and audio columns of many published tables are."""
    return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _columns(path: Path, table: pa.Table, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    columns, problems = {}, []
    for name in names:
        column = table[name]
        if _holds_bytes(column.type):
            column = pc.struct_field(column, "bytes")
        empty = np.flatnonzero(column.is_null().to_numpy())
        if len(empty):
            what = f"values are missing in {rows_text(empty)}"
            problems.append(Problem(f"{path}: {name}", what, fix="fill or drop these rows"))
            continue
        try:
            columns[name] = list_matrix(f"{path}: {name}", column) if is_list(column.type) else _values(column)
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return columns


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    values = to_numpy(column)
    return values.astype(object) if values.dtype.kind == "U" else values
