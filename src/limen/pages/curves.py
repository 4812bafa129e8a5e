"""Learning curves: held-out and training loss against labels, closing in on the floor's interval.

Every fitted subset is a dot; lines join the middle subset of each label count; the fitted law is dashed beyond the
measured labels: held out E + A·n^−a + C·n^−2a and, where both sides were fitted, training E − A·n^−a + C·n^−2a. A law
of the error is not drawn among losses. Diverged fits are crosses on their own
lane at the top, never a gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from limen.pages import wording
from limen.pages.scales import Linear, Log, extent, log_ticks, ticks
from limen.pages.svg import Caption, Element, el, label, line, number, picture
from limen.records.budget import Budget, CurvePoint
from limen.records.estimate import Estimate

DRAWN = 2000  # dots per series; beyond it every k-th subset, all of them in the table
SAMPLES = 40  # points of the dashed law


@dataclass(frozen=True, slots=True)
class Plot:
    """Size of the picture and its scales."""

    width: float
    height: float
    x: Log
    y: Linear


def curves(budget: Budget, key: str, size: tuple[float, float], caption: Caption) -> Element:
    """One panel; `size` 310×270 suits a column of small multiples and a phone, 1040×400 a page of its own."""
    plot, floor = _plot(budget, size), budget.terms.get("minimal_adaptation_loss")
    parts = [
        *_grid(plot),
        *_floor(floor, plot),
        *_law(budget, plot),
        *_series(budget.curve, "training", plot, floor),
        *_series(budget.curve, "held-out", plot, floor),
        *_diverged(budget.curve, plot),
        *_needed(budget, plot),
    ]
    return picture(key, size, caption, *parts)


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


def _loss(point: CurvePoint, series: str) -> float | None:
    return point.empirical_loss if series == "training" else point.adaptation_loss


def _plot(budget: Budget, size: tuple[float, float]) -> Plot:
    ns = [point.n for point in budget.curve]
    needed = _labels_needed(budget)
    last = max(ns, default=10)
    reach = max(last * (3.0 if _draws_law(budget) else 1.25), min(needed * 1.4, last * 100) if needed else 0.0)
    floor = budget.terms.get("minimal_adaptation_loss")
    ends = (floor.value, floor.low, floor.high) if floor else ()
    losses = [_loss(p, s) for p in budget.curve for s in ("training", "held-out")]
    low, high = extent([*losses, *ends, 0.0], margin=0.07)
    if low > -0.1 * high:
        low = min(0.0, *(x for x in (*losses, *ends) if x is not None), 0.0)
    width, height = size
    x = Log(min(ns, default=1) / 1.25, reach, 46.0, width - 14)
    return Plot(width, height, x, Linear(low, high, height - 40, 26.0))


def _labels_needed(budget: Budget) -> float | None:
    law = budget.extrapolation
    return law.labels_needed.value if law and law.labels_needed.value and law.labels_needed.value > 0 else None


def _draws_law(budget: Budget) -> bool:
    """Whether there is a fitted law of the loss; a law of the error has no place on an axis of losses."""
    law = budget.extrapolation
    if law is None or not budget.curve or law.law.get("error"):
        return False
    return {"asymptote", "amplitude", "curvature", "exponent"} <= set(law.law)


def _grid(plot: Plot) -> list[Element]:
    right, base = plot.width - 14, plot.height - 40
    parts = []
    for value, text in ticks(plot.y.low, plot.y.high, 5):
        y = plot.y(value)
        parts += [line([(46, y), (right, y)], "zero" if value == 0 else "grid"), label(40, y + 4, text, "tick", "end")]
    for value, text in log_ticks(plot.x.low, plot.x.high, 5 if plot.width < 500 else 8):
        parts += [line([(plot.x(value), base), (plot.x(value), base + 5)], "grid")]
        parts.append(label(plot.x(value), base + 18, text, "tick", "middle"))
    return [*parts, label(right, plot.height - 6, "labels", "tick", "end")]


def _floor(floor: Estimate | None, plot: Plot) -> list[Element]:
    """The interval as a band, the value as a line; a missing side is said in the picture."""
    if floor is None:
        return []
    left, right = 46.0, plot.width - 14
    parts = []
    if floor.low is not None or floor.high is not None:
        top = plot.y(floor.high) if floor.high is not None else 26.0
        bottom = plot.y(floor.low) if floor.low is not None else plot.y.start
        parts.append(el("rect", x=left, y=top, width=right - left, height=max(bottom - top, 1.5), class_="band floor"))
    anchor = floor.value if floor.value is not None else floor.low if floor.low is not None else floor.high
    if floor.value is not None:
        parts.append(line([(left, plot.y(floor.value)), (right, plot.y(floor.value))], "floor-line"))
        said = f"floor {wording.value(floor)} {floor.mark}"
    else:
        said = f"floor {wording.interval(floor)} {floor.mark}" if wording.interval(floor) else "floor not identified"
    top = plot.y(floor.high if floor.high is not None else anchor or 0.0) - 5
    return [*parts, label(left + 6, top, said, "gap floor")]


def _series(points: Iterable[CurvePoint], series: str, plot: Plot, floor: Estimate | None) -> list[Element | None]:
    known = [(p, loss) for p in points if (loss := _loss(p, series)) is not None]
    if not known:
        return []
    middle = _middle(known, plot)
    every = -(-len(known) // DRAWN)
    dots = [_dot(p, loss, series, plot) for p, loss in known[::every]]
    if series == "held-out":
        x, y = middle[min(1, len(middle) - 1)]
        named = label(x + 9, y - 6, "held out", "gap held-out")
    else:
        above = _middle([(p, p.adaptation_loss) for p, _ in known if p.adaptation_loss is not None], plot)
        named = label(*_clear(middle, above, floor, plot), "training", "gap training", "middle")
    return [line(middle, f"series {series}"), *dots, named]


def _middle(known: list[tuple[CurvePoint, float]], plot: Plot) -> list[tuple[float, float]]:
    """The middle subset of every label count, in pixels."""
    found = []
    for n in sorted({p.n for p, _ in known}):
        losses = sorted(loss for p, loss in known if p.n == n)
        found.append((plot.x(n), plot.y(losses[(len(losses) - 1) // 2])))
    return found


def _clear(
    own: list[tuple[float, float]], above: list[tuple[float, float]], floor: Estimate | None, plot: Plot
) -> tuple[float, float]:
    """Where the word beside a line touches least: above or below one of its points."""
    fixed = [plot.y.start]
    if floor is not None and floor.value is not None:
        fixed.append(plot.y(floor.value))
    words = plot.y(floor.high) - 9 if floor is not None and floor.high is not None else None

    def room(place: tuple[float, float]) -> float:
        x, y = place
        others = [v for u, v in (*above, *own) if abs(u - x) < 40]
        written = [words] if words is not None and x < 200 else []
        return min(abs(y - 4 - v) for v in (*fixed, *others, *written))

    # Points at the rim would push the word out of the picture.
    points = [(min(max(x, 76.0), plot.width - 44), y) for x, y in own]
    places = [(x, v) for x, y in points for v in (y - 9, y + 19) if v < plot.y.start - 2]
    return max(places, key=room)


def _dot(point: CurvePoint, loss: float, series: str, plot: Plot) -> Element:
    jitter = 0.0 if point.seed is None else ((point.seed * 7) % 5 - 2) * 1.2
    tip = el("title", told(point))
    return el(
        "circle",
        tip,
        cx=plot.x(point.n) + jitter,
        cy=plot.y(loss),
        r=3 if series == "held-out" else 2.6,
        class_=f"dot {series}",
    )


def told(point: CurvePoint) -> str:
    """One subset in words: which rows, and how it went.

    >>> told(CurvePoint(616, 3, 0.1, 0.4123, 0.11, 40.0))
    '616 labels, seed 3: held out 0.412, training 0.100, error 11.0 %, radius 40'
    """
    rows = f"{wording.count(point.n, 'label')}, " + ("all rows" if point.seed is None else f"seed {point.seed}")
    if point.diverged:
        return f"{rows}: diverged, {wording.flat(point.diverged)}"
    losses = [
        f"{name} {wording.decimal(loss, 3)}"
        for name, loss in (("held out", point.adaptation_loss), ("training", point.empirical_loss))
        if loss is not None
    ]
    radius = "" if point.radius is None else f", radius {point.radius:g}"
    return f"{rows}: {', '.join(losses)}, error {wording.decimal(100 * point.error, 1)} %{radius}"


def _diverged(points: Iterable[CurvePoint], plot: Plot) -> list[Element]:
    broken = [p for p in points if p.diverged]
    if not broken:
        return []
    crosses = []
    for index, point in enumerate(broken):
        x = plot.x(point.n) + (index % 3 - 1) * 4
        crosses.append(el("path", el("title", told(point)), d=f"M{number(x - 4)} 12l8 8m0 -8l-8 8", class_="dot cross"))
    side = plot.x(broken[-1].n) < plot.width - 120
    x = plot.x(broken[-1].n) + (12 if side else -12)
    return [*crosses, label(x, 20, f"{len(broken)} diverged", "gap bad", "start" if side else "end")]


def _law(budget: Budget, plot: Plot) -> list[Element]:
    law = budget.extrapolation
    if law is None or not _draws_law(budget):
        return []
    start = float(max(point.n for point in budget.curve))
    e, a, c, power = (law.law[name] for name in ("asymptote", "amplitude", "curvature", "exponent"))
    ns = [start * (plot.x.high / start) ** (i / SAMPLES) for i in range(SAMPLES + 1)]
    parts = []
    branches = [(1.0, "held-out")] + [(-1.0, "training")] * bool(law.law.get("two_sided", 1.0))
    for sign, series in branches:
        values = [e + sign * a * n**-power + c * n ** (-2 * power) for n in ns]
        inside = [(plot.x(n), plot.y(v)) for n, v in zip(ns, values, strict=True) if plot.y.low <= v <= plot.y.high]
        if len(inside) > 1:
            parts.append(line(inside, f"law {series}"))
    said = f"fitted law {law.asymptote.mark}"
    return [*parts, label(plot.width - 16, plot.y(e + a * start**-power) - 8, said, "small soft", "end")]


def _needed(budget: Budget, plot: Plot) -> list[Element]:
    """Where the fitted law reaches the target, with its interval on the axis."""
    n = _labels_needed(budget)
    law = budget.extrapolation
    if n is None or law is None or not plot.x.low < n < plot.x.high:
        return []
    x, base, top = plot.x(n), plot.y.start, 46.0
    right = x < plot.width - 130
    ends = [min(max(e, plot.x.low), plot.x.high) for e in (law.labels_needed.low, law.labels_needed.high) if e]
    parts = [
        line([(x, base), (x, top - 10)], "reach"),
        el("path", d=f"M{number(x - 5)} {number(base - 1)}l5 -9l5 9z", class_="needed"),
    ]
    if len(ends) == 2:
        parts.append(line([(plot.x(ends[0]), base), (plot.x(ends[1]), base)], "interval estimation"))
    return [
        *parts,
        label(
            x + (6 if right else -6),
            top,
            f"{n:,.0f} labels {law.labels_needed.mark}",
            "gap estimation",
            "start" if right else "end",
        ),
    ]
