"""Tables of a CSV file: UTF-8, comma-separated, a header line with the names of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc

from limen.data.files import expect_file
from limen.data.phrases import did_you_mean, names_text, printable
from limen.records.errors import BadInput, Problem


def read_csv(path: Path, columns: Sequence[str] | None = None, text: Sequence[str] = ()) -> pa.Table:
    """The table, or some of its columns; columns in `text` stay text even where they look like numbers.

    Raises BadInput for a file that is not UTF-8 text with equally long lines, and for missing columns.
    """
    expect_file(path, "text")
    convert = pc.ConvertOptions(column_types={name: pa.string() for name in text})
    parse = pc.ParseOptions(newlines_in_values=True)
    try:
        table = pc.read_csv(path, parse_options=parse, convert_options=convert)
        foreign = [field.name for field in table.schema if pa.types.is_binary(field.type)]
        _ = table.column_names  # decoded here: a header that is not UTF-8 is found now
        if foreign:
            raise ValueError(f"columns that are not UTF-8: {names_text(foreign)}")
    except (pa.ArrowException, OSError, ValueError, MemoryError, UnicodeDecodeError) as error:
        first = (str(error).splitlines() or [repr(error)])[0]
        raise BadInput(
            Problem(
                str(path),
                f"expected UTF-8 comma-separated text with a header line; reading it failed: {printable(first, 160)}",
                cause="lines of different length, another separator or another encoding, or a truncated file",
                fix="write it again as UTF-8 with commas, or as Parquet",
            )
        ) from None
    if columns is None:
        return table
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise BadInput([missing_column(path, name, table.column_names) for name in missing])
    return table.select(list(columns))


def missing_column(path: Path, name: str, columns: Sequence[str]) -> Problem:
    """The problem of a column that is not in a table, with the nearest name."""
    what = f"there is no column {printable(name)}; the columns are {names_text(columns)}"
    return Problem(str(path), what, fix=did_you_mean(name, columns) or "name one of these columns")
