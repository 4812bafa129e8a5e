"""Each recorded eigenvector on its own: how hot it is, whether it has come to rest, what the law says.

Means run over batches of at least five relaxation times (and two epochs under reshuffling), twelve of them at least;
the first batch's worth of steps is left out as burn-in. A mode with fewer has not equilibrated in this run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from limen.arrays.checks import finite_or_none
from limen.measure.dynamics.series import (
    LEAST_BATCHES,
    Batches,
    batch_means,
    batches,
    drift_p,
    ratio,
    standard_error,
    too_short,
    variance,
)  # fmt: skip
from limen.records.dynamics import Compared, ModeVerdict
from limen.records.estimate import Estimate, not_identified
from limen.theory.sgd import Law, discrete
from limen.verdict.dynamics.problem import Floats, RunProblem

RELAXATIONS = 5
EPOCHS = 2
EDGE = 0.9
"""Share of the learning rate at which a mode is unstable, from which no law predicts it."""


def mode_verdicts(problem: RunProblem) -> tuple[ModeVerdict, ...]:
    """All recorded modes, in their order."""
    h = problem.stiffness
    if not len(h):
        return ()
    noise = problem.variances
    moving = problem.modes(np.zeros(len(h)) if noise is None else noise)
    if problem.segment.settings.maximize:  # the force is upwards: valleys push away
        moving = replace(moving, curvature=-moving.curvature)
    shape = discrete(moving, allow_unstable=True)
    law = _law_of_sampling(problem)
    return tuple(_verdict(problem, shape, law, i) for i in range(len(h)))


def cut_of(problem: RunProblem, relaxation: float) -> Batches | None:
    """Batches for a mode of that relaxation time, with one batch left out at the start; None below `needed_steps`."""
    least = _least(problem, relaxation)
    return batches(int(problem.steps - np.ceil(least)), least, relaxation) if np.isfinite(least) else None


def needed_steps(problem: RunProblem, relaxation: float) -> float:
    """Steps from which a mode of that relaxation time has batches enough, the one left out counted."""
    least = _least(problem, relaxation)
    return float(np.ceil(least) + np.ceil(LEAST_BATCHES * least)) if np.isfinite(least) else np.inf


def _least(problem: RunProblem, relaxation: float) -> float:
    """Shortest batch: five relaxation times, two epochs where batches come in epochs, ten steps."""
    epoch = problem.steps_per_epoch if problem.sampling in ("reshuffle", "same-order") else None
    return max(RELAXATIONS * relaxation, EPOCHS * (epoch or 0), 10.0)


def series(problem: RunProblem, i: int) -> tuple[Floats, Floats]:
    """x and v of mode i over the analysed rows, float64."""
    rows = problem.rows
    x, v = problem.trajectory.positions[rows, i], problem.trajectory.velocities[rows, i]
    return np.asarray(x, dtype=np.float64), np.asarray(v, dtype=np.float64)


def _law_of_sampling(problem: RunProblem) -> Law | None:
    if problem.variances is None or problem.unpredictable or problem.law_name == "same-order":
        return None
    modes = problem.modes(problem.variances)
    found = problem.laws(modes)
    if not found:  # an unstable or rising mode: the others still have their law
        return discrete(modes, allow_unstable=True) if problem.law_name == "discrete" else None
    return found.get(problem.law_name)


def _verdict(problem: RunProblem, shape: Law, law: Law | None, i: int) -> ModeVerdict:
    h, relaxation = float(problem.stiffness[i]), float(shape.relaxation_steps[i])
    cut = cut_of(problem, relaxation)
    x, v = series(problem, i)
    residual = None if problem.curvature is None else float(problem.curvature.residuals[i])
    noise = None if problem.variances is None else float(problem.variances[i])
    reason = _refusal(problem, h, float(shape.edge_share[i]), law)
    if cut is None or problem.spoiled:
        needed = needed_steps(problem, relaxation)
        nothing = not_identified(problem.spoiled) if problem.spoiled else too_short(problem.steps, needed, "variance")
        none = Compared(nothing, None, None, nothing.reason)
        count = 0 if cut is None else cut.count
        return ModeVerdict(h, residual, noise, str(shape.regime[i]), finite_or_none(relaxation), count, cut is not None,
                           none, none, none, nothing, None)  # fmt: skip
    positions = variance(x, cut, "variance of the position, batch means")
    speeds = variance(v, cut, "variance of the velocity, batch means")
    heat = _scaled(positions, h) if h > 0 else not_identified("the curvature is not above 0")
    error = _noise_error(problem, i)
    pull = virial(problem, [i], cut) if problem.plain else not_identified(f"virial: {problem.not_plain}")
    return ModeVerdict(
        h, residual, noise, str(shape.regime[i]), finite_or_none(relaxation), cut.count, True,
        compared(heat, None if law is None else float(law.temperature[i]), reason, error),
        compared(positions, None if law is None else float(law.position_variance[i]), reason, error),
        compared(speeds, None if law is None else float(law.velocity_variance[i]), reason, error),
        pull, None if problem.sampling == "same-order" else drift_p(x, cut),
    )  # fmt: skip


def compared(measured: Estimate, predicted: float | None, reason: str, relative_error: float = 0.0) -> Compared:
    """z with the error of the measurement and the relative error of the prediction (of its noise)."""
    error = standard_error(measured)
    if reason or predicted is None or not np.isfinite(predicted) or error is None or measured.value is None:
        known = None if predicted is None or not np.isfinite(predicted) else predicted
        return Compared(measured, known, None, reason or measured.reason or "no prediction: noise was not measured")
    total = np.hypot(error, relative_error * predicted)
    if not total > 0:
        return Compared(measured, predicted, None, "no error: the series does not vary")
    return Compared(measured, predicted, float((measured.value - predicted) / total), error=float(total))


def virial(problem: RunProblem, which: list[int], cut: Batches) -> Estimate:
    """2Σh(x − x̄)²/(η(1 + β)Σv²) over modes `which`: identity V as a ratio, 1 under independent batches."""
    above, below = np.zeros(cut.count), np.zeros(cut.count)
    for i in which:
        x, v = series(problem, i)
        centred = x - x[-cut.steps :].mean()
        lost = batch_means(x, cut).var(ddof=1) / cut.count  # what the mean took from the spread, as in `variance`
        above = above + 2 * problem.stiffness[i] * (batch_means(centred**2, cut) + lost)
        below = below + problem.learning_rate * (1 + problem.momentum) * batch_means(v**2, cut)
    return ratio(above, below, "virial ratio", inflation=cut.inflation)


def _refusal(problem: RunProblem, h: float, q: float, law: Law | None) -> str:
    if problem.unpredictable:
        return problem.unpredictable
    if problem.noise is None:
        return "no prediction: gradient noise was not measured (limen.gradient_noise)"
    if problem.sampling == "same-order":
        return "the same order every epoch makes a closed orbit, not an equilibrium"
    if h <= 0:
        return "curvature at or below 0: this mode has no equilibrium"
    if q > EDGE:
        return (
            f"edge of stability: {q:.2f} of the learning rate at which the mode is unstable; no loss is quadratic there"
        )
    return "" if law is not None else "no law of this sampling: examples or batch size unknown"


def _noise_error(problem: RunProblem, i: int) -> float:
    return 0.0 if problem.noise_errors is None else float(problem.noise_errors[i])


def _scaled(found: Estimate, factor: float) -> Estimate:
    value, low, high = (None if x is None else factor * x for x in (found.value, found.low, found.high))
    return found.but(value=value, low=low, high=high, method="h times the variance of the position, batch means")
