"""Predictions beside measurements: the curve of squared loss by its spectrum, by GCV and by leave-one-out.

    spectrum        the deterministic equivalent (theory.ridge_curve) from all fit rows, for every label count
    gcv             training loss/(1 − df/n)² of the fitted subsets, mean over them
    leave_one_out   exact, of the first subset, at the penalty that it chooses (a minimum, so slightly too low)

All three read training labels only; the held-out rows judge them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from limen.measure.closed_forms import MeasuredRidge, measured_ridge, scores
from limen.records.budget import Budget
from limen.records.closed_forms import Agreement, ClosedForms, Outcome, PredictedPoint, Prediction, Ranking
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord
from limen.theory.ridge_curve import ASSUMPTIONS, LinearProblem, estimated_problem, ridge_curve
from limen.theory.squared_floor import FloorFormula, floor_from_both, floor_from_training

STATEMENT = "docs/statements/ridge-curve.md"
FURTHER = (2, 4)
"""Multiples of the largest label count at which the spectrum is asked as well."""


def closed_forms(fit: StageRecord, measured_loss: Estimate, confidence: float) -> ClosedForms | None:
    """Scores and curve of one fit record; None for a record of a stage that kept none."""
    facts = fit.data.get("closed_forms")
    if facts is None:
        return None
    if "reason" in facts:
        return ClosedForms(measured_loss, reason=facts["reason"])
    measured = measured_ridge(fit, confidence)
    problem = _problem(fit)
    predicted = _spectrum(problem, measured) if isinstance(problem, LinearProblem) else [None] * len(measured)
    points = tuple(_point(one, spectrum) for one, spectrum in zip(measured, predicted, strict=True))
    return ClosedForms(
        measured_loss,
        scores(fit),
        points,
        _predictors(points, "" if isinstance(problem, LinearProblem) else problem),
        _forecast(problem, measured[-1].n, facts["penalties"]) if isinstance(problem, LinearProblem) else {},
        _floors(facts),
    )


def _problem(fit: StageRecord) -> LinearProblem | str:
    """The linear problem behind the fit rows, or why they do not show it."""
    kept, rows = fit.arrays, fit.data["closed_forms"]["rows"]
    try:
        return estimated_problem(kept["closed.spectrum"], kept["closed.power"].sum(axis=1), 1.0, rows)
    except ValueError:
        return f"{rows:,} fit rows of rank {kept['closed.spectrum'].size:,}: the spectrum needs more rows than features"


def _spectrum(problem: LinearProblem, measured: Sequence[MeasuredRidge]) -> list[float]:
    return [float(ridge_curve(problem, [one.n], [one.penalty]).test_loss[0, 0]) for one in measured]


def _forecast(problem: LinearProblem, last: int, penalties: Sequence[float]) -> dict[int, float]:
    counts = [last * times for times in FURTHER]
    losses = ridge_curve(problem, counts, penalties).test_loss.min(axis=1)
    return {n: float(loss) for n, loss in zip(counts, losses, strict=True)}


def _point(one: MeasuredRidge, spectrum: float | None) -> PredictedPoint:
    values = {"spectrum": spectrum, "gcv": one.gcv, "leave_one_out": one.leave_one_out}
    predicted = {name: set_beside(value, one.measured) for name, value in values.items()}
    return PredictedPoint(one.n, one.penalty, one.measured, one.subsets, one.training_loss, predicted)


def set_beside(predicted: float | None, measured: Estimate) -> Agreement:
    """One prediction against one estimate.

    >>> set_beside(0.42, Estimate(0.5, 0.4, 0.6, 0.95)).outcome, set_beside(0.7, Estimate(0.5, 0.4, 0.6, 0.95)).outcome
    ('inside', 'above')
    """
    if predicted is None:
        return Agreement(None, None, "unknown")
    difference = None if measured.value is None else predicted - measured.value
    outcome: Outcome = "unknown"
    if measured.low is not None and measured.high is not None:
        outcome = "above" if predicted > measured.high else "below" if predicted < measured.low else "inside"
    return Agreement(predicted, difference, outcome)


def _predictors(points: Sequence[PredictedPoint], missing: str) -> dict[str, Prediction]:
    """How each prediction is made."""
    last = points[-1].predicted
    subset = "the rows are independent; the penalty was chosen on the first subset"
    return {
        "spectrum": Prediction(
            last["spectrum"].value,
            "deterministic equivalent from the spectrum and label alignment of all fit rows",
            (*ASSUMPTIONS, "the fit rows show the spectrum of the population"),
            STATEMENT,
            missing,
        ),
        "gcv": Prediction(
            last["gcv"].value,
            "generalized cross-validation of the fitted subsets",
            (subset,),
            "Golub, Heath, Wahba, Technometrics 21 (1979)",
        ),
        "leave_one_out": Prediction(
            last["leave_one_out"].value,
            "exact leave-one-out of the first subset",
            (subset + ", where this is the least of a grid and so slightly low",),
            "Allen, Technometrics 16 (1974)",
        ),
    }


def _floors(facts: Mapping[str, Any]) -> dict[str, Prediction]:
    """Floors of squared loss by formula, from the unpenalised fit of all rows."""
    found = facts["least_squares"]
    if found is None:
        return {}
    training, test = found["training_loss"], found["holdout_loss"]
    return {
        "training": _formula(floor_from_training(training, facts["rows"], found["rank"]), "training/(1 − d/n)"),
        "both": _formula(floor_from_both(training, test), "√(training · held out)"),
    }


def _formula(floor: FloorFormula, method: str) -> Prediction:
    return Prediction(floor.value, method, floor.assumptions, floor.source)


def rankings(budgets: Sequence[Budget]) -> tuple[Ranking, ...]:
    """Every score's order of the encoders of a task beside the measured one; two or more encoders with that score."""
    families: dict[tuple[str, str], list[Budget]] = {}
    for budget in budgets:
        if _scored(budget) and budget.terms["adaptation_loss"].value is not None:
            families.setdefault((budget.task, budget.loss), []).append(budget)
    found = []
    for (task, _), members in families.items():
        one_each = list({budget.encoder: budget for budget in members}.values())  # of several radii the last, largest
        for score in dict.fromkeys(name for budget in one_each for name in _scored(budget)):
            having = [budget for budget in one_each if score in _scored(budget)]
            if len(having) > 1:
                found.append(_ranking(task, score, having))
    return tuple(found)


def _scored(budget: Budget) -> dict[str, float]:
    forms = budget.closed_forms
    return {name: score.value for name, score in forms.scores.items() if score.value is not None} if forms else {}


def _ranking(task: str, score: str, budgets: Sequence[Budget]) -> Ranking:
    values = np.array([_scored(budget)[score] for budget in budgets])
    losses = np.array([budget.terms["adaptation_loss"].value for budget in budgets], dtype=np.float64)
    names = [budget.encoder for budget in budgets]
    shared: dict[str, Any] = {
        "n": len(names),
        "method": "Kendall's tau-b of the score and minus the measured loss",
        "assumptions": ("a statement about these encoders on this task; ranks of losses are those of their values",),
        "reference": "docs/closed-forms.md",
    }
    tau = float(kendalltau(values, -losses).statistic)
    return Ranking(
        task,
        score,
        tuple(names[k] for k in np.argsort(-values, kind="stable")),
        tuple(names[k] for k in np.argsort(losses, kind="stable")),
        not_identified("all values are the same", **shared) if np.isnan(tau) else Estimate(tau, **shared),
    )
