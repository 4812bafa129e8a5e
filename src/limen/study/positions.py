"""Where every key and every value of a TOML text stands, and which keys stand there twice.

`tomllib` gives values without positions; this index gives positions without values. For a text that `tomllib` accepts
(after removing a byte-order mark and turning CRLF into LF, as `tomllib` does itself):

    every path of tomllib.loads(text) is a key of `Index.places`;
    text[place.key] is the key as written (quoted or bare), text[place.value] parses to the value.

For a text that it rejects, the index holds what stood before the first character that is no TOML, and every repeated
key. Grammar: TOML 1.0.0, https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|"{1,2}(?!")|[^"\\])*+"{3,5}'
    r"|'''(?:'{1,2}(?!')|[^'])*+'{3,5}"
    r'|"(?:\\.|[^"\\\n])*+"'
    r"|'[^'\n]*+'",
    re.DOTALL,
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^,\]}\s#]+|[^,\[\]{}\s#=\"']+")


@dataclass(frozen=True, slots=True)
class Place:
    """Offsets [start, end) of a key as written and of its value. `value` is the key itself for a table's header."""

    key: tuple[int, int]
    value: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A key or table that stands in the text more than once. `extent` is what to blank to drop the later one."""

    path: Path
    first: Place
    second: Place
    extent: tuple[int, int]


@dataclass(slots=True)
class Index:
    """Places of all paths of one text (elements stand before their array), and what stands in it twice."""

    places: dict[Path, Place] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)


def index_positions(text: str) -> Index:
    """The places of all keys, values, array elements and tables in `text` (no byte-order mark, LF line ends).

    >>> text = 'a.b = [1, "x"]  # note'
    >>> index = index_positions(text)
    >>> {path: text[slice(*place.value)] for path, place in index.places.items()}
    {('a',): 'a', ('a', 'b', 0): '1', ('a', 'b', 1): '"x"', ('a', 'b'): '[1, "x"]'}
    """
    scanner = _Scanner(text)
    with suppress(_NotToml):
        scanner.document()
    return scanner.index


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    r"""Line and column of a character, both from 1, columns in characters.

    >>> line_and_column("a = 1\nbb = 2", 9)
    (2, 4)
    """
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


class _NotToml(Exception):
    """The scanner met something that is no TOML; `tomllib` says what."""


Key = tuple[str, tuple[int, int]]


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.index = text, 0, Index()
        self.tables: dict[Path, Place] = {}
        self.leaves: set[Path] = set()
        self.elements: dict[Path, int] = {}

    def document(self) -> None:
        prefix: Path = ()
        skipped: tuple[Path, Place, Place, int] | None = None
        while True:
            self.take(_BLANK)
            start = self.at
            header = self.text.startswith("[", start)
            if skipped and (header or start == len(self.text)):
                path, first, second, begin = skipped
                self.index.repeats.append(Repeat(path, first, second, (begin, start)))
                skipped = None
            if start == len(self.text):
                return
            if header:
                prefix, first_place, place = self.header()
                if first_place is not None:
                    skipped = (prefix, first_place, place, start)
                    prefix = (*prefix, "\0repeated", start)  # its keys are not those of the first table
            else:
                self.pair(prefix)

    def header(self) -> tuple[Path, Place | None, Place]:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        keys = list(self.dotted())
        self.expect("]]" if many else "]")
        path: Path = ()
        for name, span in keys[:-1]:
            path = self.into((*path, name))
            self.index.places.setdefault(path, Place(span, span))
        place = Place(keys[-1][1], keys[-1][1])
        path = (*path, keys[-1][0])
        if many:
            self.index.places.setdefault(path, place)
            self.elements[path] = self.elements.get(path, -1) + 1
            path = (*path, self.elements[path])
        first = self.tables.get(path)
        if first is None and path in self.leaves:
            first = self.index.places[path]
        self.tables.setdefault(path, place)
        self.index.places.setdefault(path, place)
        return path, first, place

    def into(self, path: Path) -> Path:
        """A path that names an array of tables means its last table."""
        return (*path, self.elements[path]) if path in self.elements else path

    def pair(self, prefix: Path) -> None:
        start = self.at
        keys = list(self.dotted())
        self.expect("=")
        path = prefix
        for name, span in keys[:-1]:
            path = (*path, name)
            self.index.places.setdefault(path, Place(span, span))
        path = (*path, keys[-1][0])
        first = self.index.places.get(path)
        known = set(self.index.places) if first else None
        value = self.value(path)
        place = Place(keys[-1][1], value)
        if first is None or known is None:
            self.index.places[path] = place
            self.leaves.add(path)
            return
        for extra in set(self.index.places) - known:  # elements of the value that does not count
            del self.index.places[extra]
        self.index.repeats.append(Repeat(path, first, place, (start, self.at)))

    def dotted(self) -> Iterator[Key]:
        while True:
            self.take(_SPACE)
            start = self.at
            raw = self.take(_STRING) if self.text[start : start + 1] in ("'", '"') else self.take(_BARE)
            if not raw or raw.startswith(('"""', "'''")):
                raise _NotToml
            name = _decode(raw) if raw[0] in "'\"" else raw
            yield name, (start, self.at)
            self.take(_SPACE)
            if not self.text.startswith(".", self.at):
                return
            self.at += 1

    def value(self, path: Path) -> tuple[int, int]:
        self.take(_SPACE)
        start, head = self.at, self.text[self.at : self.at + 1]
        if head == "[":
            self.array(path)
        elif head == "{":
            self.inline(path)
        elif not self.take(_STRING if head in ("'", '"') else _SCALAR):
            raise _NotToml
        return start, self.at

    def array(self, path: Path) -> None:
        self.at += 1
        for number in range(len(self.text)):
            self.take(_BLANK)
            if self.text.startswith("]", self.at):
                break
            span = self.value((*path, number))
            self.index.places.setdefault((*path, number), Place(span, span))
            self.take(_BLANK)
            if not self.text.startswith(",", self.at):
                break
            self.at += 1
        self.take(_BLANK)
        self.expect("]")

    def inline(self, path: Path) -> None:
        self.at += 1
        self.take(_SPACE)
        while not self.text.startswith("}", self.at):
            self.pair(path)
            self.take(_SPACE)
            if not self.text.startswith(",", self.at):
                break
            self.at += 1
        self.expect("}")

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def expect(self, mark: str) -> None:
        self.take(_SPACE)
        if not self.text.startswith(mark, self.at):
            raise _NotToml
        self.at += len(mark)


def _decode(raw: str) -> str:
    try:
        (name,) = tomllib.loads(f"{raw} = 0")
    except tomllib.TOMLDecodeError as error:
        raise _NotToml from error
    return name
