"""The interface: along the checkpoints of a run, does a lower pretraining loss come with a lower floor?

k checkpoints with true (λ_i, φ_i) = (L_pre, L*_adapt), measured as (x_i, y_i) with Gaussian errors of covariance Σ_x
and Σ_y. Errors of x and y are taken as independent: true where no held-out pretraining image is a row of the task. If
the encoder was pretrained on the task's own file, some are, and the two errors share them; this covariance is left out
and the estimates say so. Two summaries of the *true* points, both with errors in both variables (C = centring matrix):

tau     Kendall's tau-b of (λ, φ). Interval: a pair's order is settled in a variable when its difference exceeds
        c·sd(difference), c the simultaneous quantile over all pairs and both variables; pairs not settled in both may
        count as ±1. Resampling the measured points is not used: it adds the error a second time and pulls tau to 0.
slope   β = φᵀCλ/λᵀCλ, the least-squares line through the true points (they need not lie on a line).
        β̂ = xᵀCy/(xᵀCx − tr CΣ_x), the attenuation-corrected moment estimator; interval by Fieller:
        {β : (u − βv)² ≤ q²(V_u − 2βV_uv + β²V_v)}, u = xᵀCy, v = xᵀCx − tr CΣ_x,
        V_u = yᵀCΣ_xCy + xᵀCΣ_yCx, V_v = 4xᵀCΣ_xCx, V_uv = 2yᵀCΣ_xCx; unbounded → not identified.

Both intervals hold for these checkpoints of this run. Checkpoints of one run lie on one trajectory, so for any claim
beyond it the grade is `point`; across runs the run is the unit, and 5 of them are the least (`across_runs`).

Sources: Fuller, Measurement Error Models, 1987, §2; Fieller 1954. Coverage is simulated in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, norm
from scipy.stats import t as student

from limen.arrays.means import t_interval
from limen.arrays.random import stream
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.report import Checkpoint, Interface

LEAST_CHECKPOINTS = 3
LEAST_RUNS = 5
DRAWS = 5_000
BEYOND = (
    "the interval is measurement error at these checkpoints of this run",
    "grade point for any claim beyond this run: its checkpoints lie on one trajectory",
    "errors of the floors are taken as independent between checkpoints (cautious where they share rows)",
)
SEPARATE = "errors of losses and floors are independent: no held-out pretraining image is a row of the task"
SHARED = (
    "errors of losses and floors are taken as independent although the held-out pretraining images are rows of the task"
)

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunLosses:
    """What a run's pretraining losses are called and, where known, the batches behind them."""

    run: str
    """Encoder and seed, such as `scratch#0`."""
    objective: str
    loss_name: str
    heldout_batches: NDArray[np.float64] | None = None
    """Batch losses [checkpoints, batches]; their covariance replaces the Estimates' widths (paired: smaller)."""
    shared_tasks: tuple[str, ...] = ()
    """Tasks whose rows are among the images of the held-out pretraining loss."""


@dataclass(frozen=True, slots=True)
class Measured:
    """k points measured with error in both variables."""

    x: Vector
    y: Vector
    x_covariance: Vector
    y_covariance: Vector
    dof: float | None = None
    """Degrees of freedom behind x_covariance; None for known covariances."""


def interface(losses: RunLosses, checkpoints: Sequence[Checkpoint], confidence: float = 0.95) -> Interface:
    """The interface of one run from its checkpoints, each with the floors of the tasks it was adapted to.

    A task with fewer than 3 checkpoints whose loss and floor are both identified has a tau and a slope that are not.
    Raises BadInput where `heldout_batches` has another number of checkpoints.
    """
    batches = losses.heldout_batches
    if batches is not None and len(batches) != len(checkpoints):
        what = f"expected batch losses of {len(checkpoints)} checkpoints, got {len(batches)}"
        raise BadInput(Problem("heldout_batches", what))
    taus, slopes = {}, {}
    for task in sorted({name for checkpoint in checkpoints for name in checkpoint.floors}):
        points = _points(checkpoints, task, batches)
        if isinstance(points, Estimate):
            taus[task] = slopes[task] = points
        else:
            said = SHARED if task in losses.shared_tasks else SEPARATE
            taus[task] = _assuming(kendall_tau(points, confidence), said)
            slopes[task] = _assuming(floor_slope(points, confidence), said)
    ordered = tuple(sorted(checkpoints, key=lambda c: c.step))
    return Interface(losses.run, losses.objective, losses.loss_name, ordered, taus, slopes)


def with_task(
    checkpoint: Checkpoint, task: str, floor: Estimate, adaptation_loss: Estimate, error: Estimate
) -> Checkpoint:
    """The checkpoint with the numbers of one more task, taken from the budget of its encoder."""
    return replace(
        checkpoint,
        floors={**checkpoint.floors, task: floor},
        adaptation_losses={**checkpoint.adaptation_losses, task: adaptation_loss},
        errors={**checkpoint.errors, task: error},
    )


def interface_table(found: Interface) -> tuple[dict[str, Any], ...]:
    """One row a checkpoint and task, plain data: `encoder, step, task`, then the losses as Estimates' JSON.

    A checkpoint without tasks has one row with `task` None.
    """
    rows = []
    for checkpoint in found.checkpoints:
        pretraining = {
            "empirical_pretraining_loss": checkpoint.empirical_pretraining_loss.to_json(),
            "pretraining_loss": checkpoint.pretraining_loss.to_json(),
            "pretraining_gap": checkpoint.pretraining_gap.to_json(),
        }
        if checkpoint.pretraining_optimization_gap is not None:
            pretraining["pretraining_optimization_gap"] = checkpoint.pretraining_optimization_gap.to_json()
        columns: dict[str, Mapping[str, Estimate]] = {
            "minimal_adaptation_loss": checkpoint.floors,
            "adaptation_loss": checkpoint.adaptation_losses,
            "error": checkpoint.errors,
        }
        tasks = sorted({name for column in columns.values() for name in column})
        for task in tasks or (None,):
            downstream = {k: v[task].to_json() for k, v in columns.items() if task is not None and task in v}
            rows.append(
                {"encoder": checkpoint.encoder, "step": checkpoint.step, "task": task} | pretraining | downstream
            )
    return tuple(rows)


def kendall_tau(points: Measured, confidence: float = 0.95) -> Estimate:
    """Kendall's tau-b of the true points, with the interval of settled pairs (k ≥ 3 points).

    >>> exact = np.zeros((3, 3))
    >>> kendall_tau(Measured(np.array([3.0, 2, 1]), np.array([9.0, 4, 1]), exact, exact)).text()
    '1.000 (1.000 to 1.000) ○'
    """
    if points.x.size < LEAST_CHECKPOINTS:
        return _too_few(points.x.size)
    value = float(kendalltau(points.x, points.y).statistic)
    if not np.isfinite(value):
        return not_identified("all checkpoints have the same loss or the same floor", n=points.x.size)
    pairs = np.array(list(combinations(range(points.x.size), 2)))
    critical = _simultaneous_quantile(points, pairs, confidence)
    orders = [
        np.sign(v[pairs[:, 0]] - v[pairs[:, 1]])
        * (np.abs(v[pairs[:, 0]] - v[pairs[:, 1]]) > critical * _difference_sd(covariance, pairs))
        for v, covariance in ((points.x, points.x_covariance), (points.y, points.y_covariance))
    ]
    product = orders[0] * orders[1]
    settled, open_pairs = float(product.sum()), int((product == 0).sum())
    return Estimate(
        value=value,
        low=(settled - open_pairs) / len(pairs),
        high=(settled + open_pairs) / len(pairs),
        confidence=confidence,
        grade="point",
        n=points.x.size,
        method="Kendall tau-b; order of pairs settled simultaneously",
        assumptions=BEYOND,
        reference="Kendall 1945",
    )


def floor_slope(points: Measured, confidence: float = 0.95) -> Estimate:
    """d floor/d L_pre: slope of the least-squares line through the true points (k ≥ 3), corrected for errors in both.

    >>> exact = np.zeros((3, 3))
    >>> floor_slope(Measured(np.array([3.0, 2, 1]), np.array([6.0, 4, 2]), exact, exact)).value
    2.0
    """
    if points.x.size < LEAST_CHECKPOINTS:
        return _too_few(points.x.size)
    x, y = points.x - points.x.mean(), points.y - points.y.mean()
    error_x, error_y = points.x_covariance, points.y_covariance
    u = float(x @ y)
    v = float(x @ x) - float(np.trace(error_x) - error_x.mean() * x.size)
    variance_u = float(y @ error_x @ y + x @ error_y @ x)
    variance_v = 4 * float(x @ error_x @ x)
    covariance = 2 * float(y @ error_x @ x)
    tail = (1 - confidence) / 2
    q = float(norm.isf(tail) if points.dof is None else student.isf(tail, points.dof))
    # (u − βv)² ≤ q² Var(u − βv) is a quadratic a β² − 2b β + c ≤ 0; bounded only for a > 0.
    a, b, c = v**2 - q**2 * variance_v, u * v - q**2 * covariance, u**2 - q**2 * variance_u
    if v <= 0 or a <= 0:
        reason = "the checkpoints' pretraining losses cannot be told apart; keep checkpoints further apart in the run"
        return not_identified(reason, n=x.size, method="Fieller")
    half = float(np.sqrt(max(b**2 - a * c, 0.0)))  # the point u/v satisfies the inequality: only rounding is negative
    return Estimate(
        value=u / v,
        low=min((b - half) / a, u / v),
        high=max((b + half) / a, u / v),
        confidence=confidence,
        grade="point",
        n=x.size,
        method="moment-corrected least squares, errors in both variables; Fieller",
        assumptions=BEYOND,
        reference="Fuller 1987; Fieller 1954",
    )


def across_runs(
    runs: Sequence[Interface], task: str, quantity: Literal["kendall_tau", "slope"], confidence: float = 0.95
) -> Estimate:
    """Mean of a run-level summary over independent runs, the run being the unit: t over the runs, 5 at least.

    Runs in which it is not identified are left out and counted. Raises BadInput for runs of different losses.
    """
    names = sorted({run.loss_name for run in runs})
    if len(names) > 1:
        what = f"expected runs of one pretraining loss, got {'; '.join(names)}"
        raise BadInput(Problem("runs", what, "batch, temperature and augmentation are part of a loss's name"))
    estimates = [dict(getattr(run, quantity)).get(task) for run in runs]
    values = [e.value for e in estimates if e is not None and e.value is not None]
    if len(values) < LEAST_RUNS:
        reason = f"{len(values)} of {len(runs)} runs have it; a claim across runs needs {LEAST_RUNS} independent runs"
        return not_identified(reason, n=len(values), method="t over runs")
    found = t_interval(values, confidence)
    left_out = len(runs) - len(values)
    return Estimate(
        value=found.value,
        low=found.low,
        high=found.high,
        confidence=confidence,
        grade="statistical",
        n=len(values),
        method="t over runs",
        assumptions=("runs are independent draws of seed",) + ((f"{left_out} runs left out",) if left_out else ()),
        reference="Student 1908",
    )


def _points(checkpoints: Sequence[Checkpoint], task: str, batches: Vector | None) -> Measured | Estimate:
    """The checkpoints whose loss and floor both have an interval, or why there are too few."""
    usable = [i for i, c in enumerate(checkpoints) if _has_error(c.pretraining_loss) and _has_error(c.floors.get(task))]
    if len(usable) < LEAST_CHECKPOINTS:
        return _too_few(len(usable))
    losses = [checkpoints[i].pretraining_loss for i in usable]
    floors = [checkpoints[i].floors[task] for i in usable]
    x = np.array([e.value for e in losses], dtype=np.float64)
    y = np.array([e.value for e in floors], dtype=np.float64)
    y_covariance = np.diag([standard_error(e) ** 2 for e in floors])
    if batches is None:
        return Measured(x, y, np.diag([standard_error(e) ** 2 for e in losses]), y_covariance)
    count = batches.shape[1]
    return Measured(x, y, np.cov(batches[usable]) / count, y_covariance, dof=count - 1)


def standard_error(estimate: Estimate) -> float:
    """Standard error that an interval's half-width implies: half-width over the t quantile of n − 1, normal without n.

    >>> round(standard_error(Estimate(0.0, -1.96, 1.96, confidence=0.95)), 3)
    1.0
    """
    if estimate.low is None or estimate.high is None or estimate.confidence is None:
        raise ValueError("expected an estimate with a two-sided interval")
    tail = (1 - estimate.confidence) / 2
    quantile = norm.isf(tail) if estimate.n is None or estimate.n < 2 else student.isf(tail, estimate.n - 1)
    return (estimate.high - estimate.low) / 2 / float(quantile)


def _assuming(estimate: Estimate, assumption: str) -> Estimate:
    if estimate.value is None:
        return estimate
    return estimate.but(assumptions=(*estimate.assumptions, assumption))


def _has_error(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.value is not None and estimate.two_sided


def _too_few(count: int) -> Estimate:
    reason = f"{count} checkpoints have both a loss and a floor with intervals; at least {LEAST_CHECKPOINTS} are needed"
    return not_identified(reason, n=count)


def _difference_sd(covariance: Vector, pairs: NDArray[np.int64]) -> Vector:
    i, j = pairs[:, 0], pairs[:, 1]
    variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
    sd: Vector = np.sqrt(np.maximum(variance, 0.0))  # rounding of a perfectly paired difference
    return sd


def _simultaneous_quantile(points: Measured, pairs: NDArray[np.int64], confidence: float) -> float:
    """Quantile of max |difference error|/sd over all pairs and both variables, by a fixed stream of draws."""
    rng = stream("interface/pairs", points.x.size, confidence)
    largest = np.zeros(DRAWS)
    for covariance, dof in ((points.x_covariance, points.dof), (points.y_covariance, None)):
        sd = _difference_sd(covariance, pairs)
        errors = rng.standard_normal((DRAWS, points.x.size)) @ _root(covariance)
        if dof is not None:
            errors /= np.sqrt(rng.chisquare(dof, size=(DRAWS, 1)) / dof)
        kept = sd > 0
        ratios = np.abs(errors[:, pairs[kept, 0]] - errors[:, pairs[kept, 1]]) / sd[kept]
        largest = np.maximum(largest, ratios.max(axis=1, initial=0.0))
    return float(np.quantile(largest, confidence))


def _root(covariance: Vector) -> Vector:
    values, vectors = np.linalg.eigh(covariance)
    root: Vector = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root
