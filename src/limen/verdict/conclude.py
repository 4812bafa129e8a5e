"""From a fit cell to a finished budget: measured terms plus the advice they give."""

from __future__ import annotations

from dataclasses import replace

from limen.measure.budget import measure_budget
from limen.records.budget import Budget
from limen.records.stage import StageRecord
from limen.records.task import Question
from limen.verdict.advice import advise


def conclude(fit: StageRecord, question: Question) -> Budget:
    """The budget of one fit cell, with advice: a pure function, so `verify` re-derives it."""
    budget = measure_budget(fit, question)
    return replace(budget, advice=advise(budget, question))
