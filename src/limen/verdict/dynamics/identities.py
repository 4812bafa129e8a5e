"""The identities V, X, L, F of stationary linear dynamics, measured over the modes that have equilibrated.

    V  2Σh Var x/(η(1 + β)Σ Var v)                              1 under independent batches; the epoch law's ratio when
    reshuffled
    X  2Σ Cov(x, v)/(ηΣ Var v)                                  1 of any heavy ball: kinematics
    L  E[x_iv_j − x_jv_i] − (h_i − h_j)/(1 − β)·E x_ix_j          0; of the pair that is furthest from it in standard
    errors, with interval and z of Holm's p over pairs
    F  Σ[(1 − β²)Var v − h²Var x + 2βh Cov(x, v)]/ΣC             1: the noise that the motion implies over the noise
    measured

V, L and F need noise that is independent from step to step; X telescopes to 1 on any bounded
path: it tests the record.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from limen.arrays.paired_tests import holm
from limen.measure.dynamics.series import Batches, batch_means, of_batches, ratio
from limen.records.dynamics import Compared, ModeVerdict
from limen.records.estimate import not_identified
from limen.verdict.dynamics.modes import compared, cut_of, series, virial
from limen.verdict.dynamics.problem import Floats, RunProblem

LEVEL = 0.95
METHOD_L = "angular momentum less its law, E[x_iv_j − x_jv_i] − (h_i − h_j)/(1 − β)·E[x_ix_j], of a pair of modes"
DEPENDENT = "holds for batches that are independent from step to step; this run's are {}"
DRIFTING = "holds at equilibrium; this run drifts"
SAID = {"reshuffle": "reshuffled", "same-order": "in one order for ever", "unknown": "drawn in an unknown way"}


def identities(problem: RunProblem, modes: tuple[ModeVerdict, ...], drifting: bool = False) -> Mapping[str, Compared]:
    """V, X, L and F over the equilibrated modes of curvature above 0; V, L, F without verdict where the run drifts."""
    which = [i for i, mode in enumerate(modes) if mode.equilibrated and mode.curvature > 0]
    refused = problem.spoiled or problem.not_plain
    cut = cut_of(problem, max((modes[i].relaxation_steps or 0.0 for i in which), default=0.0))
    if not which or cut is None or refused:
        nothing = not_identified(refused or "no recorded mode of positive curvature has equilibrated in this run")
        return dict.fromkeys("VXLF", Compared(nothing, None, None, nothing.reason))
    independent = problem.sampling in ("iid", "replacement")
    dependent = "" if independent else DEPENDENT.format(SAID.get(problem.sampling, problem.sampling))
    dependent = problem.unpredictable or (DRIFTING if drifting else dependent)
    x, v = (np.stack(columns, axis=1) for columns in zip(*(series(problem, i) for i in which), strict=True))
    x, v = x - x[-cut.steps :].mean(axis=0), v - v[-cut.steps :].mean(axis=0)
    h, eta, beta = problem.stiffness[which], problem.learning_rate, problem.momentum
    total_v = batch_means((v**2).sum(axis=1), cut)
    mixed = 2 * batch_means((x * v).sum(axis=1), cut)
    kinematic = ratio(mixed, eta * total_v, "2⟨x v⟩/(η⟨v²⟩)", inflation=cut.inflation)
    return {
        "V": compared(virial(problem, which, cut), *_virial_prediction(problem, which, dependent)),
        "X": compared(kinematic, 1.0, ""),
        "L": _angular(x, v, h, beta, cut, dependent),
        "F": _implied_noise(problem, which, (x, v), cut, dependent),
    }


def _virial_prediction(problem: RunProblem, which: list[int], dependent: str) -> tuple[float | None, str]:
    if not dependent:
        return 1.0, ""
    if dependent == DRIFTING or problem.unpredictable:
        return None, dependent
    if problem.law_name != "epoch" or problem.variances is None or problem.unpredictable:
        return None, dependent
    found = problem.laws(problem.modes(problem.variances)).get("epoch")
    if found is None:
        return None, dependent
    spread, speed = found.position_variance[which], found.velocity_variance[which]
    scale = problem.learning_rate * (1 + problem.momentum)
    return float(2 * problem.stiffness[which] @ spread / (scale * speed.sum())), ""


def _angular(x: Floats, v: Floats, h: Floats, beta: float, cut: Batches, dependent: str) -> Compared:
    count = x.shape[1]
    if count < 2:
        nothing = not_identified("angular momentum needs two equilibrated modes")
        return Compared(nothing, None, None, nothing.reason)
    found = []
    for i in range(count):
        for j in range(i):
            turning = batch_means(x[:, i] * v[:, j] - x[:, j] * v[:, i], cut)
            apart = turning - (h[i] - h[j]) / (1 - beta) * batch_means(x[:, i] * x[:, j], cut)
            error = cut.inflation * float(apart.std(ddof=1)) / np.sqrt(cut.count)
            if error > 0:
                t = float(apart.mean()) / error
                found.append((2 * float(stats.t.sf(abs(t), cut.count - 1)), t, error, apart))
    if not found:
        nothing = not_identified("positions and velocities of the modes do not vary")
        return Compared(nothing, None, None, nothing.reason)
    p = holm([at[0] for at in found])
    worst = int(np.argmin([at[0] for at in found]))
    _, t, error, apart = found[worst]
    method = f"{METHOD_L}; the furthest of {len(found)}, Holm p = {p[worst]:.2g}" if len(found) > 1 else METHOD_L
    # Bonferroni's interval: it holds 0 exactly where the p that counts all pairs is at least 1 − LEVEL
    each = 1 - (1 - LEVEL) / len(found)
    measured = of_batches(apart, method, each, cut.inflation).but(confidence=LEVEL)
    if dependent:
        return Compared(measured, 0.0, None, dependent)
    z = float(np.copysign(stats.norm.isf(p[worst] / 2), t)) if p[worst] < 1 else 0.0
    return Compared(measured, 0.0, z, error=float(error))


def _implied_noise(
    problem: RunProblem, which: list[int], motion: tuple[Floats, Floats], cut: Batches, dependent: str
) -> Compared:
    x, v = motion
    h, beta = problem.stiffness[which], problem.momentum
    implied = batch_means(((1 - beta**2) * v**2 - h**2 * x**2 + 2 * beta * h * x * v).sum(axis=1), cut)
    if problem.variances is None or problem.unpredictable:
        measured = of_batches(implied, "noise that the motion implies, loss²/parameter²")
        return Compared(measured, None, None, problem.unpredictable or "gradient noise was not measured")
    modes = problem.modes(problem.variances)
    noise = float(modes.step_noise[which].sum())
    assert problem.noise_errors is not None
    each = problem.noise_errors[which] * problem.variances[which]
    error = float(np.sqrt((each**2).sum()) / problem.variances[which].sum())
    return compared(
        of_batches(implied / noise, "noise that the motion implies over noise measured", inflation=cut.inflation),
        1.0,
        dependent,
        error,
    )
