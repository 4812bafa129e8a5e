"""Which surrogate orders encoders as the measured target does, within runs, within families and across families.

tau = Kendall's tau-b of the surrogate (sign so that better is lower, `limen.records.surrogates.BETTER`) and the target,
over one kind of pair (`limen.arrays.run_pairs`). Runs are the independent units: interval by percentiles of the cluster
bootstrap over runs (2,000 samples), 5 runs with such pairs at least. Where every bootstrap sample gives the same tau
(all pairs agree) the bootstrap knows no error: the value stands without an interval, graded `point`.

Both variables are measured: error in the order of close encoders draws tau to 0, and the interval is one of the tau of
the measured values. Families are taken as given: a claim about families never seen is not in it.

Source: Kendall 1945; Field, Welsh 2007 for the bootstrap of clusters. Coverage is simulated in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.arrays.run_pairs import PairSums, pair_sums, resampled_runs
from limen.measure.interface import LEAST_RUNS
from limen.measure.model_points import Target, kinds_of_pairs, run_numbers
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.model_point import ModelPoint
from limen.records.surrogates import BETTER, SurrogateRanking

RESAMPLES = 2000
LEAST_DEFINED = 0.9
"""Share of bootstrap samples that must have a tau."""
METHOD = "Kendall tau-b; cluster bootstrap over runs"
MEASURED = "of measured values: errors in the order of close encoders draw it to 0"
FAMILIES = "for these families"

Floats = NDArray[np.float64]


def rank_surrogates(
    points: Sequence[ModelPoint],
    task: str,
    target: Target = "minimal_adaptation_loss",
    confidence: float = 0.95,
) -> tuple[SurrogateRanking, ...]:
    """Every surrogate that any point has, best overall tau first. `target` says what `points[].targets` holds.

    A surrogate is ranked on the points where it and the target are measured.
    Raises BadInput for a surrogate whose better end is not known.
    """
    names = sorted({name for point in points for name in point.surrogates})
    if unknown := [name for name in names if name not in BETTER]:
        raise BadInput([Problem("surrogates", f"{name}: not known whether low or high is better") for name in unknown])
    found = [_ranked(points, task, target, name, confidence) for name in names]
    return tuple(sorted(found, key=lambda r: -2.0 if r.overall.value is None else r.overall.value, reverse=True))


def tau_difference(
    points: Sequence[ModelPoint], task: str, pair: tuple[str, str], confidence: float = 0.95
) -> Estimate:
    """Overall tau of one surrogate less that of another on the points that have both; paired cluster bootstrap."""
    usable = [p for p in points if all(_value(p.surrogates.get(name)) is not None for name in pair)]
    usable = [p for p in usable if _value(p.targets.get(task)) is not None]
    sums = [_sums(usable, task, name)["overall"] if usable else None for name in pair]
    if sums[0] is None or sums[1] is None or sums[0].runs_with_pairs < LEAST_RUNS:
        return _too_few(len({p.run for p in usable}))
    weights = _weights(usable, confidence)
    first, second = sums[0].tau(weights), sums[1].tau(weights)
    return _interval(first - second, _plain(sums[0]) - _plain(sums[1]), len({p.run for p in usable}), confidence)


def _ranked(points: Sequence[ModelPoint], task: str, target: Target, name: str, confidence: float) -> SurrogateRanking:
    usable = [
        p for p in points if _value(p.surrogates.get(name)) is not None and _value(p.targets.get(task)) is not None
    ]
    runs, families = ({getattr(p, key) for p in usable} for key in ("run", "family"))
    if not usable:
        missing = _too_few(0)
        return SurrogateRanking(name, target, 0, 0, missing, missing, missing, missing)
    weights = _weights(usable, confidence)
    taus = {kind: _tau(sums, weights, confidence) for kind, sums in _sums(usable, task, name).items()}
    return SurrogateRanking(name, target, len(runs), len(families), **taus)


def _sums(points: Sequence[ModelPoint], task: str, name: str) -> dict[str, PairSums]:
    sign = 1.0 if BETTER[name] == "low" else -1.0
    x = sign * np.array([_value(p.surrogates[name]) for p in points], dtype=np.float64)
    y = np.array([_value(p.targets[task]) for p in points], dtype=np.float64)
    return {str(kind): pair_sums(x, y, run_numbers(points), which) for kind, which in kinds_of_pairs(points).items()}


def _weights(points: Sequence[ModelPoint], confidence: float) -> Floats:
    runs = len({p.run for p in points})
    return resampled_runs(runs, RESAMPLES, stream("surrogate ranking", runs, confidence))


def _tau(sums: PairSums, weights: Floats, confidence: float) -> Estimate:
    runs = sums.runs_with_pairs
    if runs < LEAST_RUNS:
        return _too_few(runs)
    return _interval(sums.tau(weights), _plain(sums), runs, confidence)


def _plain(sums: PairSums) -> float:
    return float(sums.tau(np.ones((1, len(sums.pairs))))[0])


def _interval(drawn: Floats, value: float, runs: int, confidence: float) -> Estimate:
    common: dict[str, Any] = {"n": runs, "method": METHOD, "reference": "Kendall 1945; Field, Welsh 2007"}
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or defined.size < LEAST_DEFINED * drawn.size:
        return not_identified("too many pairs are equal in the surrogate or in the target", **common)
    if np.ptp(defined) == 0.0:
        why = (MEASURED, FAMILIES, "every resample gives the same number: its error is unknown")
        return Estimate(value, grade="point", assumptions=why, **common)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    ends = (min(float(low), value), max(float(high), value))
    return Estimate(value, *ends, confidence, "statistical", assumptions=(MEASURED, FAMILIES), **common)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _too_few(runs: int) -> Estimate:
    reason = f"{runs} runs have such pairs; a claim beyond these encoders needs {LEAST_RUNS} independent runs"
    return not_identified(reason, n=runs, method=METHOD)
