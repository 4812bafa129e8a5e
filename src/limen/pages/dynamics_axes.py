"""The frame of a plot of a run: logarithmic or linear axes, intervals that may leave it, words at the ends of lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limen.pages import wording
from limen.pages.scales import Linear, Log, log_ticks, ticks
from limen.pages.svg import Element, el, label, line, number

APART = 16.0  # pixels between the baselines of words at the ends of lines
LEAST, LARGE = 1e-300, 1e7  # from LARGE on marks are powers of ten
NARROW = 30.0  # ratio of the ends below which an axis without three 1-2-5 marks gets evenly spaced ones


@dataclass(frozen=True, slots=True)
class Panel:
    """A plot inside a picture: its scales end where its frame does."""

    x: Log
    y: Log | Linear

    @property
    def left(self) -> float:
        """Pixel of the left edge."""
        return self.x.start

    @property
    def right(self) -> float:
        """Pixel of the right edge."""
        return self.x.end

    @property
    def base(self) -> float:
        """Pixel of the lower edge."""
        return self.y.start

    @property
    def top(self) -> float:
        """Pixel of the upper edge."""
        return self.y.end

    def holds(self, value: float) -> bool:
        """Whether a value lies inside the vertical axis."""
        return self.y.low <= value <= self.y.high


def span(values: Iterable[float | None], pad: float = 1.3) -> tuple[float, float]:
    """The range of a logarithmic axis: the known values above 0, and a factor around them.

    >>> span([2.0, None, 8.0, -1.0], pad=2.0)
    (1.0, 16.0)
    >>> span([])
    (1.0, 10.0)
    """
    known = [value for value in values if value is not None and value > LEAST]
    return (min(known) / pad, max(known) * pad) if known else (1.0, 10.0)


def levels(panel: Panel, up: str) -> list[Element]:
    """Lines at round values of the vertical axis, its ticks, and its name above the left edge."""
    parts = []
    for value, text in marks(panel.y, 5):
        y = panel.y(value)
        parts += [line([(panel.left, y), (panel.right, y)], "zero" if value == 0 else "grid")]
        parts.append(label(panel.left - 7, y + 4, text, "tick", "end"))
    return [*parts, label(8, panel.top - 10, up, "tick")]


def across(panel: Panel, name: str) -> list[Element]:
    """Ticks of the horizontal axis and its name below them, at the right edge."""
    parts = []
    for value, text in marks(panel.x, 9 if panel.right - panel.left > 500 else 4):
        x = panel.x(value)
        parts.append(line([(x, panel.base), (x, panel.base + 5)], "grid"))
        parts.append(label(x, panel.base + 18, text, "tick", "middle"))
    return [*parts, label(panel.right, panel.base + 35, name, "tick", "end")]


def marks(scale: Log | Linear, most: int) -> list[tuple[float, str]]:
    """Round values with their words; powers of ten as such.

    >>> marks(Log(1e-6, 1e-2, 0.0, 1.0), 5)[0]
    (1e-06, '10⁻⁶')
    >>> marks(Log(1e30, 1e36, 0.0, 1.0), 2)[0][1]
    '10³⁰'
    """
    if isinstance(scale, Linear):
        return ticks(scale.low, scale.high, most)
    rounded = log_ticks(scale.low, scale.high, most)
    found = [(value, power(f"{value:.0e}" if value >= LARGE else text)) for value, text in rounded]
    return found if len(found) > 2 or scale.high > NARROW * scale.low else ticks(scale.low, scale.high, most)


def power(text: str) -> str:
    """A number as people write it: `1e-05` as 10⁻⁵.

    >>> power("1e-05"), power("2e-05"), power("10")
    ('10⁻⁵', '2×10⁻⁵', '10')
    """
    said = wording.prose(text)
    return said.removeprefix("1×") if said.startswith("1×") else said


def bar(panel: Panel, x: float, low: float, high: float, class_: str) -> Element:
    """An interval at pixel `x`; an end that leaves the frame is an arrow at its edge."""
    bottom = panel.y(low) if low > panel.y.low else panel.base
    top = panel.y(high) if high < panel.y.high else panel.top
    path = f"M{number(x)} {number(bottom)}V{number(top)}"
    if low <= panel.y.low:
        path += f"M{number(x - 2.5)} {number(bottom - 4)}l2.5 4l2.5 -4"
    if high >= panel.y.high:
        path += f"M{number(x - 2.5)} {number(top + 4)}l2.5 -4l2.5 4"
    return el("path", d=path, class_=class_)


def thinned(pixels: Sequence[float], apart: float) -> list[int]:
    """Which of increasing pixels are drawn, so that neighbours lie `apart`; the last always.

    >>> thinned([0.0, 1.0, 5.0, 6.0, 12.0], 4.0)
    [0, 2, 4]
    """
    kept: list[int] = []
    for index, at in enumerate(pixels):
        if not kept or at - pixels[kept[-1]] >= apart:
            kept.append(index)
    if kept and kept[-1] != len(pixels) - 1:
        kept[-1:] = [len(pixels) - 1] if len(kept) > 1 else [kept[0], len(pixels) - 1]
    return kept


@dataclass(frozen=True, slots=True)
class End:
    """Words that belong to the end of a line."""

    x: float
    y: float
    text: str
    class_: str


def ends(panel: Panel, words: Sequence[End]) -> list[Element]:
    """Words in the right margin, each led to its line, none on another."""
    parts, column = [], panel.right + 26
    order = sorted(words, key=lambda end: end.y)
    places = spread([end.y for end in order], panel.top + 6, panel.base - 2)
    for end, y in zip(order, places, strict=True):
        lead = [(end.x + 5, end.y), (panel.right + 8, end.y), (column - 5, y)]
        parts += [line(lead, f"lead {end.class_}"), label(column, y + 4, end.text, f"gap {end.class_}")]
    return parts


def spread(wanted: Sequence[float], top: float, base: float) -> list[float]:
    """Increasing places at least `APART` from each other, near those wanted, inside [top, base] where they fit.

    >>> spread([50.0, 52.0, 53.0], 0.0, 60.0)
    [28.0, 44.0, 60.0]
    """
    places: list[float] = []
    for at in wanted:
        places.append(max(at, places[-1] + APART if places else top))
    limit = base
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - APART
    return places


def known(value: float | None) -> bool:
    """Whether a number can stand on a logarithmic axis."""
    return value is not None and math.isfinite(value) and value > LEAST
