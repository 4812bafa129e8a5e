"""Effective robustness: how much better a model does out of distribution than its accuracy in it foretells.

With k right of n, the empirical logit is ln((k + ½)/(n − k + ½)), its variance 1/(k + ½) + 1/(n − k + ½). Least squares
through the baseline models, y_i = a + b x_i (x in distribution, y out of it), over g runs:

    residual of model m = y_m − a − b x_m,      the line fitted without the models of m's run
    variance            = var y_m + b² var x_m + cᵀ Cov(a, b) c,  c = (1, x_m)

Cov(a, b) is the sandwich over runs with g/(g − 2); t with g − 2 degrees of freedom. It is an interval for the model's
own place above the line, not for where a new model would lie. On the scale of accuracies: expit(y) less expit(a + bx),
delta method. The line's own coefficients have delete-a-run jackknife intervals. 5 runs at least. Errors of x and y of
one model are taken as independent (disjoint rows); those of x attenuate the slope by mean var x over the variance of x.

Source: Taori et al. 2020 (arXiv:2007.00644); Miller et al. 2021 (arXiv:2107.04649) for logit or probit axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import t as student

from limen.arrays.intervals import jackknife
from limen.measure.interface import LEAST_RUNS
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.robustness import Accuracies, EffectiveRobustness

Floats = NDArray[np.float64]
REFERENCE = "Taori et al. 2020"
SPREAD = 1e-9


def effective_robustness(
    models: Sequence[Accuracies], baseline: Sequence[str] | None = None, confidence: float = 0.95
) -> EffectiveRobustness:
    """Line through `baseline` (names; None = all models) and every model's distance from it.

    Raises BadInput for counts that are not counts, models named twice, a baseline that is not among the models.
    """
    _check(models, baseline)
    chosen = [m for m in models if baseline is None or m.model in baseline]
    residuals, points = {}, {}
    for model in models:
        others = [m for m in chosen if m.run != model.run]
        residuals[model.model], points[model.model] = _residual(model, others, confidence)
    intercept, slope = _coefficients(chosen, confidence)
    return EffectiveRobustness(intercept, slope, tuple(m.model for m in chosen), residuals, points)


def _coefficients(models: Sequence[Accuracies], confidence: float) -> tuple[Estimate, Estimate]:
    if reason := _cannot(models):
        missing = not_identified(reason, n=len({m.run for m in models}), method="least squares of logits")
        return missing, missing
    runs = sorted({m.run for m in models})
    whole = _line(models)[0]
    left = [[m for m in models if m.run != run] for run in runs]
    deleted = np.array([_line(some)[0] for some in left if not _flat(some)])
    found = []
    for which in (0, 1):
        common: dict[str, Any] = {"n": len(runs), "method": "least squares of logits; delete-a-run jackknife"}
        if len(deleted) < len(runs):
            found.append(not_identified("one run alone decides the line: more runs would do", **common))
            continue
        ends = jackknife(float(whole[which]), deleted[:, which], confidence)
        said = ("runs are independent", "errors of the accuracies in distribution attenuate the slope")
        found.append(
            Estimate(
                ends.value,
                ends.low,
                ends.high,
                confidence,
                "statistical",
                assumptions=said,
                reference=REFERENCE,
                **common,
            )
        )
    return found[0], found[1]


def _residual(model: Accuracies, others: Sequence[Accuracies], confidence: float) -> tuple[Estimate, Estimate]:
    runs = len({m.run for m in others})
    common: dict[str, Any] = {"n": runs, "method": "distance from the line of the other runs", "reference": REFERENCE}
    if reason := _cannot(others):
        missing = not_identified(reason, **common)
        return missing, missing
    (intercept, slope), covariance = _line(others)
    x, y, var_x, var_y = (float(v[0]) for v in _logits([model]))
    line, c = intercept + slope * x, np.array([1.0, x])
    of_line = float(c @ covariance @ c) + slope**2 * var_x
    quantile = float(student.isf((1 - confidence) / 2, runs - 2))
    said = ("runs are independent", "rows in distribution and out of it are different rows")
    found = []
    for value, variance in (
        (y - line, var_y + of_line),
        (expit(y) - expit(line), _steep(y) ** 2 * var_y + _steep(line) ** 2 * of_line),
    ):
        half = quantile * float(np.sqrt(variance))
        ends = (float(value) - half, float(value) + half)
        found.append(Estimate(float(value), *ends, confidence, "statistical", assumptions=said, **common))
    return found[0], found[1]


def _line(models: Sequence[Accuracies]) -> tuple[Floats, Floats]:
    """(a, b) and their covariance, sandwich over runs."""
    x, y, _, _ = _logits(models)
    design = np.column_stack([np.ones_like(x), x])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ y
    scores = design * (y - design @ coefficients)[:, None]
    names, member = np.unique([m.run for m in models], return_inverse=True)
    totals = np.array([np.bincount(member, weights=scores[:, j]) for j in (0, 1)]).T
    g = len(names)
    covariance: Floats = inverse @ (totals.T @ totals) @ inverse * g / (g - 2)
    return coefficients, covariance


def _logits(models: Sequence[Accuracies]) -> tuple[Floats, Floats, Floats, Floats]:
    """x, y and their variances."""
    right, rows, shifted, shifted_rows = (
        np.array([getattr(m, name) for m in models], dtype=np.float64)
        for name in ("right", "rows", "shifted_right", "shifted_rows")
    )
    found = []
    for k, n in ((right, rows), (shifted, shifted_rows)):
        found.append((np.log((k + 0.5) / (n - k + 0.5)), 1 / (k + 0.5) + 1 / (n - k + 0.5)))
    return found[0][0], found[1][0], found[0][1], found[1][1]


def _steep(logit: float) -> float:
    """d expit."""
    return float(expit(logit) * expit(-logit))


def _flat(models: Sequence[Accuracies]) -> bool:
    return bool(np.ptp(_logits(models)[0]) < SPREAD)


def _cannot(models: Sequence[Accuracies]) -> str:
    runs = len({m.run for m in models})
    if runs < LEAST_RUNS:
        return f"{runs} other runs; a line needs {LEAST_RUNS} independent runs"
    return "all models have the same accuracy in distribution: they show no line" if _flat(models) else ""


def _check(models: Sequence[Accuracies], baseline: Sequence[str] | None) -> None:
    names = [m.model for m in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [
        Problem(m.model, f"expected rows and how many of them are right, got {m}")
        for m in models
        if not (0 <= m.right <= m.rows > 0 and 0 <= m.shifted_right <= m.shifted_rows > 0)
    ]
    problems += [Problem("models", f"{name} is there {names.count(name)} times") for name in twice]
    strangers = sorted(set(baseline or ()) - set(names))
    problems += [Problem("baseline", f"{name} is not among the models") for name in strangers]
    if problems:
        raise BadInput(problems)
