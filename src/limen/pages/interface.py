"""The interface: pretraining loss against the floor along the checkpoints of one run, with both error bars.

Training moves along the joined line; the first, last and a few steps between are labelled. A floor without a point is
drawn by what is known of it: its interval, or an arrow from its one end.
"""

from __future__ import annotations

from limen.pages import wording
from limen.pages.scales import Linear, extent, ticks
from limen.pages.svg import Caption, Element, el, label, line, number, picture
from limen.records.estimate import Estimate
from limen.records.report import Checkpoint, Interface

LEFT, TOP = 50.0, 18.0


def interface(run: Interface, task: str, key: str, size: tuple[float, float], caption: Caption) -> Element:
    """One panel for one task; `size` as in `curves`."""
    width, height = size
    points = [point for point in run.checkpoints if task in point.floors]
    losses = [point.pretraining_loss for point in points]
    floors = [point.floors[task] for point in points]
    x = Linear(*extent([v for e in losses for v in (e.value, e.low, e.high)]), LEFT, width - 16)
    y = Linear(*extent([v for e in floors for v in (e.value, e.low, e.high)]), height - 46, TOP)
    known = [
        (x(p.pretraining_loss.value), y(value))
        for p in points
        if p.pretraining_loss.value is not None and (value := p.floors[task].value) is not None
    ]
    parts: list[Element | None] = [*_axes(x, y, width, height)]
    parts.append(line(known, "series path") if len(known) > 1 else None)
    for point in points:
        parts += _point(point, task, x, y)
    parts += _steps(points, task, x, y)
    return picture(key, size, caption, *parts)


def _axes(x: Linear, y: Linear, width: float, height: float) -> list[Element]:
    parts = []
    for value, text in ticks(y.low, y.high, 5):
        parts += [
            line([(LEFT, y(value)), (width - 16, y(value))], "grid"),
            label(LEFT - 6, y(value) + 4, text, "tick", "end"),
        ]
    for value, text in ticks(x.low, x.high, 4 if width < 500 else 8):
        parts += [line([(x(value), y.start), (x(value), y.start + 5)], "grid")]
        parts.append(label(x(value), y.start + 18, text, "tick", "middle"))
    parts.append(label(width - 16, height - 6, "pretraining loss", "tick", "end"))
    return [*parts, label(LEFT + 4, 12, "floor", "gap floor")]


def _point(point: Checkpoint, task: str, x: Linear, y: Linear) -> list[Element | None]:
    pre, floor = point.pretraining_loss, point.floors[task]
    if pre.value is None:
        return []
    across = x(pre.value)
    parts = [_bar(floor, across, y)]
    if floor.value is None:
        return parts
    up = y(floor.value)
    if pre.low is not None and pre.high is not None:
        parts.append(line([(x(pre.low), up), (x(pre.high), up)], "bars"))
    tip = el("title", told(point, task))
    return [*parts, el("circle", tip, cx=across, cy=up, r=4.5, class_="dot floor-dot")]


def _bar(floor: Estimate, across: float, y: Linear) -> Element | None:
    if floor.low is None and floor.high is None:
        return None
    top = y(floor.high) if floor.high is not None else y(floor.low or 0.0) - 24
    bottom = y(floor.low) if floor.low is not None else y(floor.high or 0.0) + 24
    x = number(across)
    first = (
        f"M{number(across - 4)} {number(bottom)}h8"
        if floor.low is not None
        else f"M{number(across - 4)} {number(bottom - 5)}l4 5l4 -5"
    )
    last = (
        f"M{number(across - 4)} {number(top)}h8"
        if floor.high is not None
        else f"M{number(across - 4)} {number(top + 5)}l4 -5l4 5"
    )
    class_ = "bars" if floor.value is not None else "bars unknown"
    return el("path", d=f"M{x} {number(bottom)}V{number(top)}{first}{last}", class_=class_)


def told(point: Checkpoint, task: str) -> str:
    """One checkpoint in words."""
    pre, floor = point.pretraining_loss, point.floors[task]
    return f"step {point.step:,}: pretraining loss {wording.full(pre)}, floor {wording.full(floor)} {floor.mark}"


def _steps(points: list[Checkpoint], task: str, x: Linear, y: Linear) -> list[Element | None]:
    """Step labels that do not touch each other; the last step first, as the one people look for."""
    parts: list[Element | None] = []
    taken: list[tuple[float, float]] = []
    order = [*points[-1:], *points[:-1]]
    for point in order:
        pre, floor = point.pretraining_loss.value, point.floors[task]
        height = floor.value if floor.value is not None else floor.high if floor.high is not None else floor.low
        if pre is None or height is None:
            continue
        text = f"step {point.step:,}" if point is points[-1] else f"{point.step:,}"
        right = x(pre) < LEFT + 76
        place = (x(pre) + (9 if right else -8), y(height) + (16 if right else -8))
        if all(abs(place[0] - u) > 44 or abs(place[1] - v) > 14 for u, v in taken):
            taken.append(place)
            parts.append(label(*place, text, "small soft", "start" if right else "end"))
    return parts
