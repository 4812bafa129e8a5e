"""The inputs of one population as an encoder takes them, from any source: texts, images, audio bytes, vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.data.images import decode_images
from limen.data.phrases import names_text
from limen.data.tables import describe, read_table
from limen.records.errors import BadInput, Problem

FITTING = {"text": ("text",), "image": ("bytes", "image"), "audio": ("bytes",), "features": ("vector",)}
"""Kind of input → kinds of columns that can hold it."""
USUAL = {"features": ("X", "embedding", "embeddings")}


def input_column(source: str | Path, kind: str, column: str | None = None) -> str:
    """The column that holds the inputs: the one named, or the one named like the kind. Raises BadInput.

    >>> input_column("digits:test", "image")
    'image'
    """
    columns = describe(source).columns
    usual = (column,) if column else USUAL.get(kind, (kind,))
    name = next((name for name in usual if name in columns), None)
    kinds = names_text(f"{n} ({k})" for n, k in columns.items())
    if name is None:
        fitting = [n for n, k in columns.items() if k in FITTING[kind]]
        fix = f"name the column: {names_text(fitting)}" if fitting else f"no column holds {kind}"
        what = f"expected a column {' or '.join(usual)} of {kind}; the columns are {kinds}"
        raise BadInput(Problem(str(source), what, fix=fix))
    if columns[name] not in FITTING[kind]:
        what = f"expected {kind} ({' or '.join(FITTING[kind])}) in column {name}, got {columns[name]}"
        raise BadInput(Problem(f"{source}: {name}", what, fix=f"name another column; there are {kinds}"))
    return name


def read_inputs(source: str | Path, kind: str, column: str | None = None) -> NDArray[Any]:
    """Texts as an object array of strings, images as [n, h, w, c], audio as an object array of bytes, features [n, d].

    Raises BadInput for missing columns and values, columns of another kind, and bytes that are no image.

    >>> read_inputs("digits:test", "image").shape
    (450, 8, 8, 1)
    """
    name = input_column(source, kind, column)
    values = read_table(source, [name]).columns[name]
    if kind == "image" and values.dtype == object:
        return decode_images(values.tolist())
    return values.astype(object) if kind == "text" and values.dtype != object else np.asarray(values)
