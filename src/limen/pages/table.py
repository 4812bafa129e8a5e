"""The CSV of a report: one row a term of every budget, plain floats, safe to open in a spreadsheet.

A text that a spreadsheet would run as a formula (first character = + - @, tab or carriage return) gets an apostrophe
in front; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from limen.pages.svg import printable
from limen.records.budget import Budget
from limen.records.estimate import Estimate
from limen.records.report import Report

COLUMNS = (
    "task",
    "encoder",
    "adapter",
    "loss",
    "n_train",
    "n_holdout",
    "population",
    "term",
    "value",
    "low",
    "high",
    "confidence",
    "grade",
    "n",
    "state",
    "reason",
    "method",
)


def render_csv(report: Report) -> str:
    """The table as text (RFC 4180, CRLF); a missing number is an empty cell, with `state` and `reason` beside it.

    >>> render_csv(Report("empty", ())).strip() == ",".join(COLUMNS)
    True
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for budget in report.budgets:
        for population, term, estimate in _terms(budget):
            writer.writerow(_row(budget, population, term, estimate))
    return text.getvalue()


def safe(cell: str) -> str:
    """A text that no spreadsheet takes for a formula.

    >>> safe("=SUM(A1)"), safe("-0.5"), safe("minilm")
    ("'=SUM(A1)", '-0.5', 'minilm')
    """
    cell = printable(cell)
    if not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


def _terms(budget: Budget) -> Iterator[tuple[str, str, Estimate]]:
    for term, estimate in budget.terms.items():
        yield "", term, estimate
    if budget.sides is not None:
        for side in ("certified", "statistical", "midpoint"):
            yield "", f"minimal_adaptation_loss.{side}", getattr(budget.sides, side)
    for population, terms in budget.shift.items():
        for term, estimate in terms.items():
            yield population, term, estimate
    for column, values in budget.slices.items():
        for value, part in values.items():
            yield f"{column}={value}", "adaptation_loss", part.adaptation_loss
            yield f"{column}={value}", "error", part.error
    for control, terms in budget.controls.items():
        for term, estimate in terms.items():
            yield f"control: {control}", term, estimate
    if (forms := budget.closed_forms) is not None:  # scores: the measured loss is the budget's own, above
        for name, score in forms.scores.items():
            yield "", f"score.{name}", score
        for point in forms.curve:
            yield f"ridge regression on {point.n} labels", "squared_loss", point.measured


def _row(budget: Budget, population: str, term: str, estimate: Estimate) -> list[str | float | int | None]:
    return [
        safe(budget.task),
        safe(budget.encoder),
        safe(budget.method),
        budget.loss,
        budget.n_train,
        budget.n_holdout,
        safe(population),
        safe(term),
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.confidence,
        estimate.grade,
        estimate.n,
        estimate.state,
        safe(estimate.reason),
        safe(estimate.method),
    ]
