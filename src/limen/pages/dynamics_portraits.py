"""Phase portraits: the path of a mode through (position, velocity) on the ellipse that the law predicts.

Position to the right, velocity upwards: what moves right has velocity above 0, so every oscillation runs clockwise.
The ellipse of k standard deviations is {(x, v): (x, v)ᵀP⁻¹(x, v) = k²}, drawn from the Cholesky factor of P. The dial
under it is one update: from the upright hand to the measured turn (ink) and to the predicted one (dashed).
"""

from __future__ import annotations

import math

from limen.pages import dynamics_words as words
from limen.pages import wording
from limen.pages.scales import Linear, ticks
from limen.pages.svg import Caption, Element, el, label, line, number, picture
from limen.records.dynamics import Orbit
from limen.records.estimate import Estimate

SIZE = (250.0, 330.0)
LEFT, TOP, SIDE = 12.0, 22.0, 226.0
CORNERS = 72
TRAILS = 5  # pieces of the path, the older the fainter
DIAL = (40.0, 292.0, 27.0)


def portrait(orbit: Orbit, law: str, name: str, caption: Caption) -> Element:
    """One panel; `law` names the hue of the ellipse, `name` is unique on the page."""
    x, y = _scales(orbit)
    parts = [*_frame(x, y), *_path(orbit, x, y)]
    if orbit.ellipse is not None:
        for k in (1.0, 2.0):
            points = [(x(a), y(b)) for a, b in ellipse(orbit.ellipse, k)]
            parts.append(line([*points, points[0]], f"ellipse {law}"))
        across, up = max(points, key=lambda p: p[0] - p[1])
        parts.append(label(across + 4, up - 3, "2 sd", f"small {law}"))
    parts += [*_rotation(orbit.measured_turn), *_dial(orbit, law), *_turn_words(orbit, law)]
    return picture(name, SIZE, caption, *parts)


def ellipse(moments: tuple[float, float, float], k: float) -> list[tuple[float, float]]:
    """Corners of the ellipse of `k` standard deviations of Var x, Cov(x, v), Var v.

    >>> [(round(x, 9), round(v, 9)) for x, v in ellipse((4.0, 2.0, 10.0), 1.0)][:: CORNERS // 4]
    [(2.0, 1.0), (0.0, 3.0), (-2.0, -1.0), (-0.0, -3.0)]
    """
    spread, shared, speed = moments
    first = math.sqrt(spread)
    lean = shared / first if first else 0.0
    rest = math.sqrt(max(speed - lean * lean, 0.0))
    angles = [2 * math.pi * i / CORNERS for i in range(CORNERS)]
    return [(k * first * math.cos(a), k * (lean * math.cos(a) + rest * math.sin(a))) for a in angles]


def told(orbit: Orbit, law: str) -> str:
    """The panel in words."""
    text = f"Curvature {words.figure(orbit.curvature)}: {turned(orbit.measured_turn)}"
    if orbit.turn is not None:
        text += f"; the {law} law turns {degrees(orbit.turn)}"
    return text + ("." if orbit.ellipse is not None else "; no ellipse is predicted.")


def turned(found: Estimate) -> str:
    """The measured turn of one update, its direction and its interval."""
    if found.value is None:
        return f"turn not identified, {words.said(found.reason)}"
    inside = "" if found.low is None or found.high is None else f" ({between(found)})"
    return f"turns {degrees(found.value)} an update{way(found.value)}{inside}"


def way(turn: float) -> str:
    """The direction of rotation; positive angles run against the clock."""
    return ", clockwise" if turn < 0 else ", against the clock" if turn > 0 else ""


def degrees(turn: float, digits: int = 1) -> str:
    """The size of an angle.

    >>> degrees(-math.pi / 4)
    '45.0°'
    """
    return f"{abs(math.degrees(turn)):.{digits}f}°"


def between(found: Estimate) -> str:
    """The interval of a turn, in degrees of the direction measured.

    >>> between(Estimate(-math.pi / 6, -math.pi / 4, -math.pi / 9, 0.95, "statistical"))
    '20.0° to 45.0°'
    """
    sign = -1.0 if (found.value or 0.0) < 0 else 1.0
    low, high = sorted(sign * math.degrees(end) for end in (found.low or 0.0, found.high or 0.0))
    return f"{wording.decimal(low, 1)}° to {wording.decimal(high, 1)}°"


def _scales(orbit: Orbit) -> tuple[Linear, Linear]:
    spread, speed = (0.0, 0.0) if orbit.ellipse is None else (orbit.ellipse[0], orbit.ellipse[2])
    wide, high = (
        1.06 * max([*(abs(at) for at in values), 2.7 * math.sqrt(max(variance, 0.0))], default=0.0) or 1.0
        for values, variance in ((orbit.positions, spread), (orbit.velocities, speed))
    )
    return Linear(-wide, wide, LEFT, LEFT + SIDE), Linear(-high, high, TOP + SIDE, TOP)


def _frame(x: Linear, y: Linear) -> list[Element]:
    """Zero lines, one round value on each axis, their names."""
    middle, centre = x(0.0), y(0.0)
    parts = [
        line([(x.start, centre), (x.end, centre)], "zero"),
        line([(middle, y.start), (middle, y.end)], "zero"),
    ]
    across, up = _round(x.high), _round(y.high)
    parts += [line([(x(across), centre - 3), (x(across), centre + 3)], "zero")]
    parts += [line([(middle - 3, y(up)), (middle + 3, y(up))], "zero")]
    parts += [label(x(across), centre + 15, words.figure(across, 2), "tick", "middle")]
    parts += [label(middle + 6, y(up) + 4, words.figure(up, 2), "tick")]
    parts += [label(x.end, centre - 6, "x", "symbol", "end"), label(middle, 14, "v", "symbol", "middle")]
    return parts


def _round(high: float) -> float:
    return next(value for value, _ in reversed(ticks(0.0, high, 2)) if value <= 0.9 * high)


def _path(orbit: Orbit, x: Linear, y: Linear) -> list[Element]:
    points = [(x(a), y(b)) for a, b in zip(orbit.positions, orbit.velocities, strict=True)]
    if not points:
        return []
    parts, length = [], math.ceil(len(points) / TRAILS)
    for piece in range(TRAILS):
        drawn = points[piece * length : (piece + 1) * length + 1]
        if len(drawn) > 1:
            parts.append(line(drawn, f"trail t{piece + 1}"))
    tip = el("title", f"last update: position {words.figure(orbit.positions[-1])}, "
                      f"velocity {words.figure(orbit.velocities[-1])}")  # fmt: skip
    return [*parts, el("circle", tip, cx=points[-1][0], cy=points[-1][1], r=4, class_="dot now")]


def _rotation(turn: Estimate) -> list[Element]:
    """An arrow around the corner of the frame in the direction measured; none where 0 is inside the interval."""
    if not turn.value or (turn.low is not None and turn.high is not None and turn.low <= 0 <= turn.high):
        return []
    cx, cy, radius = LEFT + SIDE / 2, TOP + SIDE / 2, 1.1 * SIDE / 2
    angles = [math.radians(a) for a in range(62, 27, -2)]
    points = [(cx + radius * math.cos(a), cy - radius * math.sin(a)) for a in angles]
    if turn.value > 0:
        points.reverse()
    return [line(points, "rotation"), arrow(points[-2], points[-1], "rotation-head")]


def arrow(before: tuple[float, float], tip: tuple[float, float], class_: str) -> Element:
    """An arrow head at `tip`, pointing away from `before`."""
    angle = math.atan2(tip[1] - before[1], tip[0] - before[0])
    sides = [(tip[0] - 8 * math.cos(angle + a), tip[1] - 8 * math.sin(angle + a)) for a in (0.5, -0.5)]
    path = f"M{number(sides[0][0])} {number(sides[0][1])}L{number(tip[0])} {number(tip[1])}"
    return el("path", d=f"{path}L{number(sides[1][0])} {number(sides[1][1])}z", class_=class_)


def _dial(orbit: Orbit, law: str) -> list[Element]:
    cx, cy, radius = DIAL
    upright, turn = math.pi / 2, orbit.measured_turn

    def hand(angle: float, length: float) -> tuple[float, float]:
        return cx + length * math.cos(angle), cy - length * math.sin(angle)

    parts = [el("circle", cx=cx, cy=cy, r=radius, class_="dial")]
    parts.append(line([(cx, cy), hand(upright, radius)], "zero"))
    if turn.value is not None:
        swept = [upright + turn.value * i / 24 for i in range(25)]
        rim = [hand(a, radius * 0.55) for a in swept]
        inside = "".join(f"L{number(a)} {number(b)}" for a, b in rim)
        parts.append(el("path", d=f"M{number(cx)} {number(cy)}{inside}z", class_="swept"))
        parts.append(line([(cx, cy), hand(upright + turn.value, radius)], "hand"))
    if orbit.turn is not None:
        parts.append(line([(cx, cy), hand(upright + orbit.turn, radius + 6)], f"hand {law}"))
    return parts


def _turn_words(orbit: Orbit, law: str) -> list[Element]:
    left, turn = 84.0, orbit.measured_turn
    if turn.value is None:
        return [label(left, 284, "turn not identified", "gap soft")]
    parts = [label(left, 278, f"{degrees(turn.value)} an update", "gap seen")]
    if turn.low is not None and turn.high is not None:
        parts.append(label(left, 295, f"{between(turn)} {turn.mark}", "small soft"))
    beside = "no turn predicted" if orbit.turn is None else f"law {degrees(orbit.turn)}"
    return [*parts, label(left, 312, beside, "gap soft" if orbit.turn is None else f"gap {law}")]
