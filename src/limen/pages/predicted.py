"""The learning curve of squared loss: measured subsets as dots with an interval, predictions as lines and rings.

The line of the spectrum is drawn through the fitted label counts and dashed beyond them; the floor by formula is the
line it falls to. Words stand above the plot beside a piece of their own line.
"""

from __future__ import annotations

from limen.pages import wording
from limen.pages.curves import LEFT, Plot, axes
from limen.pages.key import ROW, Entry, key, rows_of
from limen.pages.scales import Linear, Log, extent
from limen.pages.svg import Caption, Element, el, line, number, picture
from limen.records.closed_forms import ClosedForms, PredictedPoint, Prediction

CAP = 4.0


def predicted(forms: ClosedForms, name: str, size: tuple[float, float], caption: Caption) -> Element:
    """One panel, of sizes as `limen.pages.curves` has them; `name` must be unique on the page."""
    plot, floor = _plot(forms, size), _floor(forms)
    parts = [*axes(plot)]
    if floor is not None and floor.value is not None:
        parts.append(line([(LEFT, plot.y(floor.value)), (plot.width - 14, plot.y(floor.value))], "floor-line"))
    parts += _spectrum(forms, plot)
    for point in forms.curve:
        parts += _measured(point, plot)
    parts += [_ring(point, plot) for point in forms.curve if point.predicted["gcv"].value is not None]
    parts += key(_entries(forms), 10, size[0] - 20, 14)
    return picture(name, size, caption, *parts)


def _floor(forms: ClosedForms) -> Prediction | None:
    return forms.floors.get("training")


def _entries(forms: ClosedForms) -> list[Entry]:
    found = [Entry("bars measured", "measured", "measured", "gap estimation")]
    if _line(forms):
        found.append(Entry("theory", "", "predicted by the spectrum", "gap"))
    if any(point.predicted["gcv"].value is not None for point in forms.curve):
        found.append(Entry("blank", "ring", "GCV", "gap"))
    if (floor := _floor(forms)) is not None and floor.value is not None:
        found.append(Entry("floor-line", "", f"floor by formula {wording.decimal(floor.value, 3)} ○", "gap floor"))
    return found


def _line(forms: ClosedForms) -> list[tuple[int, float]]:
    """What the spectrum says at every fitted label count."""
    return [(p.n, value) for p in forms.curve if (value := p.predicted["spectrum"].value) is not None]


def _plot(forms: ClosedForms, size: tuple[float, float]) -> Plot:
    width, height = size
    ns = [point.n for point in forms.curve] + list(forms.forecast)
    floor = _floor(forms)
    losses: list[float | None] = [loss for _, loss in _line(forms)]
    losses += [*forms.forecast.values(), floor.value if floor else None]
    for point in forms.curve:
        losses += [*point.subsets, point.predicted["gcv"].value, point.measured.low, point.measured.high]
    low, high = extent(losses, margin=0.07)
    top = 14 + ROW * len(rows_of(_entries(forms), width - 20))
    x = Log(min(ns) / 1.25, max(ns) * 1.25, LEFT, width - 14)
    return Plot(width, height, x, Linear(low, high, height - 40, top), top, top)


def _spectrum(forms: ClosedForms, plot: Plot) -> list[Element]:
    known = _line(forms)
    beyond = [*known[-1:], *forms.forecast.items()]
    parts = []
    for points, class_ in ((known, "theory"), (beyond, "theory beyond")):
        if len(points) > 1:
            parts.append(line([(plot.x(n), plot.y(loss)) for n, loss in points], class_))
    for n, loss in forms.forecast.items() if known else ():
        tip = el("title", f"{n:,} labels: {wording.decimal(loss, 3)} predicted by the spectrum, not measured")
        parts.append(el("circle", tip, cx=plot.x(n), cy=plot.y(loss), r=3, class_="dot foretold"))
    return parts


def _measured(point: PredictedPoint, plot: Plot) -> list[Element]:
    x, measured, parts = plot.x(point.n), point.measured, []
    if measured.low is not None and measured.high is not None:
        top, bottom = plot.y(measured.high), plot.y(measured.low)
        ends = (
            f"M{number(x - CAP)} {number(bottom)}h{number(2 * CAP)}M{number(x - CAP)} {number(top)}h{number(2 * CAP)}"
        )
        parts.append(el("path", d=f"M{number(x)} {number(bottom)}V{number(top)}{ends}", class_="bars measured"))
    for k, loss in enumerate(point.subsets):
        tip = el("title", told(point, loss))
        across = x + (k - (len(point.subsets) - 1) / 2) * 5
        parts.append(el("circle", tip, cx=across, cy=plot.y(loss), r=3, class_="dot measured"))
    return parts


def told(point: PredictedPoint, loss: float | None = None) -> str:
    """One label count in words, and which subset the dot is."""
    said = f"{wording.count(point.n, 'label')}: measured {wording.full(point.measured)} {point.measured.mark}"
    for name, title in (("spectrum", "spectrum"), ("gcv", "GCV"), ("leave_one_out", "leave-one-out")):
        if (value := point.predicted[name].value) is not None:
            said += f", {title} {wording.decimal(value, 3)}"
    return said + ("" if loss is None else f"; this subset {wording.decimal(loss, 3)}")


def _ring(point: PredictedPoint, plot: Plot) -> Element:
    value = point.predicted["gcv"].value or 0.0
    tip = el("title", told(point))
    return el("circle", tip, cx=plot.x(point.n), cy=plot.y(value), r=5.5, class_="dot ring")
