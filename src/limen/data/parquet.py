"""Tables of a Parquet file: footer first, then columns; damage is an error with a name, never a crash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from limen.data.columns import is_list, is_number
from limen.data.files import expect_file
from limen.data.phrases import printable
from limen.records.errors import BadInput, Problem


def parquet_schema(path: Path) -> tuple[int, pa.Schema]:
    """Number of rows and columns with their types, from the footer alone. Raises BadInput."""
    expect_file(path, "parquet")
    with _damage(path):
        footer = pq.read_metadata(path)
        return int(footer.num_rows), footer.schema.to_arrow_schema()


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table, or some of its columns. Raises BadInput for what is not a sound Parquet file."""
    expect_file(path, "parquet")
    with _damage(path), pq.ParquetFile(path) as file:
        table = file.read(columns=None if columns is None else list(columns))
        table.validate(full=True)
        _ = table.column_names  # decoded here: a name that is not UTF-8 is found now
        return table


def parquet_batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Some columns in batches of at most so many rows, one row group after the other. Raises BadInput."""
    # pre-buffering would read every row group ahead, and hold it
    with _damage(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
            batch.validate(full=True)
            yield batch


def parquet_values(path: Path) -> int:
    """Numbers in the file, those in lists counted one by one: rows times what the first row holds. Raises BadInput.

    The counts of a footer's column chunks would be nearer, but Arrow ends the process where those are damaged.
    """
    expect_file(path, "parquet")
    with _damage(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        rows, schema = int(file.metadata.num_rows), file.schema_arrow
        lists = [field.name for field in schema if is_list(field.type)]
        a_row = sum(is_number(field.type) for field in schema)
        if lists and rows:
            first = next(file.iter_batches(batch_size=1, columns=lists), None)
            if first is None:
                raise ValueError(f"the footer counts {rows:,} rows, and the file holds none")
            a_row += sum(len(column[0].as_py() or ()) for column in first.columns)
        return rows * a_row


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError, UnicodeDecodeError, KeyError) as error:
        first = (str(error).splitlines() or [repr(error)])[0]
        raise BadInput(
            Problem(
                str(path),
                f"expected a sound Parquet file; reading it failed: {printable(first, 160)}",
                cause="a truncated or damaged file (interrupted copy or download)",
                fix="copy or write it again",
            )
        ) from None
