"""The chain drawn downwards for narrow screens: words at the left, losses and ribbons in a lane at the right of them.

In the lane the loss grows to the right.
"""

from __future__ import annotations

from limen.pages import wording
from limen.pages.chain import Chain, Node, Ribbon
from limen.pages.scales import Linear
from limen.pages.svg import Caption, Element, el, label, number, picture, symbol

WIDTH = 300.0
WORDS, VALUE = 16.0, 78.0
LANE = (196.0, WIDTH - 12)
LEFT, RIGHT = 206.0, 278.0
STEP = 142.0


def tall(chain: Chain, key: str) -> Element:
    """The picture for screens narrower than 720 pixels."""
    parts: list[Element | None] = []
    y = 8.0
    if chain.pretraining and chain.pretraining_gap:
        parts.append(_room(y, 64 + STEP + 40, "PRETRAINING", True))
        parts += _column(chain, chain.pretraining, (chain.pretraining_gap,), y + 66)
        y += 64 + STEP + 40
    else:
        parts += [_room(y, 66, "PRETRAINING", False)]
        parts.append(label(20, y + 48, "not recorded: the encoder came without", "small soft unroomed"))
        y += 66
    parts += _threshold(chain, y)
    y += 50
    height = 64 + 2 * STEP + 40 + (12 + 16 * len(chain.estimation) if chain.estimation else 0)
    parts.append(_room(y, height, "ADAPTATION", True))
    parts += _column(chain, chain.adaptation, chain.gaps, y + 66)
    if chain.estimation:
        first = y + height - 14 - 16 * (len(chain.estimation) - 1)
        parts += [label(16, first + 16 * i, text, class_) for i, (text, class_) in enumerate(chain.estimation)]
    drawn = el("g", *parts, class_="chain")
    return picture(key, (WIDTH, y + height + 8), Caption(chain.title, chain.description), drawn)


def _room(y: float, height: float, name: str, known: bool) -> Element:
    class_ = "room" if known else "room empty"
    box = el("rect", x=1, y=y, width=WIDTH - 2, height=height, rx=14, class_=class_)
    return el("g", box, label(20, y + 24, name, "room-name"))


def _threshold(chain: Chain, y: float) -> list[Element | None]:
    sill = el("path", d=f"M20 {number(y + 17)}H280M20 {number(y + 33)}H280", class_="door")
    said = chain.interface or "interface: not recorded"
    return [sill, label(WIDTH / 2, y + 29, said, "tiny floor unroomed", "middle")]


def _place(node: Node, scale: Linear) -> float | None:
    e = node.estimate
    if e is None:
        return None
    if e.value is not None:
        return scale(e.value)
    known = [x for x in (e.low, e.high) if x is not None]
    return scale(sum(known) / len(known)) if known else None


def _column(chain: Chain, nodes: tuple[Node, ...], gaps: tuple[Ribbon, ...], y: float) -> list[Element | None]:
    scale = Linear(*chain.range(nodes), LEFT, RIGHT)
    tracks = [y + 4 + STEP * index for index in range(len(nodes))]
    parts: list[Element | None] = []
    for index, ribbon in enumerate(gaps):
        here, there = _place(nodes[index], scale), _place(nodes[index + 1], scale)
        if here is not None and there is not None:
            parts += _flow((here, tracks[index]), (there, tracks[index + 1]), ribbon, scale)
    for node, track in zip(nodes, tracks, strict=True):
        parts += _node(node, track, scale)
    return parts


def _flow(start: tuple[float, float], end: tuple[float, float], ribbon: Ribbon, scale: Linear) -> list[Element | None]:
    (x1, y1), (x2, y2) = (start[0], start[1] + 9), (end[0], end[1] - 10)
    low = x2 - 3.5 if ribbon.low is None else min(scale(ribbon.low), x2 - 3.5)
    high = x2 + 3.5 if ribbon.high is None else max(scale(ribbon.high), x2 + 3.5)
    low, high = max(low, LANE[0]), min(high, LANE[1])
    m = number((y1 + y2) / 2)
    a, b, c, d = (number(v) for v in (x1 - 2.5, low, high, x1 + 2.5))
    path = f"M{a} {number(y1)}C{a} {m} {b} {m} {b} {number(y2)}L{c} {number(y2)}C{c} {m} {d} {m} {d} {number(y1)}Z"
    texts = [label(WORDS, start[1] + 46 + 14 * i, text, class_) for i, (text, class_) in enumerate(ribbon.lines)]
    return [el("path", d=path, class_="ribbon"), *texts]


def _node(node: Node, track: float, scale: Linear) -> list[Element | None]:
    e = node.estimate
    rule = el("path", d=f"M{number(LANE[0])} {number(track)}H{number(LANE[1])}", class_="grid")
    floor = " floor" * (node.base == "L*")
    name = symbol(node.base, node.index, WORDS, track - 8, "start")
    words = label(WORDS, track + 9, node.words, "small soft")
    if e is None:
        return [rule, name, words, label(VALUE, track - 8, "not recorded", "small soft")]
    parts: list[Element | None] = [rule, name, words]
    x = _place(node, scale)
    if x is not None:
        parts += [_whisker(track, e.low, e.high, scale)]
        parts.append(
            el("circle", cx=x, cy=track, r=7.5, class_=f"node{floor}{'' if e.value is not None else ' unknown'}")
        )
    inside = wording.interval(e)
    shown = f"{wording.value(e)} {e.mark}" if e.value is not None else wording.unknown(e)
    parts.append(label(VALUE, track - 8, shown, f"value{floor}" if e.value is not None else "gap soft"))
    parts.append(label(WORDS, track + 23, inside, "tiny soft") if inside else None)
    return parts


def _whisker(y: float, low: float | None, high: float | None, scale: Linear) -> Element | None:
    if low is None and high is None:
        return None
    start = scale(low) if low is not None else LANE[0]
    end = scale(high) if high is not None else LANE[1]
    cap_low = (
        f"M{number(start)} {number(y - 5)}v10" if low is not None else f"M{number(start + 5)} {number(y - 4)}l-5 4l5 4"
    )
    cap_high = (
        f"M{number(end)} {number(y - 5)}v10" if high is not None else f"M{number(end - 5)} {number(y - 4)}l5 4l-5 4"
    )
    return el("path", d=f"M{number(start)} {number(y)}H{number(end)}{cap_low}{cap_high}", class_="whisker")
