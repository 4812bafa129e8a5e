"""How far the weights move: displacement against lag, and the local exponent below it, measured beside the laws.

The two pictures share their horizontal axis. Dots of neighbouring lags that would touch are thinned; the table under
the picture has all of them. On a wide page the words stand at the ends of their lines, on a phone above the plot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from limen.pages import dynamics_words as words
from limen.pages import wording
from limen.pages.dynamics_axes import End, Panel, across, bar, ends, known, levels, span, thinned
from limen.pages.key import ROW, Entry, key, rows_of
from limen.pages.scales import Linear, Log
from limen.pages.svg import Caption, Element, el, label, line, number, picture
from limen.records.dynamics import Dynamics, Lag
from limen.records.estimate import Estimate

WIDE, NARROW = 1040.0, 310.0
HEIGHTS = {WIDE: 430.0, NARROW: 320.0}
LOW_HEIGHTS = {WIDE: 270.0, NARROW: 250.0}
MARGIN, LEFT = 206.0, 58.0
LAGS = "lag t, updates"
REFERENCE = {2.0: "2 coasting", 1.0: "1 diffusing", 0.0: "0 confined"}


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity of every lag."""

    measured: Callable[[Lag], Estimate]
    predicted: Callable[[Lag], Mapping[str, float | None]]
    name: str
    drawable: Callable[[float | None], bool]
    full: Callable[[Estimate], str]
    number: Callable[[float | None], str]


DISPLACEMENT = Curve(lambda lag: lag.measured, lambda lag: lag.predicted, "E‖Δθ‖²", known, words.full, words.figure)
EXPONENT = Curve(
    lambda lag: lag.exponent, lambda lag: lag.predicted_exponent, "exponent", lambda value: value is not None,
    wording.full, words.slope,
)  # fmt: skip


def displacement(found: Dynamics, name: str, width: float, caption: Caption) -> Element:
    """Displacement against lag, both logarithmic; `width` is WIDE or NARROW, `name` unique on the page."""
    wide, entries = width == WIDE, [] if width == WIDE else _entries(found)
    top = 26.0 + ROW * len(rows_of(entries, width - 16))
    values = [value for lag in found.lags for value in (lag.measured.value, *lag.predicted.values())]
    for lag in found.lags:  # an interval that reaches down to 0 does not stretch the axis
        low, middle = lag.measured.low, lag.measured.value
        values += [lag.measured.high, low if low is not None and middle and low > middle / 10 else None]
    panel = Panel(_across(found, width), Log(*span(values), HEIGHTS[width] - 44, top))
    parts = [*levels(panel, "E‖Δθ‖², parameter²"), *across(panel, LAGS), *_relaxation(found, panel, wide)]
    parts += _laws(found, panel, DISPLACEMENT)
    parts += _dots(found.lags, panel, DISPLACEMENT, 10.0 if wide else 7.0)
    parts += ends(panel, _ends(found, panel)) if wide else key(entries, 8, width - 16, 13)
    return picture(name, (width, HEIGHTS[width]), caption, *parts)


def exponent(found: Dynamics, name: str, width: float, caption: Caption) -> Element:
    """Local exponent against lag, on the same horizontal axis as `displacement`."""
    values = [lag.exponent.value for lag in found.lags if lag.exponent.two_sided]
    values += [value for lag in found.lags for value in lag.predicted_exponent.values()]
    reach = [value for value in values if value is not None]
    low, high = min([-0.6, *reach]) - 0.1, max([2.3, *reach]) + 0.1
    wide = width == WIDE
    panel = Panel(_across(found, width), Linear(low, high, LOW_HEIGHTS[width] - 44, 26.0))
    parts = [*levels(panel, "local exponent c(t)"), *across(panel, LAGS), *_relaxation(found, panel, False)]
    parts += _laws(found, panel, EXPONENT)
    parts += _dots(found.lags, panel, EXPONENT, 13.0 if wide else 9.0)
    if wide:
        room = panel.y(0.0) - panel.y(1.0) > 13  # on an axis of hundreds the words would lie on each other
        named = REFERENCE if room else {0.0: REFERENCE[0.0]}
        parts += [label(panel.right + 12, panel.y(at) + 4, text, "tick") for at, text in named.items()]
    return picture(name, (width, LOW_HEIGHTS[width]), caption, *parts)


def shown(found: Dynamics) -> list[str]:
    """Laws with at least one prediction, this run's own first."""
    names = [law for law in words.LAWS if any(lag.predicted.get(law) is not None for lag in found.lags)]
    return sorted(names, key=lambda law: law != found.law)


def law_class(law: str, own: str) -> str:
    """Hue and pattern of a law; the run's own is heavier."""
    return f"{law} own" if law == own else law


def _across(found: Dynamics, width: float) -> Log:
    low, high = span([float(lag.lag) for lag in found.lags], 1.15)
    return Log(low, max(high, 4 * low), LEFT, width - (MARGIN if width == WIDE else 12.0))


def _relaxation(found: Dynamics, panel: Panel, named: bool) -> list[Element]:
    """The lags within which modes forget where they were: from the quickest to the slowest that came to rest."""
    times = [mode.relaxation_steps for mode in found.modes if mode.equilibrated and mode.relaxation_steps is not None]
    inside = [panel.x(time) for time in times if panel.x.low < time < panel.x.high]
    if not inside:
        return []
    left, right = min(inside), max(inside)
    band = el("rect", x=left - 1, y=panel.top, width=right - left + 2, height=panel.base - panel.top, class_="forget")
    if not named:
        return [band]
    words_at = min(max((left + right) / 2, 240.0), panel.right - 90)
    return [band, label(words_at, panel.top - 10, "modes forget where they were", "small soft", "middle")]


def _laws(found: Dynamics, panel: Panel, curve: Curve) -> list[Element]:
    parts = []
    for law in shown(found):
        at = [(lag.lag, curve.predicted(lag).get(law)) for lag in found.lags]
        points = [(panel.x(lag), panel.y(value)) for lag, value in at if value is not None and curve.drawable(value)]
        if len(points) > 1:
            parts.append(line(points, f"track {law_class(law, found.law)}"))
    return parts


def _dots(lags: tuple[Lag, ...], panel: Panel, curve: Curve, apart: float) -> list[Element]:
    at = [lag for lag in lags if curve.drawable(curve.measured(lag).value)]
    drawn = [at[i] for i in thinned([panel.x(lag.lag) for lag in at], apart)]
    bars, dots = [], []
    for lag in drawn:
        found, x = curve.measured(lag), panel.x(lag.lag)
        if found.low is not None and found.high is not None:
            bars.append(bar(panel, x, found.low, found.high, "bars seen"))
        assert found.value is not None
        tip = el("title", told(lag, curve))
        dot = "dot seen" if found.two_sided else "dot unsure"
        dots.append(_mark(panel, x, found.value, dot, tip))
    return [*bars, *dots]


def _mark(panel: Panel, x: float, value: float, class_: str, tip: Element) -> Element:
    """A dot, or an arrow head at the edge of the frame that its value lies beyond."""
    if panel.holds(value):
        return el("circle", tip, cx=x, cy=panel.y(value), r=2.8, class_=class_)
    y, away = (panel.top, 6) if value > panel.y.high else (panel.base, -6)
    return el("path", tip, d=f"M{number(x)} {number(y)}l-4 {away}h8z", class_=class_)


def told(lag: Lag, curve: Curve) -> str:
    """One lag in words."""
    found = curve.measured(lag)
    laws = [f"{law} {curve.number(value)}" for law, value in curve.predicted(lag).items() if value is not None]
    steps = "1 update" if lag.lag == 1 else f"{lag.lag:,} updates"
    return "; ".join([f"{steps}: {curve.name} {curve.full(found)} {found.mark}", *laws])


def _ends(found: Dynamics, panel: Panel) -> list[End]:
    words_at = []
    for law in shown(found):
        at = [(lag.lag, value) for lag in found.lags if (value := lag.predicted.get(law)) is not None and known(value)]
        if at:
            own = law_class(law, found.law)
            words_at.append(End(panel.x(at[-1][0]), panel.y(at[-1][1]), words.LAWS[law], own))
    last = [lag for lag in found.lags if known(lag.measured.value)]
    if last and last[-1].measured.value is not None:
        words_at.append(End(panel.x(last[-1].lag), panel.y(last[-1].measured.value), "measured", "seen"))
    return words_at


def _entries(found: Dynamics) -> list[Entry]:
    entries = [Entry("bars seen", "seen", "measured", "gap seen")]
    for law in shown(found):
        own = law_class(law, found.law)
        entries.append(Entry(f"track {own}", "", words.LAWS[law], f"gap {own}"))
    return entries
