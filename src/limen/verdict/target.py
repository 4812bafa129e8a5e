"""What a target asks for: it is met, more held-out rows would tell, or so many labels would meet it.

The measured interval decides: a target is met where the high end of the loss (or error) is at or below it. For the best
of k fits chosen on the same held-out rows that end is the corrected one, which holds for all k at once
(`limen.verdict.selection`). The fitted law speaks where the point misses the target, and never against the interval.
"""

from __future__ import annotations

from limen.records.budget import Advice, Budget, Extrapolation
from limen.records.estimate import Estimate
from limen.records.task import Question

RULES = ("target-met", "hold-out-more", "labels-for-target")


def reach_target(budget: Budget, question: Question) -> Advice | None:
    """The target is met already, or so many labels would meet it."""
    target = question.target_loss if question.target_loss is not None else question.target_error
    if target is None:
        return None
    name = "adaptation_loss" if question.target_loss is not None else "error"
    measured = budget.terms[name]
    high, path, chosen = _high(budget, name)
    if high is not None and high <= target:
        text = f"The target of {target:g} is met: {name.replace('_', ' ')} is at most {high:.4g}{chosen}"
        return Advice("target-met", text + _against_law(budget, question, name), (path,), measured.grade)
    if measured.value is not None and measured.value <= target:
        return _hold_out_more(budget, question, name, target)
    law = _law(budget, question, name)
    if law is None or not foretold(law, budget.confidence):
        return None
    needed = law.labels_needed
    if needed.value is None or needed.value <= budget.n_train:
        return None
    return Advice(
        "labels-for-target",
        f"The fitted law says that about {needed.value:,.0f} labels reach the target of {target:g}{_between(needed)}.",
        ("extrapolation.labels_needed",),
        "extrapolated",
    )


def foretold(law: Extrapolation, confidence: float) -> bool:
    """Whether the back-test does not reject the law: its hit rate may be the stated confidence."""
    return law.backtest.get("state") is None and law.backtest["high"] >= confidence


def _high(budget: Budget, name: str) -> tuple[float | None, str, str]:
    """High end that decides, its path, and what to say of a choice: corrected where the fit is the best of several."""
    for check in budget.population_checks:
        if check.name == "selection":
            key = "loss_high" if name == "adaptation_loss" else "error_high"
            high = check.numbers[key]
            said = f", corrected for the choice among {check.numbers['candidates']}"
            return None if high is None else float(high), f"population_checks.selection.{key}", said
    return budget.terms[name].high, f"terms.{name}.high", ""


def _law(budget: Budget, question: Question, name: str) -> Extrapolation | None:
    """The fitted law if it counts labels for this quantity; with an error target it is the law of the error."""
    law = budget.extrapolation
    of = "adaptation_loss" if question.target_error is None else "error"
    return law if law is not None and law.labels_needed.grade == "extrapolated" and of == name else None


def _against_law(budget: Budget, question: Question, name: str) -> str:
    """What to make of a law that asks for more labels than there are, though they meet the target as measured."""
    law = _law(budget, question, name)
    if law is None or law.labels_needed.value is None or law.labels_needed.value <= budget.n_train:
        return "."
    return (
        f". The fitted law says about {law.labels_needed.value:,.0f} labels; what was measured at {budget.n_train:,} "
        "decides."
    )


def _hold_out_more(budget: Budget, question: Question, name: str, target: float) -> Advice:
    """The point meets the target, its interval does not: how many held-out rows would tell."""
    measured = budget.terms[name]
    high, path, chosen = _high(budget, name)
    assert measured.value is not None
    room = target - measured.value
    text = f"Hold out more rows: the {name.replace('_', ' ')} of {measured.value:.3g} meets the target of {target:g}, "
    text += "but has no interval" if high is None else f"but up to {high:.4g} is not excluded{chosen}"
    if room > 0 and high is not None:  # half-widths shrink as 1/√rows
        rows = budget.n_holdout * ((high - measured.value) / room) ** 2
        text += f"; about {rows:,.0f} held-out rows would tell"
    return Advice("hold-out-more", text + _against_law(budget, question, name), (path,), measured.grade)


def _between(labels: Estimate) -> str:
    if labels.low is not None and labels.high is not None:
        return f" ({labels.low:,.0f} to {labels.high:,.0f})"
    if labels.low is not None:
        return f" (at least {labels.low:,.0f})"
    return ""
