"""What the marks of a plot mean: each word beside a piece of its own line, on rows of their own above the plot.

A word beside a line would sit on another line sooner or later: curves close in on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limen.pages.svg import Element, el, label, line, shorten

SWATCH, GAP, ROW = 20.0, 16.0, 17.0
WIDE = 7.9  # pixels of a bold character of 12.5 px in the widest of the usual faces


@dataclass(frozen=True, slots=True)
class Entry:
    """One mark: the class of its line, the class of its dots (empty: none), its words and their class."""

    line: str
    dot: str
    text: str
    class_: str

    @property
    def width(self) -> float:
        """Pixels of swatch and words."""
        return SWATCH + 6 + WIDE * len(self.text)


def rows_of(entries: Sequence[Entry], width: float) -> list[list[Entry]]:
    """Entries on as few rows of `width` pixels as their order allows.

    >>> long = Entry("a", "", "twenty characters ..", "")
    >>> [len(row) for row in rows_of([long, long, long], 400)]
    [2, 1]
    """
    rows: list[list[Entry]] = []
    for entry in entries:
        taken = sum(other.width + GAP for other in rows[-1]) if rows else width
        if not rows or taken + entry.width > width:
            rows.append([])
        rows[-1].append(entry)
    return rows


def key(entries: Sequence[Entry], left: float, width: float, top: float) -> list[Element]:
    """The rows drawn from (left, top) on."""
    parts: list[Element] = []
    for number, row in enumerate(rows_of(entries, width)):
        x, y = left, top + ROW * number
        for entry in row:
            parts.append(line([(x, y - 4), (x + SWATCH, y - 4)], f"{entry.line} key"))
            if entry.dot:
                parts.append(el("circle", cx=x + SWATCH / 2, cy=y - 4, r=3, class_=f"mark {entry.dot}"))
            text = shorten(entry.text, width - SWATCH - 6, 11.6)
            parts.append(label(x + SWATCH + 6, y, text, entry.class_))
            x += entry.width + GAP
    return parts
