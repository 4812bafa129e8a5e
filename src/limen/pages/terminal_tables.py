"""Tables of a terminal: columns where there is room, one block a row below NARROW columns, so that 40 suffice.

Which of both is shown is decided when it is printed, by the width there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

NARROW = 72
STYLES = {"floor": "blue", "estimation": "yellow", "optimization": "green", "shift": "magenta", "": ""}


@dataclass(frozen=True, slots=True)
class Fitting:
    """One thing said in two ways."""

    wide: RenderableType
    narrow: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.wide if options.max_width >= NARROW else self.narrow


def plain_table() -> Table:
    """A table without lines; columns are added by whoever fills it."""
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")


def table(columns: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> RenderableType:
    """Named columns of rows of strings; the first is a name and folds, numbers are aligned at the right."""
    wide = plain_table()
    for number, title in enumerate(columns):
        wide.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        wide.add_row(*(Text(row[key]) for key in columns.values()))
    return Fitting(wide, _blocks(columns, rows))


def numbers(wide: Mapping[str, str], narrow: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> RenderableType:
    """Columns of short numbers, aligned at the right: title → key of each, where there is room and where not."""

    def made(columns: Mapping[str, str]) -> Table:
        found = plain_table()
        for title in columns:
            found.add_column(title, justify="right", overflow="fold")
        for row in rows:
            found.add_row(*(Text(row[key]) for key in columns.values()))
        return found

    return Fitting(made(wide), made(narrow))


def _blocks(columns: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> Text:
    (_, first), *others = columns.items()
    lines = []
    for row in rows:
        lines.append(Text(row[first], style="bold"))
        lines += [Text(f"  {title} ", style="dim").append(row[key], style="not dim") for title, key in others]
    return Text("\n").join(lines)


def grid(rows: Sequence[Mapping[str, str]], notes: dict[str, int]) -> RenderableType:
    """Estimates as rows: what, value, interval, grade; what cannot be said in a narrow column is a numbered note."""
    wide = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    wide.add_column(max_width=34, overflow="fold")
    wide.add_column(justify="right", no_wrap=True)
    wide.add_column(no_wrap=True)
    wide.add_column()
    lines = []
    for row in rows:
        name = Text(row["name"].split(":")[0], style=STYLES.get(row["hue"], ""))
        grade = Text(row["grade"])
        if row["note"]:
            grade.append(" " * bool(row["grade"]) + _marks(row["note"], notes), style="dim")
        wide.add_row(name, Text(row["value"], style="bold"), Text(row["interval"]), grade)
        said = Text("  ").append(row["value"], style="bold").append(f"  {row['interval']}  ").append(grade)
        lines += [name, said]
    return Padding(Fitting(wide, Text("\n").join(lines)), (0, 0, 1, 0))


def _marks(note: str, notes: dict[str, int]) -> str:
    """The mark of a note; one that begins with a known note has that note's mark and one for the rest."""
    known = next((said for said in notes if note.startswith(f"{said}; ")), "")
    rest = note.removeprefix(f"{known}; ") if known else note
    mark = raised(notes.setdefault(rest, len(notes) + 1))
    return f"{raised(notes[known])} {mark}" if known else mark


def raised(number: int) -> str:
    """A number as a mark of a note.

    >>> raised(12)
    '¹²'
    """
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def bar(share: float, width: int = 16) -> str:
    """A horizontal bar in eighths of a character.

    >>> bar(0.5, 4), bar(0.0, 4)
    ('██', '')
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + ("" if eighths % 8 == 0 else "▏▎▍▌▋▊▉"[eighths % 8 - 1])
