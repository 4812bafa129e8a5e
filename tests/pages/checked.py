"""What every page must be, and how tests read one: tags, ids, tables as people see them, numbers as they are written.

`written` is the inverse of every way that a page writes a number, so that shown numbers can be held against records.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ACTIVE = frozenset({"link", "img", "iframe", "object", "embed", "form", "base"})
_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
_NUMBER = re.compile(r"^([+−]?)([\d,]+(?:\.\d+)?)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)|e([+−-]?\d+))?")


@dataclass
class Table:
    """A table: its caption, and each row as title → text."""

    caption: str = ""
    titles: list[str] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, str]]:
        return [dict(zip(self.titles, cells, strict=True)) for cells in self.cells if cells]


class Seen(HTMLParser):
    """Tags, ids, references, headings and tables of a page, and whatever could run or ask the network."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.active: list[str] = []
        self.tables: list[Table] = []
        self.headings: list[tuple[int, str]] = []
        self._open: str = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("aria-labelledby", "aria-describedby"):
                self.references += (value or "").split()
            if name.startswith("on") or name in ("src", "srcset", "action", "formaction"):
                self.active.append(f"{name}={value}")
            if name in ("href", "xlink:href") and not (value or "").startswith("#"):
                self.active.append(f"{name}={value}")
        if tag == "table":
            self.tables.append(Table())
        elif tag == "tr":
            self.tables[-1].cells.append([])
        elif tag in ("td", "th") and self.tables:
            self.tables[-1].cells[-1].append("")
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag in ("td", "th", "caption") or re.fullmatch("h[1-6]", tag):
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "thead":
            self.tables[-1].titles = self.tables[-1].cells.pop()
        if tag == self._open:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "caption":
            self.tables[-1].caption += data
        elif self._open in ("td", "th"):
            self.tables[-1].cells[-1][-1] += data
        elif self._open:
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def table(self, caption: str) -> Table:
        """The one table whose caption begins so."""
        (found,) = (table for table in self.tables if table.caption.startswith(caption))
        return found


def seen(page: str) -> Seen:
    """A page as a browser would build it."""
    parser = Seen()
    parser.feed(page)
    return parser


def check_self_contained(page: str) -> Seen:
    """Nothing runs but the one script, nothing is asked of the network, ids are unique, references resolve."""
    parser = seen(page)
    assert parser.active == []
    assert parser.tags.count("script") == page.count("</script>") == 1
    assert not ACTIVE & set(parser.tags)
    assert len(set(parser.ids)) == len(parser.ids)
    assert set(parser.references) <= set(parser.ids)
    assert page.count("<svg") == page.count("</svg>")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    levels = [level for level, _ in parser.headings]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    page.encode("utf-8")
    return parser


def check_policy(page: str) -> None:
    """The policy in the head forbids everything but inline style and the script of the page, by its hash."""
    import base64
    import hashlib

    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert f"script-src &#39;sha256-{digest}&#39;" in policy[1]
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe-eval" not in policy[1]


def written(text: str) -> tuple[float, float]:
    """The number that a text begins with, and half a unit of its last digit.

    >>> written("−2.5×10² (−260 to −240)"), written("123,456 updates"), written("0.0")
    ((-250.0, 5.0), (123456.0, 0.5), (0.0, 0.05))
    """
    found = _NUMBER.match(text)
    assert found is not None, f"no number in {text!r}"
    sign, digits, raised, power = found.groups()
    scale = 10.0 ** int((raised or power or "0").translate(_DIGITS))
    decimals = len(digits.partition(".")[2])
    value = float(digits.replace(",", "")) * scale
    return (-value if sign == "−" else value), 0.5 * 10.0**-decimals * scale


def says(text: str, value: float | None, digits: int = 0) -> bool:
    """Whether a text begins with this number: to half a unit of the last digit that it writes, or to so many digits."""
    if value is None or text.startswith("–"):
        return value is None and text.startswith("–")
    shown, half = written(text)
    room = 0.5 * 10.0 ** (1 - digits) * abs(value) if digits else half
    return abs(shown - value) <= room * (1 + 1e-9)


def opened(browser: Any, file: Path, width: int = 1200, **options: object) -> tuple[Any, list[str], list[str]]:
    """A page in the browser, what it asked for, and what it complained about."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    return page, asked, complaints
