"""All temperatures against their law at once, and all displacements.

Mode i of k has z_i = (T_i − law)/error, T_i from B_i batches: p_i = 2·P(t > |z_i|), Student's t with B_i − 1 degrees of
freedom. Modes share examples, batches and the measurement of noise, so their z depend on each other in unknown ways:
Holm's least p, min(1, k·min p_i), holds under every dependence. It sees one mode far from its law. A shift common to
all of them is seen by their mean ratio

    R = (1/k)Σ_i h_i[(x_i − m_i)² + s²(m_b)/B]/law_i,     1 under the law,

averaged over batches of the slowest of the modes: its error over batches holds whatever modes share in time; the errors
of their noise are taken to be wholly alike. The joint p is that of both tests: min(1, 2·least).

One order for ever is one draw: the orbit's power at each harmonic m is that of its law P_m times a number of mean 1 and
variance 1 (conjugate pairs exponential, by the central limit theorem over the batches of an epoch), so that

    Var R = (2/k²) Σ_ij c_ij² Σ_m P_im P_jm/(ΣP_i ΣP_j),     c the correlation of the noise of modes i and j,

joins the error; Σ_m P_im P_jm = (1/M)Σ_t γ_i(t)γ_j(t) (Parseval), γ the autocovariance of the orbit.

Displacements at neighbouring lags are nearly one number. One lag an octave is tested, Holm over them; errors come from
16 to 31 blocks, so that p is Student's with 15 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from limen.arrays.paired_tests import holm
from limen.measure.dynamics.series import batch_means, of_batches
from limen.records.dynamics import Compared, Lag, ModeVerdict
from limen.theory.sgd import discrete, same_order_displacement, same_order_variance
from limen.verdict.dynamics.modes import EDGE, compared, cut_of, series
from limen.verdict.dynamics.problem import RunProblem

LONGEST = 4096
"""Steps of an epoch up to which the spread over orders is computed: time and memory grow with their square."""
BLOCKS = 16
"""Least number of blocks behind the error of a displacement."""


def joint_p(found: Sequence[Compared], shift: Compared | None = None) -> float | None:
    """Least p after Holm's correction over those that have z and batches, and of their common shift; None without.

    >>> from limen.records.estimate import Estimate
    >>> measured = Estimate(1.0, 0.9, 1.1, 0.95, "statistical", 21)
    >>> round(joint_p([Compared(measured, 1.2, z) for z in (-3.0, 0.5, 1.0)]), 4)
    0.0212
    >>> joint_p([Compared(measured, None, None, "no prediction")]) is None
    True
    """
    each = [p for at in found if (p := _p(at)) is not None]
    common = None if shift is None else _p(shift)
    if not each:
        return common
    alone = float(min(holm(each)))
    return alone if common is None else min(1.0, 2 * min(alone, common))


def common_shift(problem: RunProblem, modes: Sequence[ModeVerdict]) -> Compared | None:
    """R over the modes that are compared with their law; None where fewer than two are."""
    laws = _laws(problem, modes)
    which = sorted(laws)
    cut = cut_of(problem, max((modes[i].relaxation_steps or 0.0 for i in which), default=0.0))
    if len(which) < 2 or cut is None or problem.noise_errors is None:
        return None
    drawn = _one_draw(problem, which) if problem.sampling == "same-order" else 0.0
    ratios = np.zeros(cut.count)
    for i in which:
        x, _ = series(problem, i)
        means = batch_means(x, cut)
        squares = batch_means((x - means.mean()) ** 2, cut) + means.var(ddof=1) / cut.count
        ratios += modes[i].curvature * squares / laws[i] / len(which)
    alike = float(problem.noise_errors[which].mean())
    memory = replace(cut, memory=cut.memory / 2)  # squares forget twice as fast
    measured = of_batches(ratios, "mean of temperature over law, batch means", inflation=memory.inflation)
    return compared(measured, 1.0, "", float(np.hypot(alike, drawn)))


def _laws(problem: RunProblem, modes: Sequence[ModeVerdict]) -> dict[int, float]:
    """Temperature by the law of the run's sampling, by mode: of those compared, or the mean over orders."""
    if problem.sampling != "same-order":
        return {
            i: mode.temperature.predicted
            for i, mode in enumerate(modes)
            if mode.temperature.z is not None and mode.temperature.predicted
        }
    epoch, noise = problem.steps_per_epoch, problem.variances
    if epoch is None or noise is None or problem.unpredictable or epoch > LONGEST:
        return {}
    edges = discrete(problem.modes(noise), allow_unstable=True).edge_share
    at = [i for i, m in enumerate(modes) if m.equilibrated and m.curvature > 0 and noise[i] > 0 and edges[i] <= EDGE]
    return {i: modes[i].curvature * float(same_order_variance(problem.mode(i), epoch)[0]) for i in at}


def _one_draw(problem: RunProblem, which: Sequence[int]) -> float:
    """Standard deviation of R over the draw of the order."""
    epoch, noise = problem.steps_per_epoch, problem.noise
    assert epoch is not None
    assert noise is not None
    phases, shapes = np.arange(epoch), []
    for i in which:
        one = problem.mode(i)
        shapes.append(1 - same_order_displacement(one, epoch, phases) / (2 * same_order_variance(one, epoch)[0]))
    shape, scale = np.array(shapes), np.sqrt(np.diag(noise.covariance)[which])
    alike = noise.covariance[np.ix_(which, which)] / np.outer(scale, scale)
    return float(np.sqrt(2 * (alike**2 * (shape @ shape.T)).sum() / epoch) / len(which))


def octaves(lags: Sequence[Lag], law: str) -> tuple[Lag, ...]:
    """Of the lags that are compared with this law the one nearest each power of two."""
    tested = [lag for lag in lags if lag.z.get(law) is not None]
    if not tested:
        return ()
    powers = [1 << k for k in range(int(np.log2(tested[-1].lag)) + 1)]
    chosen = {min(tested, key=lambda at: abs(np.log(at.lag / power))).lag for power in powers}
    return tuple(lag for lag in tested if lag.lag in chosen)


def displacement_p(tested: Sequence[Lag], law: str) -> float | None:
    """Holm's least p over these lags; None without any."""
    z = [at for lag in tested if (at := lag.z.get(law)) is not None]
    return float(min(holm([2 * float(stats.t.sf(abs(at), BLOCKS - 1)) for at in z]))) if z else None


def _p(found: Compared) -> float | None:
    batches = found.measured.n or 0
    return None if found.z is None or batches < 2 else 2 * float(stats.t.sf(abs(found.z), batches - 1))
