"""One column of one table as an encoder takes it: texts, pixels [n, h, w, c], sounds, or vectors [n, d]."""

from __future__ import annotations

from typing import Any

from limen.data.images import decode_images
from limen.data.tables import read_table
from limen.records.errors import BadInput, Problem


def read_inputs(data: str, column: str, kind: str) -> Any:
    """The inputs in a column. Raises BadInput for a column of another kind.

    >>> read_inputs("digits:test", "image", "image").shape
    (450, 8, 8, 1)
    """
    values = read_table(data, [column]).columns[column]
    if kind == "image" and values.dtype == object:
        return decode_images(values.tolist())
    if kind in ("text", "audio"):
        wanted = str if kind == "text" else bytes
        wrong = next((value for value in values if not isinstance(value, wanted)), None)
        if wrong is not None:
            what = f"expected {kind}, got {type(wrong).__name__}"
            raise BadInput(Problem(f"{data}: {column}", what, fix="name the right column with column = …"))
        return values.tolist()
    axes = 4 if kind == "image" else 2
    if values.ndim != axes:
        what = f"expected {'pixels [n, h, w, c]' if axes == 4 else 'vectors [n, d]'}, got shape {list(values.shape)}"
        raise BadInput(Problem(f"{data}: {column}", what, fix="name the right column with column = …"))
    return values
