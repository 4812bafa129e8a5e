"""Where the loss comes from: one small waterfall per budget, all on one scale.

floor → + estimation → + optimization = held-out loss → + shift, each term on its own lane with its interval, named
on the lane: no legend. A floor without a point is an outline up to the loss that says what is known of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limen.pages import wording
from limen.pages.scales import Linear, ticks
from limen.pages.svg import Caption, Element, el, label, number, picture, shorten
from limen.records.budget import Budget
from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Lane:
    """One bar from `start` to `end` (values), its interval at `end`, and the words beside it."""

    hue: str
    text: str
    start: float
    end: float
    low: float | None = None
    high: float | None = None
    known: bool = True
    """False: the end of the bar is not a measured split; drawn as an outline."""
    one_sided: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Pixels of one drawing: wide has the words beside the bars, narrow above them."""

    width: float
    left: float
    right: float
    lane: float
    head: float
    above: bool
    room: float
    """Pixels for the name of a shift."""


WIDE = Layout(width=1040, left=216, right=705, lane=24, head=0, above=False, room=80)
NARROW = Layout(width=300, left=8, right=292, lane=36, head=24, above=True, room=60)


def lanes(budget: Budget, room: float = 80) -> list[Lane]:
    """The waterfall of one budget, from the floor up to the loss under each shift; `room` pixels for a shift's name."""
    terms = budget.terms
    loss = terms.get("adaptation_loss")
    if loss is None or loss.value is None:
        return []
    floor = terms.get("minimal_adaptation_loss")
    found = _split(terms["estimation_gap"], terms.get("optimization_gap"), floor) if _splits(budget) and floor else []
    if not found:
        found = [_unsplit(floor, loss.value)]
    total = Lane("total", f"held-out loss {wording.full(loss)} {loss.mark}", 0.0, loss.value, loss.low, loss.high)
    found.append(total)
    for name, population in budget.shift.items():
        gap = population.get("shift_gap")
        if gap is not None and gap.value is not None:
            ends = [None if x is None else loss.value + x for x in (gap.low, gap.high)]
            text = f"shift to {shorten(name, room)} {wording.full(gap, signed=True)} {gap.mark}"
            found.append(Lane("shift", text, loss.value, loss.value + gap.value, ends[0], ends[1]))
    return found


def _splits(budget: Budget) -> bool:
    names = ("minimal_adaptation_loss", "estimation_gap")
    return all(name in budget.terms and budget.terms[name].value is not None for name in names)


def _split(estimation: Estimate, optimization: Estimate | None, floor: Estimate) -> list[Lane]:
    if floor.value is None or estimation.value is None:
        return []
    base = floor.value
    one_sided = not floor.two_sided
    found = [
        Lane("floor", f"floor {wording.full(floor)} {floor.mark}", 0.0, base, floor.low, floor.high, True, one_sided)
    ]
    for hue, gap in (("estimation", estimation), ("optimization", optimization)):
        if gap is None:
            continue
        text = f"{hue} {wording.full(gap, signed=True)} {gap.mark}"
        if gap.value is None:
            found.append(Lane(hue, text, base, base, known=False))
            continue
        low, high = (None if x is None else base + x for x in (gap.low, gap.high))
        found.append(Lane(hue, text, base, base + gap.value, low, high))
        base += gap.value
    return found


def _unsplit(floor: Estimate | None, loss: float) -> Lane:
    """Floor and gaps that the data do not tell apart: an outline up to the loss, with what is known of the floor."""
    if floor is None:
        return Lane("floor", "floor: this method has none to report", 0.0, loss, known=False)
    inside = wording.interval(floor)
    said = f"floor {inside}: {wording.unknown(floor)} {floor.mark}" if inside else "floor: not identified"
    return Lane("floor", said, 0.0, loss, floor.low, floor.high, False, not floor.two_sided)


def waterfall(budgets: Sequence[Budget], key: str, layout: Layout, caption: Caption) -> Element:
    """One picture for budgets of one task and loss; rows in the given order, one scale for all."""
    rows = [(budget, lanes(budget, layout.room)) for budget in budgets]
    ends = [x for _, found in rows for lane in found for x in (lane.start, lane.end, lane.low, lane.high)]
    known = [x for x in ends if x is not None]
    low, high = min([0.0, *known]), max([*known, 0.0])
    scale = Linear(low, high if high > low else low + 1.0, layout.left, layout.right)
    parts: list[Element | None] = []
    y = 28.0
    for budget, found in rows:
        parts += _row(budget, found, y, scale, layout)
        y += layout.head + layout.lane * max(1, len(found)) + 22
    marks = ticks(scale.low, scale.high, 6 if not layout.above else 4)
    grid = [
        el("path", d=f"M{number(scale(v))} 22V{number(y - 10)}", class_="zero" if v == 0 else "grid") for v, _ in marks
    ]
    named = [label(scale(v), 14, text, "tick", _anchor(scale(v), layout)) for v, text in marks]
    return picture(key, (layout.width, y), caption, *grid, *named, *parts)


def _anchor(x: float, layout: Layout) -> str:
    if layout.above and x < 20:
        return "start"
    return "end" if layout.above and x > layout.width - 20 else "middle"


def _row(budget: Budget, found: list[Lane], y: float, scale: Linear, layout: Layout) -> list[Element | None]:
    encoder, method = wording.flat(budget.encoder), wording.method(budget.method)
    if layout.above:
        name = label(8, y + 14, shorten(f"{encoder} · {method}", 286, 13), "row-name")
        parts: list[Element | None] = [name]
    else:
        names = _lines(encoder, 190, 13.5)
        x = layout.left - 16
        parts = [label(x, y + 14 + 16 * i, name, "row-name", "end") for i, name in enumerate(names)]
        parts.append(label(x, y + 14 + 16 * len(names), shorten(method, 190, 11.5), "small soft", "end"))
    top = y + layout.head
    if not found:
        text = (
            f"diverged or not measured: {wording.value(budget.terms['adaptation_loss'])}"
            if "adaptation_loss" in budget.terms
            else "not measured"
        )
        return [*parts, label(layout.left + 4, top + 14, text, "small soft")]
    for index, lane in enumerate(found):
        parts += _lane(lane, top + index * layout.lane, scale, layout)
    return parts


def _lines(name: str, width: float, size: float) -> list[str]:
    """A long name on two lines, broken after a separator of the first line's second half, or where it is full.

    >>> _lines("sentence-transformers/all-MiniLM-L6-v2", 190, 13.5)
    ['sentence-transformer', 's/all-MiniLM-L6-v2']
    """
    first = shorten(name, width, size)
    if not first.endswith("…") or first == name:
        return [first]
    room = len(first)
    cut = max((name.rfind(mark, room // 2, room) + 1 for mark in "-/_@: "), default=0) or room
    return [name[:cut].rstrip(), shorten(name[cut:], width, size)]


def _lane(lane: Lane, y: float, scale: Linear, layout: Layout) -> list[Element | None]:
    start, end = scale(lane.start), scale(lane.end)
    top = y + (16 if layout.above else 3)
    left, width = min(start, end), abs(end - start)
    shape = f"bar {lane.hue}" if lane.known else f"bar outline {lane.hue}"
    bar = el("rect", x=left, y=top, width=max(width, 1.5), height=12, rx=1.5, class_=shape)
    whisker = _whisker(lane, top + 6, top + 16, scale)
    if layout.above:
        return [bar, whisker, label(8, y + 12, lane.text, f"lane {lane.hue}")]
    reach = max(end, start, *(scale(x) for x in (lane.low, lane.high) if x is not None))
    return [bar, whisker, label(reach + 12, y + 13, lane.text, f"lane {lane.hue}")]


def _whisker(lane: Lane, middle: float, under: float, scale: Linear) -> Element | None:
    """The interval: under the bar for the floor, on its end for the others; an arrow where a side is missing."""
    if lane.low is None and lane.high is None:
        return None
    y = under if lane.hue == "floor" else middle
    start = scale(lane.low) if lane.low is not None else max(scale(lane.high or 0.0) - 34, scale.start + 1)
    end = scale(lane.high) if lane.high is not None else scale(lane.low or 0.0) + 34
    first = (
        f"M{number(start)} {number(y - 3.5)}v7"
        if lane.low is not None
        else f"M{number(start + 5)} {number(y - 3.5)}l-5 3.5l5 3.5"
    )
    last = (
        f"M{number(end)} {number(y - 3.5)}v7"
        if lane.high is not None
        else f"M{number(end - 5)} {number(y - 3.5)}l5 3.5l-5 3.5"
    )
    return el("path", d=f"M{number(start)} {number(y)}H{number(end)}{first}{last}", class_=f"interval {lane.hue}")
