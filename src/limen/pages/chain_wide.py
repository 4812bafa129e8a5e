"""The chain drawn across: two rooms, the threshold between them, five losses at their heights, gaps as ribbons.

Each room has its own vertical scale (the two losses have different units). A ribbon fans out to the gap's interval.
"""

from __future__ import annotations

from limen.pages import wording
from limen.pages.chain import Chain, Node, Ribbon
from limen.pages.scales import Linear
from limen.pages.svg import Caption, Element, el, label, line, number, picture, symbol

WIDTH, HEIGHT = 1040, 372
TOP, BOTTOM = 20.0, 340.0
HIGHEST, LOWEST = 142.0, 252.0


def wide(chain: Chain, key: str) -> Element:
    """The picture for screens of 720 pixels and more."""
    left = 348.0 if chain.pretraining else 176.0
    start = left + 64
    width = WIDTH - start
    places = [start + 84, start + 84 + (width - 249) / 2, start + width - 165]
    rooms = [_room(0, left, "PRETRAINING", bool(chain.pretraining)), _room(start, width, "ADAPTATION", True)]
    parts: list[Element | None] = [*rooms, *_door(chain, left)]
    if chain.pretraining and chain.pretraining_gap:
        scale = _scale(chain, chain.pretraining)
        parts += _row(chain.pretraining, (chain.pretraining_gap,), [96.0, 276.0], scale)
        parts.append(_crossing(chain, 276.0, scale, (left + 32, places[0])))
    else:
        lines = ("not recorded:", "the encoder came", "without a record of", "its pretraining")
        parts += [label(left / 2, 150 + 18 * i, text, "small soft unroomed", "middle") for i, text in enumerate(lines)]
    parts += _estimation(chain, places)
    parts += _row(chain.adaptation, chain.gaps, places, _scale(chain, chain.adaptation))
    drawn = el("g", *parts, class_="chain")
    return picture(key, (WIDTH, HEIGHT), Caption(chain.title, chain.description), drawn)


def _scale(chain: Chain, nodes: tuple[Node, ...]) -> Linear:
    return Linear(*chain.range(nodes), LOWEST, HIGHEST)


def _room(x: float, width: float, name: str, known: bool) -> Element:
    class_ = "room" if known else "room empty"
    box = el("rect", x=x + 1, y=TOP, width=width - 2, height=BOTTOM - TOP, rx=14, class_=class_)
    return el("g", box, label(x + 20, TOP + 26, name, "room-name"))


def _door(chain: Chain, left: float) -> list[Element | None]:
    x = left + 14
    arch = el("path", d=f"M{number(x)} 340V70a18 18 0 0 1 36 0V340", class_="door")
    if not chain.interface:
        return [arch]
    return [
        arch,
        label(left + 32, 12, "interface", "gap floor unroomed", "middle"),
        label(left + 32, 362, chain.interface, "small floor unroomed", "middle"),
    ]


def _height(node: Node, scale: Linear) -> float | None:
    """Where the node sits: at its value, else at the middle or the known end of its interval."""
    e = node.estimate
    if e is None:
        return None
    if e.value is not None:
        return scale(e.value)
    known = [x for x in (e.low, e.high) if x is not None]
    return scale(sum(known) / len(known)) if known else None


def _row(nodes: tuple[Node, ...], gaps: tuple[Ribbon, ...], places: list[float], scale: Linear) -> list[Element | None]:
    heights = [_height(node, scale) for node in nodes]
    parts: list[Element | None] = []
    for index, ribbon in enumerate(gaps):
        here, there = heights[index], heights[index + 1]
        if here is not None and there is not None:
            room = places[index + 1] - places[index]
            above = _tops(nodes[index : index + 2], scale) if _wide(ribbon) > room - 20 else []
            parts += _flow((places[index], here), (places[index + 1], there), ribbon, scale, above)
    for index, (node, x, y) in enumerate(zip(nodes, places, heights, strict=True)):
        parts += _node(node, x, y, scale, _under(index, heights, gaps, scale))
    return parts


def _wide(ribbon: Ribbon) -> float:
    """Pixels of the longest line of a ribbon."""
    return max((7.9 * len(text) for text, _ in ribbon.lines), default=0.0)


def _tops(nodes: tuple[Node, ...], scale: Linear) -> list[float]:
    """Upper ends of the whiskers of some nodes."""
    return [scale(n.estimate.high) - 4 for n in nodes if n.estimate is not None and n.estimate.high is not None]


def _under(index: int, heights: list[float | None], gaps: tuple[Ribbon, ...], scale: Linear) -> float:
    """Lower edge of the ribbons within the width of the words under a node; 0 where there is none."""
    y, edges = heights[index], [0.0]
    if y is None:
        return 0.0
    if index > 0 and heights[index - 1] is not None:
        ends = gaps[index - 1]
        edges.append(y + 7 if ends.low is None else max(scale(ends.low), y + 3.5) + 4)
    if index < len(gaps) and (there := heights[index + 1]) is not None:
        low = gaps[index].low
        edges.append(y + 7 + 0.2 * max(0.0, (there if low is None else scale(low)) - y))
    return max(edges)


def _flow(
    start: tuple[float, float], end: tuple[float, float], ribbon: Ribbon, scale: Linear, above: list[float]
) -> list[Element | None]:
    """A ribbon that ends as wide as the gap's interval; its lines of text above it and above the heights `above`."""
    (x1, y1), (x2, y2) = (start[0] + 13, start[1]), (end[0] - 15, end[1])
    low = y2 + 3.5 if ribbon.low is None else max(scale(ribbon.low), y2 + 3.5)
    high = y2 - 3.5 if ribbon.high is None else min(scale(ribbon.high), y2 - 3.5)
    m = number((x1 + x2) / 2)
    a, b, c, d = (number(v) for v in (y1 - 2.5, high, low, y1 + 2.5))
    x1s, x2s = number(x1), number(x2)
    path = f"M{x1s} {a}C{m} {a} {m} {b} {x2s} {b}L{x2s} {c}C{m} {c} {m} {d} {x1s} {d}Z"
    top = min(y1, y2, high, *above) - 10 - 15 * len(ribbon.lines)
    texts = [
        label((x1 + x2) / 2, top + 15 * (i + 1), text, class_, "middle")
        for i, (text, class_) in enumerate(ribbon.lines)
    ]
    arrow = el("path", d=f"M{number(x2 - 5)} {number(y2 - 6)}l7 6l-7 6", class_="arrow")
    return [el("path", d=path, class_="ribbon"), arrow, *texts]


def _node(node: Node, x: float, y: float | None, scale: Linear, clear: float) -> list[Element | None]:
    names = [symbol(node.base, node.index, x, 306), label(x, 326, node.words, "small soft", "middle")]
    e = node.estimate
    if e is None or y is None:
        reason = "not recorded" if e is None else e.state.replace("_", " ")
        return [label(x, 200, reason, "small soft", "middle"), *names]
    low, high = (None if end is None else scale(end) for end in (e.low, e.high))
    parts: list[Element | None] = [_whisker(x, low, high, y)]
    known = e.value is not None
    parts.append(
        el("circle", cx=x, cy=y, r=8.5, class_=f"node{' floor' * (node.base == 'L*')}{'' if known else ' unknown'}")
    )
    under = max(y + 9, (low or y) + 4, clear) + 17
    shown = f"{wording.value(e)} {e.mark}" if known else wording.unknown(e)
    inside = wording.interval(e)
    parts.append(label(x, under, shown, (f"value{' floor' * (node.base == 'L*')}" if known else "gap soft"), "middle"))
    parts.append(label(x, under + 14, inside, "tiny soft", "middle") if inside else None)
    return [*parts, *names]


def _whisker(x: float, low: float | None, high: float | None, y: float) -> Element | None:
    """Both ends with caps; a missing end is an arrow that leaves the known range."""
    if low is None and high is None:
        return None
    bottom = low if low is not None else y + 26
    top = high if high is not None else y - 26
    tip_low = (
        f"M{number(x - 5)} {number(bottom)}h10"
        if low is not None
        else f"M{number(x - 4)} {number(bottom - 5)}l4 5l4 -5"
    )
    tip_high = (
        f"M{number(x - 5)} {number(top)}h10" if high is not None else f"M{number(x - 4)} {number(top + 5)}l4 -5l4 5"
    )
    return el("path", d=f"M{number(x)} {number(bottom)}V{number(top)}{tip_low}{tip_high}", class_="whisker")


def _crossing(chain: Chain, x: float, scale: Linear, ends: tuple[float, float]) -> Element | None:
    """The dotted way through the threshold, from L_pre at `x` by the door to the floor; `ends` = door and floor."""
    if not chain.pretraining:
        return None
    here = _height(chain.pretraining[1], scale)
    there = _height(chain.adaptation[0], _scale(chain, chain.adaptation))
    if here is None or there is None:
        return None
    door, end = ends
    curve = (x + 13, here, door - 40, here, door + 20, there, end - 14, there)
    way = "M{} {}C{} {} {} {} {} {}".format(*map(number, curve))
    return el("path", d=way, class_="crossing")


def _estimation(chain: Chain, places: list[float]) -> list[Element | None]:
    """The bracket at the right: from the height of the floor to the height of the loss."""
    if not chain.estimation:
        return []
    scale = _scale(chain, chain.adaptation)
    floor, loss = _height(chain.adaptation[0], scale), _height(chain.adaptation[2], scale)
    if floor is None or loss is None:
        return []
    x = places[2] + 52
    middle = (floor + loss) / 2 - 4
    head, *rest = chain.estimation
    name, _, amount = head[0].partition(" ")
    stacked = [(name, head[1]), (amount, head[1]), *rest]
    texts: list[Element | None] = [
        label(x + 8, middle - 8 + 15 * i, text, class_) for i, (text, class_) in enumerate(stacked)
    ]
    start, end = chain.adaptation[0].estimate, chain.adaptation[2].estimate
    if start is None or end is None or start.value is None or end.value is None:
        return texts  # a bracket between heights that are not known would be read as a number
    bracket = el("path", d=f"M{number(x - 6)} {number(loss)}h6V{number(floor)}h-6", class_="bracket")
    return [line([(places[0] + 12, floor), (x - 6, floor)], "leader"), bracket, *texts]
