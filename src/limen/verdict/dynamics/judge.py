"""The verdict on one recorded run: is it at rest, does it move as theory says, and what follows for the next run.

Stationary: no recorded mode that has equilibrated drifts (slope of its batch means, Holm's correction over modes), and
at least one has. Modes whose relaxation is too long for the run are counted, not judged. Reshuffled batches leave this
test as it is, since batches span whole epochs; the virial V has the epoch law's value there, not 1. A run that diverged
is not at rest; one whose weights were changed between updates has no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from limen.arrays.checks import finite_or_none
from limen.arrays.paired_tests import holm
from limen.records.curvature import Curvature
from limen.records.dynamics import Compared, Dynamics, Lag, ModeVerdict, Verdict
from limen.records.gradient_noise import GradientNoise
from limen.records.trajectory import Trajectory
from limen.records.units import counted
from limen.verdict.dynamics.answers import answers
from limen.verdict.dynamics.course import excluded
from limen.verdict.dynamics.displacement import ends, lags, told
from limen.verdict.dynamics.feedback import multiplicative_ratio
from limen.verdict.dynamics.identities import identities
from limen.verdict.dynamics.joint import common_shift, displacement_p, joint_p, octaves
from limen.verdict.dynamics.modes import mode_verdicts, needed_steps
from limen.verdict.dynamics.orbits import orbits
from limen.verdict.dynamics.problem import RunProblem, run_problem, segments_of

DRIFT = 0.05
SHIFT = 2.0
"""Standard errors from 1 from which a common shift of the temperatures is told."""
COLD = 3.0
"""Standard errors below the law from which noise is said to have fallen."""
VIRIAL = 0.15
"""Distance of a mode's virial ratio from the law's, beyond its interval, that says the loss is not the quadratic
one."""


def judge(run: str, trajectory: Trajectory, curvature: Curvature | None, noise: GradientNoise | None) -> Dynamics:
    """Everything that this run says; see the records for units. Raises BadInput as `run_problem` does."""
    problem = run_problem(trajectory, curvature, noise)
    modes = mode_verdicts(problem)
    verdict, reason, p = _stationary(problem, modes)
    reason = f"{problem.cut_short}; {reason}" if problem.cut_short else reason
    shift, biased = common_shift(problem, modes), _multiplicative(problem, modes)
    found = identities(problem, modes, drifting=verdict == "drifting")
    laws = problem.laws(problem.modes(problem.variances)) if problem.variances is not None else {}
    at = lags(problem)
    tested = octaves(at, problem.law_name)
    rows = trajectory.step[problem.rows]
    return Dynamics(
        run=run,
        steps=trajectory.info.steps,
        segments=segments_of(trajectory),
        analysed=(int(rows[0]), int(rows[-1])),
        sampling=problem.sampling,
        law=problem.law_name,
        verdict=verdict,
        reason=reason,
        p_value=p,
        unequilibrated_modes=sum(not mode.equilibrated for mode in modes),
        modes=modes,
        lags=at,
        identities=found,
        answers=answers(problem, modes, found, at, (verdict, reason, bool(_not_quadratic(problem, modes))), shift),
        orbits=() if problem.spoiled else orbits(problem, modes, laws),
        warnings=(*_warnings(problem, modes, found, at), *_shifted(problem, shift, biased)),
        excluded=excluded(trajectory),
        temperature_p=joint_p([mode.temperature for mode in modes], shift),
        temperature_shift=shift,
        multiplicative=biased,
        displacement_tested=tuple(lag.lag for lag in tested),
        displacement_p=displacement_p(tested, problem.law_name),
        diverged=problem.diverged,
    )


def _multiplicative(problem: RunProblem, modes: tuple[ModeVerdict, ...]) -> float | None:
    """Mean ratio of the compared temperatures to their law if noise grew as in least squares; None where unknown."""
    which = [i for i, mode in enumerate(modes) if mode.temperature.z is not None]
    decays = any(problem.segment.settings.weight_decay)
    if not which or decays or problem.variances is None or problem.unpredictable:
        return None
    law = problem.laws(problem.modes(problem.variances)).get(problem.law_name)
    return None if law is None else finite_or_none(float(multiplicative_ratio(law)[which].mean()))


def _shifted(problem: RunProblem, shift: Compared | None, biased: float | None) -> list[str]:
    """That all temperatures lie to one side of the law, with what noise that grows with distance would make of them."""
    if shift is None or shift.z is None or shift.measured.value is None or abs(shift.z) < SHIFT:
        return []
    said = f"temperatures are together {shift.measured.value:.2f} times the {problem.law_name} law (z {shift.z:+.1f})"
    if shift.z > 0 and biased is not None:
        said += (
            f"; the law holds noise constant: noise that grows with distance, as in least squares with Gaussian "
            f"features of the recorded modes, makes them {biased:.2f} times it"
        )
    return [said]


def _stationary(problem: RunProblem, modes: tuple[ModeVerdict, ...]) -> tuple[Verdict, str, float | None]:
    judged = [mode for mode in modes if mode.p_drift is not None]
    if problem.changed:
        return "not_identified", problem.changed, None
    if problem.diverged:
        return "drifting", problem.diverged, None
    if problem.segment.varying:
        return "not_identified", "the learning rate changes along the run: there is no one equilibrium to be at", None
    if problem.sampling == "same-order" and any(mode.equilibrated for mode in modes):
        reason = (
            "one order of the data for ever makes a closed orbit: means over epochs hardly vary, no drift test holds"
        )
        return "not_identified", reason, None
    if not modes:
        return "not_identified", "no eigenvectors were recorded: limen.record(…, modes=limen.curvature(…))", None
    if not judged:
        times = [mode.relaxation_steps for mode in modes if mode.relaxation_steps is not None]
        if not times:
            if problem.segment.settings.maximize:
                return "not_identified", "the optimizer maximises: no recorded mode ever comes to rest", None
            return "not_identified", "no recorded mode ever comes to rest (all flat or unstable)", None
        needed = int(needed_steps(problem, min(times)))
        reason = f"the run has {counted(problem.steps, 'step')} of one setting; the quickest mode needs {needed:,}"
        return "not_identified", reason, None
    p = float(min(holm([mode.p_drift for mode in judged if mode.p_drift is not None])))
    slow = len(modes) - len(judged)
    rest = f"; {slow} of {len(modes)} modes {'is' if slow == 1 else 'are'} too slow for this run" if slow else ""
    if p < DRIFT:
        return "drifting", f"the mean of a mode moves over the run (p = {p:.2g} after Holm){rest}", p
    return "stationary", f"no drift in {counted(len(judged), 'mode')} (least p = {p:.2g} after Holm){rest}", p


def _warnings(
    problem: RunProblem, modes: tuple[ModeVerdict, ...], found: Mapping[str, Compared], at: tuple[Lag, ...]
) -> tuple[str, ...]:
    said = [problem.unpredictable] if problem.unpredictable else []
    said += [problem.cut_short] if problem.cut_short else []
    if not (problem.diverged or problem.cut_short) and (left := excluded(problem.trajectory)):
        said.append(f"{counted(left, 'update')} excluded: not finite, or skipped by a scaler")
    if problem.sampling == "unknown":
        said.append(
            "the sampling order is not recorded; batches are taken for independent: limen.record(…, sampling=…)"
        )
    if problem.noise is None:
        said.append("gradient noise was not measured: measured numbers stand without a prediction")
    elif problem.flat_bulk:
        said.append(_unknown_bulk(problem, at))
    if problem.few_examples:
        said.append(f"{problem.few_examples}: the laws of displacement saturate too early and too low")
    rising = sum(mode.curvature < 0 for mode in modes)
    if rising:
        several = "mode has" if rising == 1 else "modes have"
        said.append(f"{rising:,} recorded {several} negative curvature: no equilibrium; their noise is taken for flat")
    if problem.trajectory.info.damaged:
        several = "is" if problem.trajectory.info.damaged == 1 else "are"
        shards = counted(problem.trajectory.info.damaged, "shard")
        said.append(f"{shards} of the recording {several} damaged and left out")
    failed = [test.name for test in problem.trajectory.info.self_tests if not test.passed]
    if failed and not problem.changed:
        said.append(f"the recorder's own tests failed: {', '.join(sorted(set(failed)))}")
    said += _not_quadratic(problem, modes)
    return (*said, *_other_noise(modes, found))


def _unknown_bulk(problem: RunProblem, at: tuple[Lag, ...]) -> str:
    """What noise in directions of unknown curvature leaves open: both ends of the law at the last lag with an error."""
    assert problem.noise is not None
    share = problem.bulk_noise / (problem.noise.trace.value or problem.bulk_noise)
    text = f"no spectral density: {share:.0%} of the noise is outside of the recorded modes, at unknown curvatures"
    sure = [lag.lag for lag in at if lag.measured.low is not None]
    both = ends(problem, np.array(sure)).get(problem.law_name) if sure else None
    if both is None or problem.curved is None:
        return f"{text}; it is taken for flat, an upper bound of displacement"
    lower, upper = both
    known = [lag for lag, kept in zip(sure, told(lower, upper), strict=True) if kept]
    if len(known) == len(sure):
        return f"{text}; between flat and as curved as the least recorded mode they change displacement little"
    until = f"told up to lag {known[-1]:,}" if known else "not told"
    return (
        f"{text}: the {problem.law_name} law is {until}; at {sure[-1]:,} it says {lower[-1]:.3g} (as curved as the "
        f"least recorded mode) to {upper[-1]:.3g} (flat). limen.curvature(…, density=True) measures them"
    )


def _other_noise(modes: tuple[ModeVerdict, ...], found: Mapping[str, Compared]) -> list[str]:
    """The noise that the motion implies is not the one that was measured: it grows with distance, or has fallen."""
    implied, virial = found["F"], found["V"]
    grown = implied.z is not None and implied.z > 2
    if grown and virial.z is not None and abs(virial.z) < 3:
        return [
            f"the motion implies {implied.measured.value:.2f} times the noise measured at one place: noise grows with "
            "the distance from the minimum (multiplicative)"
        ]
    z = [mode.temperature.z for mode in modes if mode.temperature.z is not None]
    cold = sum(at < -COLD for at in z)
    if implied.z is not None and implied.z < -COLD:
        what = f"the motion implies {implied.measured.value:.2g} times the noise measured where the recording began"
    elif implied.z is None and 2 * cold > len(z):
        what = f"{cold} of {counted(len(z), 'mode')} are colder than the noise measured where the recording began"
    else:
        return []
    return [
        f"{what}: it has fallen since, or those are other weights. Curvature and noise of a start do not describe "
        'where training is now: measure and record from a checkpoint (in a study start = "NAME@step")'
    ]


def _not_quadratic(problem: RunProblem, modes: tuple[ModeVerdict, ...]) -> list[str]:
    """Modes whose virial ratio says that the force is not curvature times distance, under independent batches."""
    if problem.sampling not in ("iid", "replacement") or not problem.plain or problem.unpredictable:
        return []
    off = []
    for mode in modes:
        at = mode.virial
        if mode.curvature <= 0 or at.low is None or at.high is None or at.value is None:
            continue
        if at.high < 1 - VIRIAL or at.low > 1 + VIRIAL:
            off.append(f"{mode.curvature:.3g} (acts as {mode.curvature / at.value:.3g})")
    if not off:
        return []
    return [f"the loss is not the quadratic of its Hessian at the scale of the motion: curvature {', '.join(off)}"]
