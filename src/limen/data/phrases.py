"""Words for messages: row numbers, lists of names, the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def rows_text(rows: NDArray[np.integer] | Sequence[int], shown: int = 5) -> str:
    """Row numbers counted from 0, the first few of them, and how many there are.

    >>> rows_text([3])
    '1 row (row 3)'
    >>> rows_text(list(range(7)))
    '7 rows (rows 0, 1, 2, 3, 4, …)'
    """
    count = len(rows)
    head = ", ".join(str(int(row)) for row in rows[:shown]) + (", …" if count > shown else "")
    return f"1 row (row {head})" if count == 1 else f"{count:,} rows (rows {head})"


def names_text(names: Iterable[str], shown: int = 8) -> str:
    """A list of names, cut after a few; control characters are shown as escapes.

    >>> names_text(["a", "b"])
    'a, b'
    >>> names_text([])
    'none'
    """
    every = [printable(name) for name in names]
    head = ", ".join(every[:shown])
    return (f"{head}, … ({len(every):,} in all)" if len(every) > shown else head) or "none"


def printable(text: str, width: int = 60) -> str:
    r"""One line of at most `width` characters without control characters.

    >>> printable("a\nb")
    'a\\nb'
    """
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return escaped if len(escaped) <= width else escaped[: width - 1] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question naming the nearest known name, or nothing.

    >>> did_you_mean("lable", ["text", "label"])
    'did you mean label?'
    >>> did_you_mean("zzz", ["text"])
    ''
    """
    table = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), list(table), n=1, cutoff=0.6)
    return f"did you mean {printable(table[near[0]])}?" if near else ""
