"""The verdict on one recorded run: is it at rest, does it move as theory says, and what follows for the next run.

Stationary: no recorded mode that has equilibrated drifts (slope of its batch means, Holm's correction over modes), and
at least one has. Modes whose relaxation is too long for the run are counted, not judged. Reshuffled batches leave this
test as it is, since batches span whole epochs; the virial V has the epoch law's value there, not 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from limen.arrays.paired_tests import holm
from limen.records.curvature import Curvature
from limen.records.dynamics import Compared, Dynamics, ModeVerdict, Verdict
from limen.records.gradient_noise import GradientNoise
from limen.records.trajectory import Trajectory
from limen.records.units import counted
from limen.verdict.dynamics.answers import answers
from limen.verdict.dynamics.displacement import lags
from limen.verdict.dynamics.identities import identities
from limen.verdict.dynamics.joint import joint_p
from limen.verdict.dynamics.modes import mode_verdicts, needed_steps
from limen.verdict.dynamics.orbits import orbits
from limen.verdict.dynamics.problem import RunProblem, run_problem, segments_of

DRIFT = 0.05
VIRIAL = 0.15
"""Distance of a mode's virial ratio from the law's, beyond its interval, that says the loss is not the quadratic
one."""


def judge(run: str, trajectory: Trajectory, curvature: Curvature | None, noise: GradientNoise | None) -> Dynamics:
    """Everything that this run says; see the records for units. Raises BadInput as `run_problem` does."""
    problem = run_problem(trajectory, curvature, noise)
    modes = mode_verdicts(problem)
    verdict, reason, p = _stationary(problem, modes)
    found = identities(problem, modes, drifting=verdict == "drifting")
    laws = problem.laws(problem.modes(problem.variances)) if problem.variances is not None else {}
    at = lags(problem)
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
        answers=answers(problem, modes, found, at, (verdict, reason, bool(_not_quadratic(problem, modes)))),
        orbits=orbits(problem, modes, laws),
        warnings=_warnings(problem, modes, found),
        excluded=trajectory.info.excluded,
        temperature_p=joint_p([mode.temperature for mode in modes]),
    )


def _stationary(problem: RunProblem, modes: tuple[ModeVerdict, ...]) -> tuple[Verdict, str, float | None]:
    judged = [mode for mode in modes if mode.p_drift is not None]
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


def _warnings(problem: RunProblem, modes: tuple[ModeVerdict, ...], found: Mapping[str, Compared]) -> tuple[str, ...]:
    said = [problem.unpredictable] if problem.unpredictable else []
    if problem.sampling == "unknown":
        said.append(
            "the sampling order is not recorded; batches are taken for independent: limen.record(…, sampling=…)"
        )
    if problem.noise is None:
        said.append("gradient noise was not measured: measured numbers stand without a prediction")
    elif problem.flat_bulk:
        said.append("no spectral density: noise outside the recorded modes is taken for flat, too mobile at long lags")
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
    if failed:
        said.append(f"the recorder's own tests failed: {', '.join(sorted(set(failed)))}")
    said += _not_quadratic(problem, modes)
    implied, virial = found["F"], found["V"]
    if implied.z is not None and implied.z > 2 and virial.z is not None and abs(virial.z) < 3:
        said.append(
            f"the motion implies {implied.measured.value:.2f} times the noise measured at one place: noise grows with "
            "the distance from the minimum (multiplicative)"
        )
    return tuple(said)


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
