"""Embeddings in a Parquet file too large to hold: row group after row group, into a file of plain rows.

Which columns are features, labels, groups and ids is decided as for a small file (`limen.data.columns`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from limen.arrays.row_blocks import BLOCK
from limen.data.columns import FeatureColumns, assembled, feature_columns, is_list, list_matrix, named_columns, to_numpy
from limen.data.parquet import parquet_batches, parquet_schema, parquet_values, read_parquet
from limen.data.raw import RawRows
from limen.data.slices import table_slices, without_names
from limen.data.spool import LARGE_BYTES, spooled
from limen.records.errors import BadInput, Problem

Asked = tuple[str | None, str | None, str | None]


def is_large(path: Path) -> bool:
    """Whether the numbers of the file are too many to hold. Raises BadInput for what is no sound Parquet file."""
    return parquet_values(path) * 8 > LARGE_BYTES


def large_parquet_rows(path: Path, asked: Asked, slices: Sequence[str]) -> tuple[RawRows, dict[str, tuple[str, ...]]]:
    """The rows, their features in a temporary file, and the categories of the slice columns."""
    rows, schema = parquet_schema(path)
    columns = without_names(schema.names, slices, asked)
    named = named_columns(path, columns, rows, asked)
    absent = [name for name in slices if name not in schema.names]
    if absent:
        table_slices(path, schema.empty_table(), absent)  # raises, naming the columns there are
    beside = read_parquet(path, list(dict.fromkeys([*(name for name in named if name), *slices])))
    chosen = feature_columns(
        path, schema, [c for c in columns if c not in named], lambda name: read_parquet(path, [name])[name]
    )
    matrix = _matrix(path, schema, chosen)
    return assembled(path, beside, named, (matrix, chosen.called, chosen.notes)), table_slices(path, beside, slices)


def _matrix(path: Path, schema: pa.Schema, chosen: FeatureColumns) -> NDArray[Any]:
    blocks = _blocks(path, schema, chosen)
    first = next(blocks)

    def every() -> Iterator[NDArray[Any]]:
        yield first
        yield from blocks

    return spooled(str(path), every(), first.shape[1], first.dtype)


def _blocks(path: Path, schema: pa.Schema, chosen: FeatureColumns) -> Iterator[NDArray[Any]]:
    """Blocks of rows [·, d], of one width and type."""
    listed = is_list(schema.field(chosen.names[0]).type)
    done, width = 0, None
    for batch in parquet_batches(path, chosen.names, BLOCK):
        table = pa.Table.from_batches([batch])
        where = f"{path}: {chosen.called}"
        block = list_matrix(where, table[0], done) if listed else np.column_stack([to_numpy(c) for c in table.columns])
        if width is not None and block.shape[1] != width:
            what = f"expected lists of {width:,} numbers; row {done:,} has {block.shape[1]:,}"
            raise BadInput(Problem(where, what, fix="compute them again"))
        done, width = done + len(block), block.shape[1]
        yield block
