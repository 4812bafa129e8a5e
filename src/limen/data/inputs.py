"""One column of one table as an encoder takes it: texts, pixels [n, h, w, c], sounds, or vectors [n, d].

An input is bad if nothing can be made of it:

    text      empty, or nothing but white space
    image     bytes that are no sound JPEG or PNG; decoded pixels that are not finite
    audio     bytes that are no sound PCM wav, or end before their header says
    features  a vector that is not finite (told here only where such rows are to be skipped; else by the checks of rows)

on_bad = stop   every bad row is named, and nothing is read
on_bad = skip   bad rows are left out and told, unless they are more than half of all
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.data.audio import broken_audio
from limen.data.images import decode_sound
from limen.data.on_bad import OnBad
from limen.data.phrases import names_text, rows_text
from limen.data.tables import read_table
from limen.records.errors import BadInput, Problem
from limen.records.units import counted

EXPECTED: Mapping[str, tuple[str, str]] = {
    "text": ("texts that hold something", "missing values"),
    "image": ("sound images (JPEG or PNG bytes, or finite pixels)", "truncated downloads, or another kind of file"),
    "audio": ("sound PCM wav bytes", "truncated downloads, or another format"),
    "features": ("finite numbers", "missing values"),
}
"""Kind → what a row should be, and the usual reason that it is not."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a column that can be used, and the rows that cannot."""

    values: Any
    """Texts, pixels [n, h, w, c], bytes of wav files, or vectors [n, d]."""
    rows: NDArray[np.int64]
    """Their rows in the table, ascending."""
    skipped: tuple[tuple[int, str], ...] = ()
    """Rows that were left out, ascending, each with its reason."""

    @property
    def note(self) -> str:
        """What was left out, in words; empty where nothing was."""
        return skipped_note(self.skipped, len(self.rows) + len(self.skipped))


def read_inputs(data: str, column: str, kind: str) -> Any:
    """The inputs in a column. Raises BadInput for a column of another kind and for bad rows, which are named.

    >>> read_inputs("digits:test", "image", "image").shape
    (450, 8, 8, 1)
    """
    return usable_inputs(data, column, kind).values


def usable_inputs(data: str, column: str, kind: str, on_bad: OnBad = "stop") -> Inputs:
    """The inputs in a column, without the bad ones where these are to be skipped.

    Raises BadInput for a column of another kind, for bad rows under `stop`, and under `skip` for more than half of
    all; they are named.

    >>> usable_inputs("digits:test", "image", "image", "skip").skipped
    ()
    """
    where = f"{data}: {column}"
    values = read_table(data, [column]).columns[column]
    sound: Any
    if kind == "image" and values.dtype == object:
        sound, bad = decode_sound(values.tolist())
    elif kind in ("text", "audio"):
        sound, bad = _of_objects(where, kind, values)
    else:
        sound, bad = _of_numbers(where, kind, values, on_bad)
    if bad and (on_bad == "stop" or 2 * len(bad) > len(values)):
        raise BadInput(_problem(where, kind, bad, len(values) if on_bad == "skip" else None))
    kept = np.delete(np.arange(len(values), dtype=np.int64), list(bad))
    return Inputs(sound, kept, tuple(sorted(bad.items())))


def skipped_note(skipped: Sequence[tuple[int, str]], rows: int, where: str = "") -> str:
    """How many rows were left out of how many, which, and why; empty for none.

    >>> skipped_note([(3, "empty")], 20, "train")
    'train: 1 of 20 rows skipped: 1 row (row 3), empty'
    """
    if not skipped:
        return ""
    reasons = names_text(sorted({reason for _, reason in skipped}), 3)
    named = rows_text([row for row, _ in skipped])
    return f"{where}{': ' * bool(where)}{len(skipped):,} of {counted(rows, 'row')} skipped: {named}, {reasons}"


def _of_objects(where: str, kind: str, values: NDArray[Any]) -> tuple[list[Any], dict[int, str]]:
    """Texts or bytes, and the reason of every bad one."""
    wanted = str if kind == "text" else bytes
    wrong = next((value for value in values if not isinstance(value, wanted)), None)
    if wrong is not None:
        what = f"expected {kind}, got {type(wrong).__name__}"
        raise BadInput(Problem(where, what, fix="name the right column with column = …"))
    every = values.tolist()
    if kind == "audio":
        bad = broken_audio(every)
    else:
        bad = {row: "empty" for row, text in enumerate(every) if not text.strip()}
    return [value for row, value in enumerate(every) if row not in bad], bad


def _of_numbers(where: str, kind: str, values: NDArray[Any], on_bad: OnBad) -> tuple[NDArray[Any], dict[int, str]]:
    """Pixels or vectors; whether they are finite is asked where the ones that are not can be left out."""
    axes = 4 if kind == "image" else 2
    if values.ndim != axes:
        what = f"expected {'pixels [n, h, w, c]' if axes == 4 else 'vectors [n, d]'}, got shape {list(values.shape)}"
        raise BadInput(Problem(where, what, fix="name the right column with column = …"))
    if on_bad == "stop" or values.dtype.kind != "f":
        return values, {}
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return values[finite], {int(row): "not finite" for row in np.flatnonzero(~finite)}


def _problem(where: str, kind: str, bad: Mapping[int, str], rows: int | None) -> Problem:
    """The problem of bad rows; `rows` of the table where they are too many to be skipped."""
    expected, cause = EXPECTED[kind]
    named = f"{rows_text(sorted(bad))} cannot be used: {names_text(sorted(set(bad.values())), 3)}"
    if rows is not None:
        what = f"expected {expected} in at least half of the rows; {named}; {counted(rows, 'row')} in all"
        return Problem(where, what, cause, "look at the file: skipping rows is for a few bad ones among good ones")
    fix = 'repair or drop these rows, or leave them out with on_bad = "skip"'
    return Problem(where, f"expected {expected}; {named}", cause, fix)
