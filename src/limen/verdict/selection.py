"""The best of several encoders, layers or radii on the same held-out rows: what the choice does to its numbers.

The smallest of k held-out losses is too small on average (E min ≤ min E). A bound that holds for all k at once also
holds for the one chosen: with each interval at confidence 1 − (1 − c)/k (Bonferroni), its high end is corrected. What
its advice says of a target is decided anew on that end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limen.measure.risk import error_estimate, loss_estimate
from limen.records.budget import Advice, Budget, PopulationCheck
from limen.records.stage import StageRecord
from limen.records.task import Question
from limen.verdict.target import RULES, reach_target


def note_selection(budgets: Sequence[Budget], fits: Sequence[StageRecord], question: Question) -> tuple[Budget, ...]:
    """The budgets, the best of each (task, loss) with a check `selection` that says among how many it was chosen.

    Its advice on the target rests on the corrected ends.

    `fits` are the records of the budgets in the same order.
    """
    noted = list(budgets)
    families: dict[tuple[str, str], list[int]] = {}
    for at, budget in enumerate(budgets):
        if budget.terms["adaptation_loss"].value is not None:
            families.setdefault((budget.task, budget.loss), []).append(at)
    for members in families.values():
        if len(members) > 1:
            best = min(members, key=lambda at: budgets[at].terms["adaptation_loss"].value or 0.0)
            check = _check(fits[best], len(members), question)
            checked = replace(budgets[best], population_checks=(*budgets[best].population_checks, check))
            noted[best] = replace(checked, advice=_redecided(checked, question))
    return tuple(noted)


def _redecided(budget: Budget, question: Question) -> tuple[Advice, ...]:
    """The advice with what it says of the target decided on the corrected ends, in the place it had."""
    place = next((at for at, advice in enumerate(budget.advice) if advice.rule in RULES), None)
    if place is None:
        return budget.advice
    anew = reach_target(budget, question)
    return (*budget.advice[:place], *([anew] if anew else []), *budget.advice[place + 1 :])


def _check(fit: StageRecord, candidates: int, question: Question) -> PopulationCheck:
    each, groups = 1 - (1 - question.confidence) / candidates, fit.arrays.get("holdout_groups")
    wrong = fit.arrays["curve_holdout_prediction"][-1] != fit.arrays["holdout_labels"]
    loss = loss_estimate(fit.arrays["curve_holdout_loss"][-1], groups, each).high
    error = error_estimate(wrong, groups, each).high
    finding = (
        f"best of {candidates}, chosen on the same held-out rows; corrected for the choice its loss is at most "
        f"{loss:.4g} and its error at most {100 * (error or 0.0):.3g} %"
    )
    numbers = {"candidates": candidates, "loss_high": loss, "error_high": error, "confidence": question.confidence}
    return PopulationCheck("selection", finding, "noted", numbers)
