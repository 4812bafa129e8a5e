"""The chain of five losses as a picture: what is on its nodes, ribbons and threshold, and its two drawings.

    L̂_pre → L_pre ┊ interface ┊ L*_adapt → L̂_adapt → L_adapt

Between the rooms there is no identity, only the interface; within a room the gaps add up exactly:
L̂_pre + generalization = L_pre, and L*_adapt − optimism + optimization + generalization = L_adapt.
"""

from __future__ import annotations

from dataclasses import dataclass

from limen.pages import wording
from limen.pages.scales import extent
from limen.records.budget import Budget
from limen.records.estimate import Estimate
from limen.records.report import Checkpoint, Interface


@dataclass(frozen=True, slots=True)
class Node:
    """One loss of the chain."""

    base: str
    index: str
    words: str
    estimate: Estimate | None
    """None where nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Ribbon:
    """The gap between two neighbouring losses: lines of (text, class), and where its interval ends at the far node."""

    lines: tuple[tuple[str, str], ...]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """Everything the drawings need, in words and values."""

    pretraining: tuple[Node, Node] | None
    pretraining_gap: Ribbon | None
    adaptation: tuple[Node, Node, Node]
    gaps: tuple[Ribbon, Ribbon]
    estimation: tuple[tuple[str, str], ...]
    interface: str
    title: str
    description: str

    def range(self, nodes: tuple[Node, ...]) -> tuple[float, float]:
        """Values that one room's scale must hold."""
        known = [n.estimate for n in nodes if n.estimate]
        inner = self.pretraining is not None and nodes == self.pretraining
        ribbons = (self.pretraining_gap,) if inner else self.gaps
        fans = [end for ribbon in ribbons if ribbon for end in (ribbon.low, ribbon.high)]
        return extent([*(x for e in known for x in (e.value, e.low, e.high)), *fans], margin=0.0)


def chain(budget: Budget, interfaces: tuple[Interface, ...] = ()) -> Chain:
    """The chain that ends in this budget, with the pretraining of its encoder where a checkpoint of it was recorded."""
    found = [(run, point) for run in interfaces for point in run.checkpoints if point.encoder == budget.encoder]
    run, point = found[0] if found else (None, None)
    terms = budget.terms
    floor, training, loss = (
        terms.get(name) for name in ("minimal_adaptation_loss", "empirical_adaptation_loss", "adaptation_loss")
    )
    adaptation = (
        Node("L*", "adapt", "minimal adaptation loss", floor),
        Node("L̂", "adapt", "empirical adaptation loss", training),
        Node("L", "adapt", "adaptation loss", loss),
    )
    gaps = (
        _ribbon(budget, floor, (("−", "optimism"), ("+", "optimization_gap"))),
        _ribbon(budget, training, (("+", "generalization_gap"),)),
    )
    pretraining = _pretraining(point)
    said = [f"{n.words} {wording.full(n.estimate)}" for n in (*(pretraining or ()), *adaptation) if n.estimate]
    estimation = terms.get("estimation_gap")
    return Chain(
        pretraining=pretraining,
        pretraining_gap=_between(point.pretraining_gap, point.empirical_pretraining_loss) if point else None,
        adaptation=adaptation,
        gaps=gaps,
        estimation=_stacked("estimation", estimation, "estimation") if estimation else (),
        interface=_interface(run, budget.task),
        title=f"The chain of losses for {wording.who(budget)} on {wording.flat(budget.task)}",
        description="; ".join(said) + ".",
    )


def _pretraining(point: Checkpoint | None) -> tuple[Node, Node] | None:
    if point is None:
        return None
    return (
        Node("L̂", "pre", "empirical pretraining loss", point.empirical_pretraining_loss),
        Node("L", "pre", "pretraining loss", point.pretraining_loss),
    )


def _between(gap: Estimate, start: Estimate) -> Ribbon:
    lines = _stacked("+ generalization", gap, "soft")
    if start.value is None or gap.low is None or gap.high is None:
        return Ribbon(lines)
    return Ribbon(lines, start.value + gap.low, start.value + gap.high)


def _ribbon(budget: Budget, start: Estimate | None, signed: tuple[tuple[str, str], ...]) -> Ribbon:
    """The lines of every gap known here; the fan only where both ends of all gaps and the start are known."""
    known = [(sign, name, budget.terms[name]) for sign, name in signed if name in budget.terms]
    lines = tuple(
        said for sign, name, gap in known for said in _stacked(f"{sign} {wording.short(name)}", gap, _hue(name))
    )
    if start is None or start.value is None or not known or any(gap.value is None for _, _, gap in known):
        return Ribbon(lines)
    sign, _, gap = known[0]
    rest = sum(gap.value or 0.0 for _, _, gap in known[1:])
    if gap.low is None or gap.high is None:
        return Ribbon(lines)
    ends = (
        (start.value - gap.high, start.value - gap.low)
        if sign == "−"
        else (start.value + gap.low, start.value + gap.high)
    )
    return Ribbon(lines, ends[0] + rest, ends[1] + rest)


def _hue(term: str) -> str:
    return wording.HUES.get(term, "soft")


def _stacked(name: str, gap: Estimate, hue: str) -> tuple[tuple[str, str], ...]:
    """`name value mark` above its interval."""
    inside = wording.interval(gap)
    said = wording.value(gap) if gap.value is not None else wording.missing(gap)
    head = (f"{name} {said} {gap.mark}", f"gap {hue}")
    return (head, (f"({inside})", "small soft")) if inside else (head,)


def _interface(run: Interface | None, task: str) -> str:
    if run is None:
        return ""
    slope = run.slope.get(task)
    along = f"along {wording.count(len(run.checkpoints), 'checkpoint')}"
    if slope is None or slope.value is None:
        return f"slope not identified {along}"
    return f"slope {wording.full(slope)} {along} {slope.mark}"
