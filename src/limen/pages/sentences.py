"""The sentences of a page, composed from records: the lead, the captions, what comparisons say.

A phrase is a pair (text, strong). Every sentence is decided by the records; where a number is missing the sentence
says so instead of skipping it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limen.pages import wording
from limen.pages.law import drawn, middle
from limen.records.budget import Budget
from limen.records.comparison import Comparison
from limen.records.estimate import Estimate
from limen.records.report import Interface, Report

Phrase = tuple[str, bool]

SOURCES = {
    "estimation_gap": "estimation: too few labels",
    "optimization_gap": "optimization: the solver stopped early",
}


def rank(budgets: Sequence[Budget]) -> list[Budget]:
    """Budgets by held-out loss, unknown ones last; ties keep their order."""

    def key(budget: Budget) -> tuple[bool, float]:
        loss = budget.terms.get("adaptation_loss")
        return (loss is None or loss.value is None, loss.value if loss and loss.value is not None else 0.0)

    return sorted(budgets, key=key)


def groups(report: Report) -> dict[tuple[str, str], list[Budget]]:
    """Budgets that may share an axis, those of one task and loss, each group ranked."""
    found: dict[tuple[str, str], list[Budget]] = {}
    for budget in report.budgets:
        found.setdefault((budget.task, budget.loss), []).append(budget)
    return {key: rank(members) for key, members in found.items()}


def largest(budget: Budget) -> str | None:
    """The gap above the floor with the largest value; None where the split is not identified or nothing is to be had.

    The solver is named only where the advice is to solve better: its gap is then above the margin that was asked for.
    """
    stalled = any(advice.rule == "tune-solver" for advice in budget.advice)
    known = {
        name: value
        for name in SOURCES
        if (term := budget.terms.get(name)) is not None
        and (value := term.value) is not None
        and (stalled or name != "optimization_gap")
    }
    if "estimation_gap" not in known or max(known.values()) <= 0:
        return None
    return max(known, key=lambda name: known[name])


def at_floor(budget: Budget) -> bool:
    """Whether the measured loss is not above the measured floor."""
    floor, loss = budget.terms.get("minimal_adaptation_loss"), budget.terms.get("adaptation_loss")
    return bool(floor and loss and floor.value is not None and loss.value is not None and floor.value >= loss.value)


def lead(budget: Budget, of: int = 1) -> list[Phrase]:
    """The two sentences for whoever reads nothing else: what is lost, and what could be had; the best `of` so many."""
    loss, error = budget.terms.get("adaptation_loss"), budget.terms.get("error")
    unit = f" {wording.UNITS[budget.loss]}" if budget.loss == "log" else " of squared loss"
    first = "The" if of == 1 else f"Best of {of}, chosen on the same held-out rows: the"
    subject = f"{first} {wording.method(budget.method)} on {wording.flat(budget.encoder)} "
    if loss is None or loss.value is None:
        reason = f": {wording.prose(loss.reason)}" if loss else ""
        return [(f"{subject}has ", False), ("no held-out loss", True), (reason + ".", False)]
    said: list[Phrase] = [(f"{subject}loses ", False), (wording.value(loss) + unit, True)]
    if error is not None and error.value is not None:
        said += [(" and errs on ", False), (wording.value(error, "error"), True)]
    said.append(
        (f" of {wording.flat(budget.task)}." if error is not None else f" on {wording.flat(budget.task)}.", False)
    )
    return said + _reach(budget)


def _reach(budget: Budget) -> list[Phrase]:
    floor = budget.terms.get("minimal_adaptation_loss")
    if floor is None:
        return [(" How low this encoder could go is not measured by this method.", False)]
    inside = wording.interval(floor)
    if floor.value is None:
        if not inside:
            return [
                (" How low this encoder could go is ", False),
                ("not identified", True),
                (f": {wording.prose(floor.reason)}.", False),
            ]
        known = f"between {inside.replace(' to ', ' and ')}" if floor.two_sided else inside
        return [(" The least it could lose is ", False), (known, True), (f" ({wording.unknown(floor)}).", False)]
    about = f" ({inside})" if inside else ""
    if at_floor(budget):
        told = f" of about {wording.value(floor)}{about}, as far as these rows tell."
        return [(" It is ", False), ("already at its floor", True), (told, False)]
    said: list[Phrase] = [(" It could reach about ", False), (wording.value(floor), True), (about, False)]
    source = largest(budget)
    if source is None:
        return [*said, ("; no gap above that is told from zero.", False)]
    gap = budget.terms[source]
    sure = "" if gap.low is not None and gap.low > 0 else ", though not told from zero"
    return [*said, (f"; most of the rest is {SOURCES[source]}{sure}.", False)]


def rivals(budget: Budget, duels: Sequence[Comparison]) -> list[Phrase]:
    """Whose floor these rows do not tell from this budget's; nothing where every comparison separates."""
    ours = (budget.encoder, wording.who(budget), f"{budget.encoder} · {budget.method}")
    others = [
        wording.flat(duel.b if duel.a in ours else duel.a)
        for duel in duels
        if duel.task == budget.task and not duel.separable and (duel.a in ours or duel.b in ours)
    ]
    if not others:
        return []
    return [
        (" Its floor is ", False),
        ("not separable", True),
        (f" from that of {', '.join(others)} at these rows.", False),
    ]


def worst_slices(budget: Budget) -> list[str]:
    """Of every slice column the value with the largest error, and whether these rows tell it from the whole."""
    whole, said = budget.terms["error"], []
    for column, values in budget.slices.items():
        known = {value: part.error for value, part in values.items() if part.error.value is not None}
        if len(known) < 2:
            continue
        name = max(known, key=lambda value: known[value].value or 0.0)
        worst = known[name]
        sure = worst.low is not None and whole.high is not None and worst.low > whole.high
        told = "worse than the whole" if sure else "not told from the whole at these rows"
        said.append(
            f"Worst {wording.flat(column)}: {wording.flat(name)}, error {wording.full(worst, 'error')} "
            f"on {wording.count(values[name].n, 'row')}, {told}."
        )
    return said


def plain(phrases: Sequence[Phrase]) -> str:
    """A sentence without its emphasis."""
    return "".join(text for text, _ in phrases)


def subtitle(budget: Budget) -> str:
    """What was looked at: classes, rows, loss, confidence."""
    rows = f"{wording.count(budget.n_train, 'label')}, {budget.n_holdout:,} held out"
    loss = wording.LOSSES[budget.loss]
    return (
        f"{wording.count(budget.classes, 'class', 'classes')} · {rows} · {loss} · {budget.confidence * 100:.4g} % joint"
    )


def waterfall_caption(members: Sequence[Budget]) -> str:
    """Which term is largest, for the best budget and over all of them."""
    best, others = members[0], len(members) - 1
    said = f"For {wording.who(best)}, {_dominant(best)}."
    if others:
        sources = [largest(budget) for budget in members]
        labels = sum(source == "estimation_gap" for source in sources)
        open_ = sum(source is None for source in sources)
        said += f" Too few labels is the largest gap above the floor in {labels} of {len(members)} budgets"
        said += f"; in {open_} the split is not identified or not above zero." if open_ else "."
    return said + " The line under a floor is its interval; on other bars it sits on the end that was measured."


def _dominant(budget: Budget) -> str:
    floor, source = budget.terms.get("minimal_adaptation_loss"), largest(budget)
    if floor is None or floor.value is None or budget.terms["estimation_gap"].value is None:
        return "floor and gaps are not told apart by these rows"
    if source is None:
        return f"the floor is all there is: {wording.value(floor)}, and no gap above it is told from zero"
    gap = budget.terms[source]
    name = wording.short(source)
    if gap.value is not None and floor.value >= gap.value:
        return f"the floor is the largest term: {wording.value(floor)} against {wording.value(gap)} of {name}"
    return f"{name} is the largest term: {wording.value(gap)} against a floor of {wording.value(floor)}"


def curve_caption(budget: Budget) -> str:
    """What the curve shows, how many labels a target needs, how the fitted law did on rows it had not seen."""
    broken = sum(bool(point.diverged) for point in budget.curve)
    said = f"{wording.count(len(budget.curve), 'fitted subset')}"
    said += f", {broken} diverged." if broken else "."
    law = budget.extrapolation
    if law is None:
        return said + " No law was fitted."
    if law.labels_needed.value is not None:
        said += f" The target needs {_labels(law.labels_needed)} {law.labels_needed.mark}."
    else:
        said += f" {_unknown_labels(wording.prose(law.labels_needed.reason))}."
    return said + _miss(budget) + _backtest(law.backtest, law.labels_needed.reason)


def _unknown_labels(reason: str) -> str:
    """The verdict first, what it rests on after it."""
    if not reason or reason.startswith("no "):
        return reason[:1].upper() + reason[1:] or "Labels needed: not identified"
    return f"Not known how many labels a target needs: {reason}"


def _miss(budget: Budget) -> str:
    """Where the fitted law passes the largest label count, beside what was measured there."""
    law, last = drawn(budget), max((point.n for point in budget.curve), default=0)
    measured = middle(budget.curve, "held-out").get(last)
    if law is None or measured is None:
        return ""
    passes, here = wording.decimal(law.loss(last, "held-out"), 3), wording.decimal(measured, 3)
    return f" At {last:,} labels the fitted law passes {passes}, measured {here}."


def _labels(needed: Estimate) -> str:
    low, high = (None if end is None else f"{end:,.0f}" for end in (needed.low, needed.high))
    inside = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    return f"{needed.value or 0:,.0f} labels" + (f" ({inside})" if inside else "")


def _backtest(backtest: Mapping[str, Any], told: str) -> str:
    """How the law did, or why that is not known; a reason that was just told is not repeated."""
    if {"hits", "groups"} <= set(backtest):
        return f" Back-test: the law's interval held in {backtest['hits']} of {backtest['groups']} row groups."
    reason = str(backtest.get("reason") or "")
    if told and told in reason:
        reason = reason.replace(told, "the same")
    return f" Back-test: {wording.prose(reason)}." if reason else ""


def interface_caption(run: Interface, task: str) -> str:
    """Whether a lower pretraining loss went with a lower floor along this run, and how far that claim goes."""
    slope, tau = run.slope.get(task), run.kendall_tau.get(task)
    seen = wording.count(len(run.checkpoints), "checkpoint")
    said = f"{seen} of {wording.flat(run.run)}; {wording.flat(run.loss_name)}."
    if slope is not None and slope.value is not None:
        direction = _direction(slope)
        said += (
            f" A pretraining loss lower by 1 went with a floor {direction} (slope {wording.full(slope)} {slope.mark})."
        )
    elif slope is not None:
        said += f" Slope not identified: {wording.prose(slope.reason)}."
    if tau is not None:
        said += f" Kendall's tau {wording.full(tau)} {tau.mark}."
    last = run.checkpoints[-1].pretraining_optimization_gap if run.checkpoints else None
    if last is not None and last.value is not None:
        said += f" The least pretraining loss is known here: the last checkpoint is {wording.full(last)} above it."
    return said + " Holds for this run; other runs may differ."


def _direction(slope: Estimate) -> str:
    if slope.low is not None and slope.low > 0:
        return "that is lower too"
    if slope.high is not None and slope.high < 0:
        return "that is higher"
    return "not told from unchanged"


def comparison(duel: Comparison) -> str:
    """The verdict of one comparison in a sentence."""
    a, b = wording.flat(duel.a), wording.flat(duel.b)
    if not duel.separable:
        rows = f"{duel.n:,} held-out rows" if duel.n_file is None else f"{duel.n_file:,} rows in the file"
        more = f"; about {duel.n_to_separate:,} rows in the file would tell" if duel.n_to_separate else ""
        return f"floors not separable at {rows}{more}"
    difference = duel.floor_difference
    lower_is_a = (difference.high is not None and difference.high < 0) or (difference.value or 0.0) < 0
    return f"{a if lower_is_a else b} has the lower floor"


def outcomes(report: Report) -> str:
    """How the cells of a study ended, counted."""
    if not report.cells:
        return ""
    order = ("cached", "run", "failed", "skipped", "waiting")
    counted = [(name, sum(cell.outcome == name for cell in report.cells)) for name in order]
    return ", ".join(f"{number} {name}" for name, number in counted if number) + "."
