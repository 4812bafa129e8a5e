"""A study file as text with the place of every key, so that each error names its line and shows it.

study.toml:14:8: error: adapt.labels: expected a whole number ≥ 1 or "all", got 0.5
  14 | labels = [0.5, "all"]
     |           ^^^
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from limen.records.errors import Problem
from limen.study.positions import Index, Path, Place, line_and_column


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, before it is tied to lines: the keys concerned (the first is the subject), and what to do."""

    paths: tuple[Path, ...]
    what: str
    fix: str = ""
    at_key: bool = False
    """Whether the key is wrong rather than its value."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one study file, its name for messages, its places and its values as TOML gives them."""

    name: str
    text: str = ""
    index: Index = field(default_factory=Index)
    plain: Mapping[str, Any] = field(default_factory=dict)

    def problem(self, finding: Finding) -> Problem:
        """The finding with file:line:column of its first key and the lines of all its keys."""
        subject = finding.paths[0] if finding.paths else ()
        what = f"{dotted(subject)}: {finding.what}" if subject else finding.what
        spans = [self.span(path, finding.at_key) for path in finding.paths]
        known = [span for span in spans if span is not None]
        where = f"{self.name}:{self.position(known[0])}" if spans and spans[0] else self.name
        return Problem(where, what, fix=finding.fix, context=self.excerpt(known))

    def span(self, path: Path, at_key: bool) -> tuple[int, int] | None:
        """Where a path stands; where it does not stand, its nearest table."""
        exact = path in self.index.places
        while path and path not in self.index.places:
            path = path[:-1]
        place: Place | None = self.index.places.get(path)
        if place is None:
            return None
        return place.key if at_key or not exact else place.value

    def position(self, span: tuple[int, int]) -> str:
        """`line:column` of the start of a span."""
        line, column = line_and_column(self.text, span[0])
        return f"{line}:{column}"

    def excerpt(self, spans: Iterable[tuple[int, int]]) -> str:
        """The source lines of some spans, each with carets under it."""
        lines = self.text.split("\n")
        shown = []
        for start, end in spans:
            number, column = line_and_column(self.text, start)
            line = lines[number - 1].expandtabs(1)
            width = max(1, min(end - start, len(line) - column + 1))
            shown.append(f"  {number:>4} | {line[:200]}")
            if column <= 200:
                shown.append(f"       | {' ' * (column - 1)}{'^' * min(width, 80)}")
        return "\n".join(shown)


def dotted(path: Path) -> str:
    """A path as a person writes it.

    >>> dotted(("adapt", "labels", 0))
    'adapt.labels[0]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word, or the known words.

    >>> did_you_mean("lables", ["labels", "loss"])
    'did you mean "labels"?'
    >>> did_you_mean("x", ["labels", "loss"])
    'known here: labels, loss'
    """
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known here: {', '.join(words)}" if words else ""
