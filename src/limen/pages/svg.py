"""Static SVG: elements whose names, attributes and text are always escaped, and whose text is the same on every run.

Numbers are written with at most two decimals (a hundredth of a pixel), so equal records give equal bytes.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

Number = int | float

# XML 1.0 forbids these characters even when escaped; a name from a file may hold them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escape(text: str) -> str:
    """Text for an SVG or HTML attribute or body; characters that XML forbids become U+FFFD.

    >>> escape('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return html.escape(printable(text), quote=True)


def printable(text: str) -> str:
    """Text that every file can hold as UTF-8 and XML: control characters and lone surrogates become U+FFFD.

    >>> printable("a\\x00b\\udc80") == "a\ufffdb\ufffd"
    True
    """
    return _FORBIDDEN.sub("\ufffd", text)


def number(value: Number) -> str:
    """A coordinate with at most two decimals.

    >>> number(3.0), number(-0.001), number(1.239)
    ('3', '0', '1.24')
    """
    shown = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if shown in ("-0", "") else shown


@dataclass(frozen=True, slots=True)
class Element:
    """One SVG element; `str()` is its markup."""

    tag: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple[Element | str, ...]

    def __str__(self) -> str:
        opening = self.tag + "".join(f' {name}="{escape(value)}"' for name, value in self.attributes)
        if not self.children:
            return f"<{opening}/>"
        inside = "".join(str(child) if isinstance(child, Element) else escape(child) for child in self.children)
        return f"<{opening}>{inside}</{self.tag}>"


def el(tag: str, *children: Element | str | None, **attributes: str | Number | None) -> Element:
    """An element; None children and attributes are left out, `_` in attribute names becomes `-`, a last `_` goes.

    >>> str(el("text", "a<b", x=1.5, text_anchor="end", class_="soft"))
    '<text x="1.5" text-anchor="end" class="soft">a&lt;b</text>'
    """
    named = tuple(
        (name.rstrip("_").replace("_", "-"), value if isinstance(value, str) else number(value))
        for name, value in attributes.items()
        if value is not None
    )
    return Element(tag, named, tuple(child for child in children if child is not None))


def label(x: Number, y: Number, text: str | Element, class_: str = "", anchor: str = "start") -> Element:
    """Text whose baseline starts, is centred or ends at (x, y)."""
    return el("text", text, x=x, y=y, class_=class_ or None, text_anchor=anchor if anchor != "start" else None)


def line(points: list[tuple[float, float]], class_: str) -> Element:
    """An open polyline.

    >>> str(line([(0, 0), (10, 5.5)], "grid"))
    '<path d="M0 0L10 5.5" class="grid"/>'
    """
    return el("path", d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in points), class_=class_)


def symbol(base: str, index: str, x: Number, y: Number, anchor: str = "middle") -> Element:
    """A loss symbol with its index, such as L with `pre` below the line."""
    lowered = el("tspan", index, dy=4, class_="index")
    return el("text", base, lowered, x=x, y=y, class_="symbol", text_anchor=anchor)


@dataclass(frozen=True, slots=True)
class Caption:
    """What a picture says to those who do not see it: its title, and its content in a sentence or more."""

    title: str
    description: str


def picture(key: str, size: tuple[Number, Number], caption: Caption, *children: Element | None) -> Element:
    """The <svg> root: scales to its container, named by title and description. `key` must be unique on the page."""
    width, height = size
    return el(
        "svg",
        el("title", caption.title, id=f"{key}-t"),
        el("desc", caption.description, id=f"{key}-d"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby=f"{key}-t",
        aria_describedby=f"{key}-d",
    )


def shorten(text: str, width: Number, size: Number = 12) -> str:
    """Text cut with an ellipsis to about `width` pixels at a font of `size` pixels; one line.

    >>> shorten("a name that does not fit", 60)
    'a name…'
    >>> shorten("fits", 60)
    'fits'
    """
    flat = " ".join(text.split())
    room = max(2, int(width / (0.68 * size)))  # a wide face in bold; narrower ones leave space
    return flat if len(flat) <= room else flat[: room - 1].rstrip() + "…"
