"""From a fit cell to a finished budget: measured terms, the advice they give, and what closed forms say beside them."""

from __future__ import annotations

from dataclasses import replace

from limen.measure.budget import measure_budget
from limen.records.budget import Budget
from limen.records.stage import StageRecord
from limen.records.task import Question
from limen.verdict.advice import advise
from limen.verdict.closed_forms import closed_forms


def conclude(fit: StageRecord, question: Question) -> Budget:
    """The budget of one fit cell, with advice: a pure function, so `verify` re-derives it."""
    budget = measure_budget(fit, question)
    forms = closed_forms(fit, budget.terms["adaptation_loss"], question.confidence)
    return replace(budget, advice=advise(budget, question), closed_forms=forms)
