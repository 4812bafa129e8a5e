"""Learning curves: held-out and training loss against labels, closing in on the floor's interval.

Every fitted subset is a dot; lines join the middle subset of each label count; the fitted law is dashed beyond the
measured labels. Every word stands on a row of its own above the plot, beside a piece of its line: key, labels needed,
diverged fits (crosses on their own lane, never a gap).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from limen.pages import wording
from limen.pages.key import ROW, Entry, key, rows_of
from limen.pages.law import drawn, loss_of, middle
from limen.pages.scales import Linear, Log, extent, log_ticks, ticks
from limen.pages.svg import Caption, Element, el, label, line, number, picture
from limen.records.budget import Budget, CurvePoint
from limen.records.estimate import Estimate

DRAWN = 2000  # dots per series; beyond it every k-th subset, all of them in the table
SAMPLES = 40  # points of the dashed law
LEFT = 46.0
SERIES = {"held-out": "held out", "training": "training"}


@dataclass(frozen=True, slots=True)
class Plot:
    """Size of the picture, its scales, and its rows above the plot."""

    width: float
    height: float
    x: Log
    y: Linear
    needed: float
    """Baseline of the words of the labels needed."""
    lane: float
    """Middle of the lane of diverged fits."""


def curves(budget: Budget, name: str, size: tuple[float, float], caption: Caption) -> Element:
    """One panel; `size` 310×290 suits a column of small multiples and a phone, 1040×400 a page of its own.

    `name` must be unique on the page.
    """
    plot, floor = _plot(budget, size), budget.terms.get("minimal_adaptation_loss")
    parts = [
        *axes(plot),
        *_floor(floor, plot),
        *_law(budget, plot),
        *_series(budget.curve, "training", plot),
        *_series(budget.curve, "held-out", plot),
        *_diverged(budget.curve, plot),
        *_needed(budget, plot),
        *key(_entries(budget), 10, size[0] - 20, 14),
    ]
    return picture(name, size, caption, *parts)


def closer(budget: Budget) -> Budget | None:
    """The same budget with the larger half of its label counts, where the first half would flatten what matters.

    None with fewer than four label counts, or where the losses of the two halves are of one size.
    """
    ns = sorted({point.n for point in budget.curve})
    if len(ns) < 4:
        return None
    late = tuple(point for point in budget.curve if point.n >= ns[len(ns) // 2])
    highest, lower = (
        max((p.adaptation_loss for p in points if p.adaptation_loss is not None), default=0.0)
        for points in (budget.curve, late)
    )
    return replace(budget, curve=late) if highest > 2 * lower > 0 else None


def _entries(budget: Budget) -> list[Entry]:
    """What the marks mean, in the order in which they are read."""
    found = [
        Entry(f"series {series}", series, SERIES[series], f"gap {series}")
        for series in SERIES
        if middle(budget.curve, series)
    ]
    if (floor := budget.terms.get("minimal_adaptation_loss")) is not None:
        inside = wording.interval(floor)
        said = wording.value(floor) if floor.value is not None else inside or "not identified"
        found.append(Entry("floor-line", "", f"floor {said} {floor.mark}", "gap floor"))
    if (law := budget.extrapolation) is not None and drawn(budget) is not None:
        found.append(Entry("law held-out", "", f"fitted law {law.asymptote.mark}", "gap soft"))
    return found


def _plot(budget: Budget, size: tuple[float, float]) -> Plot:
    ns = [point.n for point in budget.curve]
    needed = _labels_needed(budget)
    last = max(ns, default=10)
    reach = max(last * (3.0 if drawn(budget) else 1.25), min(needed * 1.4, last * 100) if needed else 0.0)
    floor = budget.terms.get("minimal_adaptation_loss")
    ends = (floor.value, floor.low, floor.high) if floor else ()
    losses = [loss_of(p, s) for p in budget.curve for s in SERIES]
    low, high = extent([*losses, *ends, 0.0], margin=0.07)
    if low > -0.1 * high:
        low = min(0.0, *(x for x in (*losses, *ends) if x is not None), 0.0)
    width, height = size
    x = Log(min(ns, default=1) / 1.25, reach, LEFT, width - 14)
    above = 14 + ROW * len(rows_of(_entries(budget), width - 20))
    lane = above + ROW * (needed is not None)
    top = lane + ROW * any(p.diverged for p in budget.curve)
    return Plot(width, height, x, Linear(low, high, height - 40, top), above, lane - 4)


def _labels_needed(budget: Budget) -> float | None:
    law = budget.extrapolation
    return law.labels_needed.value if law and law.labels_needed.value and law.labels_needed.value > 0 else None


def axes(plot: Plot) -> list[Element]:
    """Lines at round losses, ticks at round label counts."""
    right, base = plot.width - 14, plot.height - 40
    parts = []
    for value, text in ticks(plot.y.low, plot.y.high, 5):
        y = plot.y(value)
        parts += [line([(LEFT, y), (right, y)], "zero" if value == 0 else "grid")]
        parts.append(label(LEFT - 6, y + 4, text, "tick", "end"))
    for value, text in log_ticks(plot.x.low, plot.x.high, 5 if plot.width < 500 else 8):
        parts += [line([(plot.x(value), base), (plot.x(value), base + 5)], "grid")]
        x = min(plot.x(value), plot.width - 4 - 3.6 * len(text))
        parts.append(label(x, base + 18, text, "tick", "middle"))
    return [*parts, label(right, plot.height - 6, "labels", "tick", "end")]


def _floor(floor: Estimate | None, plot: Plot) -> list[Element]:
    """The interval as a band, the value as a line; the key says them, and what is missing."""
    if floor is None:
        return []
    left, right = LEFT, plot.width - 14
    parts = []
    if floor.low is not None or floor.high is not None:
        top = plot.y(floor.high) if floor.high is not None else plot.y.end
        bottom = plot.y(floor.low) if floor.low is not None else plot.y.start
        parts.append(el("rect", x=left, y=top, width=right - left, height=max(bottom - top, 1.5), class_="band floor"))
    if floor.value is not None:
        parts.append(line([(left, plot.y(floor.value)), (right, plot.y(floor.value))], "floor-line"))
    return parts


def _series(points: Iterable[CurvePoint], series: str, plot: Plot) -> list[Element]:
    known = [(p, loss) for p in points if (loss := loss_of(p, series)) is not None]
    if not known:
        return []
    joined = [(plot.x(n), plot.y(loss)) for n, loss in middle((p for p, _ in known), series).items()]
    every = -(-len(known) // DRAWN)
    return [line(joined, f"series {series}"), *(_dot(p, loss, series, plot) for p, loss in known[::every])]


def _dot(point: CurvePoint, loss: float, series: str, plot: Plot) -> Element:
    jitter = 0.0 if point.seed is None else ((point.seed * 7) % 5 - 2) * 1.2
    tip = el("title", told(point, series))
    return el(
        "circle",
        tip,
        cx=plot.x(point.n) + jitter,
        cy=plot.y(loss),
        r=3 if series == "held-out" else 2.6,
        class_=f"dot {series}",
    )


def told(point: CurvePoint, series: str = "") -> str:
    """One subset in words: which rows, how it went, and which of its losses the dot of `series` is.

    >>> told(CurvePoint(616, 3, 0.1, 0.4123, 0.11, 40.0), "training")
    '616 labels, seed 3: training 0.100 (this dot), held out 0.412, error 11.0 %, radius 40'
    """
    rows = f"{wording.count(point.n, 'label')}, " + ("all rows" if point.seed is None else f"seed {point.seed}")
    if point.diverged:
        return f"{rows}: diverged, {wording.flat(point.diverged)}"
    losses = [
        f"{SERIES[name]} {wording.decimal(loss, 3)}" + " (this dot)" * (name == series)
        for name in sorted(SERIES, key=lambda name: name != series)
        if (loss := loss_of(point, name)) is not None
    ]
    radius = "" if point.radius is None else f", radius {point.radius:g}"
    return f"{rows}: {', '.join(losses)}, error {wording.decimal(100 * point.error, 1)} %{radius}"


def _diverged(points: Iterable[CurvePoint], plot: Plot) -> list[Element]:
    broken = [p for p in points if p.diverged]
    if not broken:
        return []
    crosses, y = [], plot.lane
    for index, point in enumerate(broken):
        x = plot.x(point.n) + (index % 3 - 1) * 4
        path = f"M{number(x - 4)} {number(y - 4)}l8 8m0 -8l-8 8"
        crosses.append(el("path", el("title", told(point)), d=path, class_="dot cross"))
    ends = [plot.x(point.n) for point in broken]
    side = max(ends) < plot.width - 120
    x = max(ends) + 12 if side else min(ends) - 12
    return [*crosses, label(x, y + 4, f"{len(broken)} diverged", "gap bad", "start" if side else "end")]


def _law(budget: Budget, plot: Plot) -> list[Element]:
    law = drawn(budget)
    if law is None:
        return []
    start = float(max(point.n for point in budget.curve))
    ns = [start * (plot.x.high / start) ** (i / SAMPLES) for i in range(SAMPLES + 1)]
    parts = []
    for series in law.series:
        passed = [(n, law.loss(n, series)) for n in ns]
        inside = [(plot.x(n), plot.y(v)) for n, v in passed if plot.y.low <= v <= plot.y.high]
        if len(inside) > 1:
            parts.append(line(inside, f"law {series}"))
    return parts


def _needed(budget: Budget, plot: Plot) -> list[Element]:
    """Where the fitted law reaches the target, with its interval on the axis; its words above the plot."""
    n = _labels_needed(budget)
    law = budget.extrapolation
    if n is None or law is None or not plot.x.low < n < plot.x.high:
        return []
    x, base = plot.x(n), plot.y.start
    ends = [min(max(e, plot.x.low), plot.x.high) for e in (law.labels_needed.low, law.labels_needed.high) if e]
    parts = [
        line([(x, base), (x, plot.needed + 4)], "reach"),
        el("path", d=f"M{number(x - 5)} {number(base - 1)}l5 -9l5 9z", class_="needed"),
    ]
    if len(ends) == 2:
        parts.append(line([(plot.x(ends[0]), base), (plot.x(ends[1]), base)], "interval estimation"))
    said = f"target: {n:,.0f} labels {law.labels_needed.mark}"
    half = 4.0 * len(said)
    centre = min(max(x, half + 4), plot.width - half - 4)
    return [*parts, label(centre, plot.needed, said, "gap estimation", "middle")]
