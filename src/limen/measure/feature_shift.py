"""How well a linear classifier tells the features of two populations apart: its AUC with an interval.

Both sets are cut into two halves by a fixed permutation; a linear discriminant with shrunk covariance, fitted on one
half of each, scores the other, and the other way round. On one half with scores s (a) and t (b),

    AUC = P(t > s) + ½P(t = s) = mean of V_i = share of b above s_i = mean of W_j = share of a below t_j,

and its variance is var V/n_a + var W/n_b (DeLong, DeLong, Clarke-Pearson 1988). Reported: the mean over both halves,
interval by t on the logit, with groups as units where given. AUC 1 (no overlap) has no variance: its low end is the
Clopper-Pearson one of as many disjoint pairs as the smaller set has. The interval is one of these classifiers; a better
one may tell more. p: Mann-Whitney on the first half alone, valid for "one population".

Source: theory Q4; Kim, Ramdas, Singh, Wasserman 2021 (arXiv:1602.02210).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from limen.adapt.ball import Rows
from limen.adapt.discriminant import shrunk_discriminant
from limen.arrays.bounded import clopper_pearson_lower
from limen.arrays.means import Mean, mean_of, student_quantile
from limen.arrays.random import stream
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate
from limen.records.shift import FeatureShift

Matrix = NDArray[np.float64]
Groups = NDArray[np.int64] | None

LEAST_ROWS = 20
METHOD = "two-sample classifier, shrunk discriminant, two halves; DeLong"
CONDITIONAL = "of these classifiers: a better one may tell more"


def feature_shift(
    pretraining: Matrix, task: Matrix, groups: tuple[Groups, Groups] = (None, None), confidence: float = 0.95
) -> FeatureShift:
    """AUC of pretraining inputs' features [n, d] against a task's [m, d]; 20 rows of each at least.

    >>> rng = np.random.default_rng(0)
    >>> a = rng.normal(size=(200, 2))
    >>> feature_shift(a, rng.normal(size=(200, 2)) + 10.0).auc.value
    1.0

    Raises BadInput for features that are not finite, of different width, or fewer rows or groups.
    """
    a, b = _checked(pretraining, task)
    halves = [_half(len(x), side, units) for side, (x, units) in enumerate(zip((a, b), groups, strict=True))]
    below, above, first = np.empty(len(a)), np.empty(len(b)), None
    for part in (False, True):
        here, there = ([h == part for h in halves], [h != part for h in halves])
        s, t = _scores((a[here[0]], b[here[1]]), (a[there[0]], b[there[1]]))
        below[there[0]], above[there[1]] = _placements(s, t)
        if first is None:
            first = float(scipy.stats.mannwhitneyu(t, s, alternative="two-sided").pvalue)
    auc = _auc(mean_of(below, groups[0]), mean_of(above, groups[1]), confidence)
    return FeatureShift(auc, first or 0.0, (len(a), len(b)))


def _auc(below: Mean, above: Mean, confidence: float) -> Estimate:
    value, delta = (below.value + above.value) / 2, (1 - confidence) / 2
    error = math.hypot(below.error, above.error)
    units = min(below.units, above.units)
    said = ("independent rows" if not below.grouped and not above.grouped else "independent groups", CONDITIONAL)
    if value in (0.0, 1.0):
        end = clopper_pearson_lower(units, units, delta)
        low, high = (end, 1.0) if value == 1.0 else (0.0, 1.0 - end)
    else:
        weight = (below.error**4 / below.dof + above.error**4 / above.dof) or 1.0
        half = student_quantile(delta, error**4 / weight if error else below.dof) * error / (value * (1 - value))
        logit = math.log(value / (1 - value))
        low, high = (float(1 / (1 + np.exp(-(logit + move)))) for move in (-half, half))
    return Estimate(
        value,
        low,
        high,
        confidence,
        "statistical",
        units,
        METHOD,
        said,
        "DeLong 1988; Kim, Ramdas, Singh, Wasserman 2021",
    )


def _scores(fitted: tuple[Matrix, Matrix], scored: tuple[Matrix, Matrix]) -> tuple[Matrix, Matrix]:
    rows = np.concatenate(fitted)
    labels = np.repeat([0, 1], [len(part) for part in fitted]).astype(np.int64)
    centre, scale = rows.mean(axis=0), float(rows.std()) or 1.0
    ones = np.ones((len(rows), 1))
    weights = shrunk_discriminant(Rows(np.hstack([(rows - centre) / scale, ones]), labels, 2)).weights
    direction = weights[:-1, 1] - weights[:-1, 0]
    s, t = ((part - centre) / scale @ direction for part in scored)
    return s, t


def _placements(s: Matrix, t: Matrix) -> tuple[Matrix, Matrix]:
    """Share of t above every s, and share of s below every t; ties count half."""
    below, above = (scipy.stats.rankdata(np.concatenate([x, y]))[: len(x)] - scipy.stats.rankdata(x)
                    for x, y in ((s, t), (t, s)))  # fmt: skip
    return 1 - below / len(t), above / len(s)


def _half(n: int, side: int, groups: Groups) -> NDArray[np.bool_]:
    """Which rows are in the second half; groups stay together."""
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(units.max()) + 1
    order = stream("feature shift", side, count).permutation(count)
    second: NDArray[np.bool_] = order[units] % 2 == 1
    return second


def _checked(pretraining: Matrix, task: Matrix) -> tuple[Matrix, Matrix]:
    found = {"pretraining": np.asarray(pretraining, np.float64), "task": np.asarray(task, np.float64)}
    problems = []
    for name, x in found.items():
        if x.ndim != 2 or len(x) < LEAST_ROWS or not np.isfinite(x).all():
            what = f"expected finite features of {LEAST_ROWS} rows or more, got shape {x.shape}"
            problems.append(Problem(name, what))
    a, b = found.values()
    if not problems and a.shape[1] != b.shape[1]:
        what = f"expected features of one encoder, got {a.shape[1]} and {b.shape[1]} columns"
        problems.append(Problem("task", what))
    if problems:
        raise BadInput(problems)
    return a, b
