"""V_bias: the variance of a task's target between runs of the same pretraining loss, less measurement variance.

Points i with measured loss x_i and target y_i = φ_i + e_i. Pairs of different runs with |x_i − x_j| ≤ δ are matched,
and r_ij = y_i − y_j − β(x_i − x_j), β given or 0. With v_ij the error variance of r_ij,

    V = mean over matched pairs of ½ r_ij²  −  mean of ½ v_ij.

For independent draws φ of one law given the loss, E V = Var(φ | L_pre) + O(β²δ²); nothing is clipped. Over several
tasks t = 1 … T, d_t = r_ij of task t:  common = A − B with A = mean of ½ d̄², B = mean of ½ s²(d)/T, which errors that
are independent between tasks do not enter, and specific = mean of ½ s²(d) less measurement; they add up to the mean V.

Interval, runs being the units: delete-a-run jackknife of ln(V + M), M the measurement part, mapped back and less M. For
`common`, a difference, the intervals of A and B are joined: low = C − √((A − A_low)² + (B_high − B)²), high likewise.
At least 5 runs with matched pairs and 5 matched pairs. M is taken as known. Coverage: docs/interface.md.

Sources: theory Q3 (Liu, Xie, Li, Ma 2022, arXiv:2210.14199); jackknife of ln s²: Miller 1968; joined intervals: Zou,
Donner 2008.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.intervals import jackknife
from limen.measure.interface import LEAST_RUNS, standard_error
from limen.measure.model_points import kinds_of_pairs, run_numbers
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.inductive_bias import InductiveBias, TaskVariance
from limen.records.model_point import ModelPoint

Floats = NDArray[np.float64]
Kinds = NDArray[np.bool_]

LEAST_PAIRS = 5
METHOD = "matched pairs of runs; delete-a-run jackknife"
REFERENCE = "Liu, Xie, Li, Ma 2022; Miller 1968"


@dataclass(frozen=True, slots=True)
class Matching:
    """Which pairs count as of the same pretraining loss, and what is taken out of their difference."""

    delta: float
    slope: float = 0.0
    """d target/d L_pre; 0 leaves the pairs as they are."""
    error_covariance: Floats | None = None
    """[k, k] of the targets' errors, where they share rows; None = independent, from their intervals."""


def bias_variance(
    points: Sequence[ModelPoint], task: str, matching: Matching, confidence: float = 0.95
) -> InductiveBias:
    """V_bias of one task between runs, within families and across them.

    Points without a loss, or without a target that has an interval, are left out. Several checkpoints of one run may
    be given; pairs within a run never count. Raises BadInput for δ ≤ 0 and a covariance of another shape.
    """
    x, y, errors, kept = _measured(points, task, matching)
    kinds, runs = kinds_of_pairs(kept), run_numbers(kept) if kept else np.zeros(0, dtype=np.int64)
    matched = _matched(x, matching.delta)
    r = y[:, None] - y[None, :] - matching.slope * (x[:, None] - x[None, :])
    diagonal = np.diag(errors)
    halves = 0.5 * r**2, 0.5 * (diagonal[:, None] + diagonal[None, :] - 2 * errors)
    between = kinds["within_family"] | kinds["across_families"]
    chosen = {"overall": between, "within_family": kinds["within_family"], "across_families": kinds["across_families"]}
    found = {name: _variance(halves, matched & kind, runs, confidence) for name, kind in chosen.items()}
    pairs = matched & between
    return InductiveBias(
        task=task,
        delta=matching.delta,
        pairs=int(pairs.sum()) // 2,
        runs=_runs(pairs, runs),
        slope=matching.slope or None,
        measurement=float(halves[1][pairs].mean()) if pairs.any() else 0.0,
        **found,
    )


def task_variance(
    points: Sequence[ModelPoint], tasks: Sequence[str], matching: Matching, confidence: float = 0.95
) -> TaskVariance:
    """Variance between runs of the same loss: what all tasks share, and what is a single task's own (T ≥ 2 tasks).

    Only points measured on every task count; errors of different tasks are taken as independent.
    Raises BadInput for fewer than two tasks, and for an error covariance, which one task has and several have not.
    """
    problems = []
    if len(set(tasks)) < 2 or len(set(tasks)) < len(tasks):
        problems.append(Problem("tasks", f"expected at least 2 different tasks, got {', '.join(tasks) or 'none'}"))
    if matching.error_covariance is not None:
        problems.append(Problem("matching.error_covariance", "belongs to one task", fix="leave it out"))
    if problems:
        raise BadInput(problems)
    complete = [p for p in points if all(_usable(p, task) for task in tasks)]
    each = [_measured(complete, task, matching) for task in tasks]
    x = each[0][0]
    matched = _matched(x, matching.delta)
    kinds, runs = kinds_of_pairs(complete), run_numbers(complete) if complete else np.zeros(0, dtype=np.int64)
    pairs = matched & (kinds["within_family"] | kinds["across_families"])
    shift = matching.slope * (x[:, None] - x[None, :])
    d = np.array([y[:, None] - y[None, :] - shift for _, y, _, _ in each])
    noise = np.array([0.5 * np.add.outer(np.diag(e), np.diag(e)) for _, _, e, _ in each]).mean(axis=0)
    of_mean, own = 0.5 * d.mean(axis=0) ** 2, 0.5 * d.var(axis=0, ddof=1)
    none = np.zeros_like(own)
    ends = [_variance((part, none), pairs, runs, confidence) for part in (of_mean, own / len(tasks))]
    return TaskVariance(
        tasks=tuple(tasks),
        delta=matching.delta,
        pairs=int(pairs.sum()) // 2,
        runs=_runs(pairs, runs),
        common=_less(*ends),
        specific=_variance((own, noise), pairs, runs, confidence),
    )


def _measured(
    points: Sequence[ModelPoint], task: str, matching: Matching
) -> tuple[Floats, Floats, Floats, list[ModelPoint]]:
    """Losses, targets, error covariance and the points that have them."""
    problems = []
    if not (matching.delta > 0 and math.isfinite(matching.delta)):
        problems.append(Problem("matching.delta", f"expected a number above 0, got {matching.delta}"))
    given = matching.error_covariance
    if given is not None and given.shape != (len(points), len(points)):
        what = f"expected a row and a column a point, shape {(len(points), len(points))}, got {given.shape}"
        problems.append(Problem("matching.error_covariance", what))
    if problems:
        raise BadInput(problems)
    at = [i for i, p in enumerate(points) if _usable(p, task)]
    kept = [points[i] for i in at]
    x = np.array([p.pretraining_loss.value for p in kept if p.pretraining_loss is not None], dtype=np.float64)
    y = np.array([p.targets[task].value for p in kept], dtype=np.float64)
    if given is not None:
        return x, y, given[np.ix_(at, at)], kept
    return x, y, np.diag(np.array([_error(p.targets[task]) ** 2 for p in kept], dtype=np.float64)), kept


def _usable(point: ModelPoint, task: str) -> bool:
    target, loss = point.targets.get(task), point.pretraining_loss
    if target is None or loss is None or target.value is None or loss.value is None:
        return False
    return target.two_sided or target.grade == "exact"


def _error(target: Estimate) -> float:
    return 0.0 if target.grade == "exact" else standard_error(target)


def _matched(x: Floats, delta: float) -> Kinds:
    close: Kinds = np.abs(x[:, None] - x[None, :]) <= delta
    return close


def _runs(pairs: Kinds, runs: NDArray[np.int64]) -> int:
    return len(np.unique(runs[pairs.any(axis=1)])) if pairs.any() else 0


def _variance(parts: tuple[Floats, Floats], pairs: Kinds, runs: NDArray[np.int64], confidence: float) -> Estimate:
    """Mean over pairs of the first part less the second, with the jackknife over runs."""
    units, count = _runs(pairs, runs), int(pairs.sum()) // 2
    common: dict[str, Any] = {"n": units, "method": METHOD, "reference": REFERENCE}
    if units < LEAST_RUNS or count < LEAST_PAIRS:
        reason = (
            f"{count} pairs of {units} runs are within delta of each other's pretraining loss; {LEAST_PAIRS} pairs of "
            f"{LEAST_RUNS} runs are needed: a larger delta, or more runs"
        )
        return not_identified(reason, **common)
    whole, noise = (float(part[pairs].mean()) for part in parts)
    deleted = []
    for run in np.unique(runs[pairs.any(axis=1)]):
        left = pairs & (runs != run)[:, None] & (runs != run)[None, :]
        if not left.any():
            reason = "all matched pairs are with one run: a larger delta, or more runs"
            return not_identified(reason, **common)
        deleted.append(float(parts[0][left].mean()))
    if min(whole, *deleted) > 0:
        found = jackknife(math.log(whole), np.log(deleted), confidence)
        low, high = math.exp(found.low), math.exp(found.high)
    else:
        found = jackknife(whole, deleted, confidence)
        low, high = found.low, found.high
    said = ("runs are independent draws of their families", "the errors' variances are known, and losses exact")
    ends = (low - noise, high - noise)
    return Estimate(whole - noise, *ends, confidence, "statistical", assumptions=said, **common)


def _less(a: Estimate, b: Estimate) -> Estimate:
    """A − B of two positive estimates with lopsided intervals."""
    if a.value is None or b.value is None or not (a.two_sided and b.two_sided):
        return a if a.value is None else b
    down = math.hypot(a.value - (a.low or 0.0), (b.high or 0.0) - b.value)
    up = math.hypot((a.high or 0.0) - a.value, b.value - (b.low or 0.0))
    value = a.value - b.value
    return a.but(value=value, low=value - down, high=value + up, method=f"{METHOD}; intervals joined")
