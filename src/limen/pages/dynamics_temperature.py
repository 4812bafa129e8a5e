"""Temperature of every mode against its curvature, measured and by the law, with z on a strip below.

Modes without a temperature stand on a lane above the plot, at their curvature; those of curvature 0 or below, which no
logarithmic axis holds, in a column of their own at the left.
"""

from __future__ import annotations

from limen.pages import dynamics_words as words
from limen.pages.dynamics_axes import Panel, across, bar, known, levels, span
from limen.pages.dynamics_figures import WIDE
from limen.pages.key import ROW, Entry, key, rows_of
from limen.pages.scales import Linear, Log, ticks
from limen.pages.svg import Caption, Element, el, label, line, number, picture
from limen.records.dynamics import Dynamics, ModeVerdict

HEIGHTS = {WIDE: 470.0, 310.0: 420.0}
STRIP = 84.0
CURVATURE = "curvature h, loss/parameter²"
LEFT, COLUMN, LANE = 62.0, 58.0, 34.0


def temperature(found: Dynamics, name: str, width: float, caption: Caption) -> Element:
    """The picture; `width` as in `dynamics_figures`, `name` unique on the page. Needs at least one mode."""
    entries, x = _entries(found), _across(found, width)
    above = 13.0 + ROW * len(rows_of(entries, width - 16))
    lanes = any(not placed(mode) for mode in found.modes)
    parts = key(entries, 8, width - 16, 13)
    if not any(placed(mode) for mode in found.modes):  # a lane alone: no height means anything
        lane = Panel(x, Linear(0.0, 1.0, above + LANE + 6, above))
        parts += [*_lane(found, lane, above + LANE - 10), *across(lane, CURVATURE)]
        return picture(name, (width, above + LANE + 50), caption, *parts)
    compared = any(mode.temperature.z is not None for mode in found.modes)
    bottom = HEIGHTS[width] - 46 - (STRIP + 20 if compared else 0.0)
    panel = Panel(x, Log(*_heights(found), bottom, above + 26.0 + (LANE if lanes else 0.0)))
    parts += [*levels(panel, "temperature h·Var x, loss"), *_law(found, panel), *_measured(found, panel)]
    parts += _lane(found, panel, above + LANE - 10.0) if lanes else []
    if compared:
        parts += _strip(found, Panel(x, _z_scale(found, bottom + 26)))
    else:
        parts += across(panel, CURVATURE)
    return picture(name, (width, HEIGHTS[width]), caption, *parts)


def _heights(found: Dynamics) -> tuple[float, float]:
    at = [mode.temperature for mode in found.modes if mode.curvature > 0]
    return span([v for t in at for v in (t.measured.value, t.measured.high, t.predicted)], 1.6)


def placed(mode: ModeVerdict) -> bool:
    """Whether a mode has a place in the plot."""
    return mode.curvature > 0 and known(mode.temperature.measured.value)


def _entries(found: Dynamics) -> list[Entry]:
    entries = [Entry("bars seen", "seen", "measured", "gap seen")] if any(placed(m) for m in found.modes) else []
    if any(mode.temperature.predicted is not None for mode in found.modes):
        entries.append(Entry(f"track {found.law} own", f"foretold {found.law}", f"{found.law} law", f"gap {found.law}"))
    if any(not placed(mode) for mode in found.modes):
        entries.append(Entry("blank", "unsure", "no temperature", "gap soft"))
    return entries


def _across(found: Dynamics, width: float) -> Log:
    low, high = span([mode.curvature for mode in found.modes], 1.35)
    falling = any(mode.curvature <= 0 for mode in found.modes)
    return Log(low, high, LEFT + (COLUMN if falling else 0.0), width - 14)


def _law(found: Dynamics, panel: Panel) -> list[Element]:
    at = sorted(
        (mode.curvature, mode.temperature.predicted)
        for mode in found.modes
        if mode.curvature > 0 and mode.temperature.predicted is not None and known(mode.temperature.predicted)
    )
    points = [(panel.x(h), panel.y(value)) for h, value in at if value is not None and panel.holds(value)]
    parts = [line(points, f"track {found.law} own")] if len(points) > 1 else []
    return parts + [el("circle", cx=a, cy=b, r=5.5, class_=f"mark foretold {found.law}") for a, b in points]


def _measured(found: Dynamics, panel: Panel) -> list[Element]:
    bars, dots = [], []
    for mode in found.modes:
        measured, x = mode.temperature.measured, panel.x(mode.curvature) if mode.curvature > 0 else 0.0
        if not placed(mode) or measured.value is None:
            continue
        if measured.low is not None and measured.high is not None:
            bars.append(bar(panel, x, measured.low, measured.high, "bars seen"))
        tip = el("title", words.mode_told(mode))
        dot = "dot seen" if measured.two_sided else "dot unsure"
        dots.append(el("circle", tip, cx=x, cy=panel.y(measured.value), r=3, class_=dot))
    return [*bars, *dots]


def _lane(found: Dynamics, panel: Panel, y: float) -> list[Element]:
    parts = [line([(panel.left, y), (panel.right, y)], "lane-line")]
    falling = [mode for mode in found.modes if mode.curvature <= 0]
    if falling:
        middle = LEFT + COLUMN / 2 - 8
        parts.append(line([(LEFT, y), (LEFT + COLUMN - 16, y)], "lane-line"))
        parts.append(label(middle, y - 9, "h ≤ 0", "tick", "middle"))
    slow = [mode for mode in found.modes if mode.curvature > 0 and not placed(mode)]
    places = [(LEFT + 4 + (COLUMN - 24) * (i + 0.5) / len(falling), mode) for i, mode in enumerate(falling)]
    for x, mode in [*places, *((panel.x(mode.curvature), mode) for mode in slow)]:
        tip = el("title", words.mode_told(mode))
        parts.append(el("circle", tip, cx=x, cy=y, r=3.2, class_="dot unsure"))
    return parts


def _z_scale(found: Dynamics, top: float) -> Linear:
    far = max([3.0, *(abs(mode.temperature.z) for mode in found.modes if mode.temperature.z is not None)]) * 1.12
    return Linear(-far, far, top + STRIP, top)


def _strip(found: Dynamics, panel: Panel) -> list[Element]:
    """z of every mode on the same horizontal axis."""
    tall = panel.y(-words.AGREES) - panel.y(words.AGREES)
    parts = [
        el("rect", x=panel.left, y=panel.y(words.AGREES), width=panel.right - panel.left, height=tall, class_="agree"),
        line([(panel.left, panel.y(0.0)), (panel.right, panel.y(0.0))], "zero"),
        label(8, panel.top - 10, "z, standard errors above the law", "tick"),
    ]
    for value, text in ticks(panel.y.low, panel.y.high, 4):
        parts.append(label(panel.left - 7, panel.y(value) + 4, text, "tick", "end"))
    parts += across(panel, CURVATURE)
    for mode in found.modes:
        z = mode.temperature.z
        if z is not None and mode.curvature > 0:
            tip, x = el("title", words.mode_told(mode)), panel.x(mode.curvature)
            parts.append(el("path", d=f"M{number(x)} {number(panel.y(0.0))}V{number(panel.y(z))}", class_="bars seen"))
            parts.append(el("circle", tip, cx=x, cy=panel.y(z), r=3, class_="dot seen"))
    return parts
