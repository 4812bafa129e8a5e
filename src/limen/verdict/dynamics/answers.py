"""The thirteen questions a practitioner asks, answered from this run; refused, with the reason, where an assumption
fails.

Each answer is one function: question → formula (docs/statements/sgd-dynamics.md) → one sentence and its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from limen.records.dynamics import Answer, Compared, Lag, ModeVerdict
from limen.records.units import counted
from limen.theory.sgd import (
    Law,
    continuous_share,
    correction,
    excess_loss_saved,
    gaussian_regression,
    rescale,
    window_average,
)
from limen.verdict.dynamics.displacement import ends
from limen.verdict.dynamics.problem import RunProblem

DROP = 10.0
TIMES = 4
TOLERANCE = 0.05
EDGE = 0.9


@dataclass(frozen=True)
class Seen:
    """What the answers read."""

    problem: RunProblem
    modes: tuple[ModeVerdict, ...]
    identities: Mapping[str, Compared]
    lags: tuple[Lag, ...]
    verdict: str
    reason: str
    """Of the verdict."""
    not_quadratic: bool
    """Whether the modes' virial ratios say that the force is not curvature times distance."""
    law: Law | None
    """Law of the whole network under the run's sampling."""
    shift: Compared | None = None
    """Mean ratio of the temperatures to their law."""

    @property
    def refusal(self) -> str:
        """Why theory has nothing to say here."""
        if self.problem.unpredictable:
            return self.problem.unpredictable
        if self.problem.noise is None:
            return "gradient noise was not measured"
        return "" if self.law is not None else f"no law for {self.problem.sampling} sampling of this run"

    @property
    def unsettled(self) -> str:
        """Why what a law says of equilibrium is not this run's: theory has nothing to say, or an assumption fails."""
        if self.refusal:
            return self.refusal
        if self.verdict == "drifting":
            return "training is not stationary: the laws are of fluctuations, not of progress"
        if self.verdict != "stationary":
            return "whether training is stationary is not known, and the laws are of equilibrium"
        return "the loss is not the quadratic of its Hessian at the scale of the motion" if self.not_quadratic else ""


def answers(
    problem: RunProblem,
    modes: tuple[ModeVerdict, ...],
    found: Mapping[str, Compared],
    lags: tuple[Lag, ...],
    verdict: tuple[str, str, bool],
    shift: Compared | None = None,
) -> tuple[Answer, ...]:
    """All thirteen, in the order of the docs page; `verdict`: stationarity, its reason, whether not quadratic."""
    laws = {} if problem.whole is None else problem.laws(problem.whole)
    seen = Seen(problem, modes, found, lags, *verdict, laws.get(problem.law_name), shift)
    return tuple(ask(seen) for ask in ASKED)


def _signed(value: float) -> str:
    shown = f"{value:+.1f}"
    return shown[1:] if shown in ("+0.0", "-0.0") else shown


def _between(lower: float, upper: float) -> str:
    """One number, or two that differ.

    >>> _between(1.0, 1.0004), _between(0.17, 3.6)
    ('1', '0.17 to 3.6')
    """
    said = [f"{value:.3g}" for value in (lower, upper)]
    return said[0] if said[0] == said[1] else f"{said[0]} to {said[1]}"


def _refused(question: str, reason: str) -> Answer:
    return Answer(question, f"not answered: {reason}", "", refused=True)


def stationary(seen: Seen) -> Answer:
    """Drift of the modes, and the virial ratio beside its law."""
    question = "Is training stationary?"
    if seen.problem.diverged and not seen.problem.changed:
        return Answer(question, f"no: {seen.problem.diverged}", "")
    virial = seen.identities["V"]
    value = virial.measured.value
    beside = "" if virial.predicted is None else f", predicted {virial.predicted:.2f}"
    evidence = "" if value is None else f"virial ratio {value:.2f}{beside}"
    slow = sum(not mode.equilibrated for mode in seen.modes)
    if seen.verdict == "not_identified":
        return _refused(question, seen.reason)
    still = "yes, as far as the recorded modes tell" if seen.verdict == "stationary" else "no: modes still drift"
    return Answer(question, f"{still}; {counted(slow, 'mode')} cannot have equilibrated" if slow else still, evidence)


def temperature(seen: Seen) -> Answer:
    """h Var x per mode; ηtr C/(2(1 − β)…) is the law's."""
    question = "What is the effective temperature?"
    hot = [(m.temperature.measured.value, m) for m in seen.modes if m.temperature.measured.value is not None]
    if not hot:
        return _refused(question, seen.problem.spoiled or "no equilibrated mode")
    values = [value for value, _ in hot]
    z = [m.temperature.z for _, m in hot if m.temperature.z is not None]
    near = sum(abs(x) < 3 for x in z)
    agree = f"{near} of {counted(len(z), 'mode')} within 3 standard errors of the law" if z else "no law to compare"
    if seen.shift is not None and seen.shift.z is not None and seen.shift.measured.value is not None:
        agree += f"; together {seen.shift.measured.value:.2f} times it, z {_signed(seen.shift.z)}"
    return Answer(question, f"{min(values):.3g} to {max(values):.3g} (loss) over {counted(len(hot), 'mode')}", agree)


def distance(seen: Seen) -> Answer:
    """The law's displacement after ten times the run."""
    question = "How far will the weights move?"
    if seen.unsettled or seen.law is None:
        return _refused(question, seen.unsettled)
    steps = [seen.problem.steps, 10 * seen.problem.steps]
    lower, upper = ends(seen.problem, np.array(steps))[seen.law.name]
    now, later = (_between(*np.sqrt(both)) for both in zip(lower, upper, strict=True))
    radius = float(np.nansum(seen.law.position_variance * seen.law.problem.weight))
    evidence = f"the {seen.law.name} law; modes with an equilibrium spread over a radius of {np.sqrt(radius):.3g}"
    if seen.problem.curved is not None:
        evidence += "; unmeasured directions as curved as the least recorded mode, or flat"
    elif seen.problem.flat_bulk:
        evidence += "; an upper bound, since noise outside the recorded modes is taken for flat"
    if seen.problem.few_examples:
        evidence += f"; a lower bound: {seen.problem.few_examples}"
    return Answer(question, f"{now} in {counted(steps[0], 'more step')}, {later} in {steps[1]:,}", evidence)


def batch(seen: Seen) -> Answer:
    """Linear rule, its correction and what it costs."""
    question = f"Which learning rate goes with {TIMES} times the batch?"
    if seen.problem.unpredictable:
        return _refused(question, seen.problem.unpredictable)
    modes, n = seen.problem.settings, seen.problem.trajectory.info.examples
    if n is not None and modes.batch_size * TIMES > n:
        return _refused(question, f"{TIMES} times {modes.batch_size:,} is more than the {n:,} examples")
    wide = rescale(modes, modes.batch_size * TIMES)
    step = rescale(modes, modes.batch_size * TIMES, "local")
    stable = "" if wide.correction < 0.5 else f", but that is {wide.correction:.2f} of the edge of stability"
    return Answer(
        question,
        f"{wide.settings.learning_rate:.3g} keeps the spread of the weights and their diffusion per epoch{stable}; "
        f"{step.settings.learning_rate:.3g} keeps the size of a step",
        f"linear rule: steps grow by {np.sqrt(wide.step_ratio):.2g}; square-root rule",
    )


def too_large(seen: Seen) -> Answer:
    """q_max."""
    question = "Is the learning rate too large for the theory?"
    problem, h = seen.problem, [mode.curvature for mode in seen.modes]
    blown = problem.diverged and not problem.changed and not problem.segment.settings.maximize
    if not blown and (not h or max(h) <= 0 or problem.unpredictable):
        return _refused(question, problem.unpredictable or "no recorded mode of positive curvature")
    q = correction(problem.settings)
    edge = f"q = {q:.3g}, 1 at the edge of stability"
    if blown:
        return Answer(question, f"yes: the run {problem.diverged}", edge if not h else f"{edge}{_grown(problem)}")
    share = continuous_share(problem.settings)
    near = share is None or abs(1 - share) < TOLERANCE
    said = "yes" if q >= EDGE else "no" if near else "for the continuous law, yes; the discrete one holds"
    if share is None:
        evidence = "Nesterov momentum has no continuous law"
    else:
        evidence = f"the continuous law's variances are {share:.3g} of the exact ones in the sharpest mode"
    return Answer(question, f"{said}: {edge}", f"{evidence}{_grown(problem)}")


def _grown(problem: RunProblem) -> str:
    """What noise that grows with distance makes of this learning rate, where it is more than the discrete law's."""
    modes, decays = problem.settings_of_modes, any(problem.segment.settings.weight_decay)
    if modes is None or decays or not problem.plain or correction(modes) >= 1:
        return ""
    feedback = gaussian_regression(modes, 1.0).feedback
    if feedback < TOLERANCE:
        return ""
    grown = "no finite variance" if feedback >= 1 else f"{feedback:.0%} of its noise from the motion itself"
    return f"; least squares with Gaussian features of these modes would have {grown} at this learning rate"


def damping(seen: Seen) -> Answer:
    """ηh against (1 − √β)²."""
    question = "Over- or underdamped, and would another momentum relax faster?"
    moving = [mode for mode in seen.modes if mode.curvature > 0]
    if not moving or seen.problem.unpredictable:
        return _refused(question, seen.problem.unpredictable or "no recorded mode of positive curvature")
    kinds = {kind: sum(m.regime == kind for m in moving) for kind in dict.fromkeys(m.regime for m in moving)}
    slowest = min(moving, key=lambda mode: mode.curvature)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    best = (1 - np.sqrt(seen.problem.learning_rate * slowest.curvature)) ** 2
    if not seen.problem.plain or best >= 1:
        why = "no momentum makes it stable" if seen.problem.plain else "which relaxes fastest is known for heavy ball"
        return Answer(question, said, f"momentum is {seen.problem.momentum:g}; {why}")
    return Answer(
        question,
        f"{said}; the flattest recorded mode (h = {slowest.curvature:.3g}) relaxes fastest at momentum {best:.4g}",
        f"momentum is {seen.problem.momentum:g}; critical at (1 − √(ηh))²",
    )


def averaging(seen: Seen) -> Answer:
    """Gain of a window of one epoch, or of 100 steps."""
    question = "What would averaging checkpoints buy?"
    law = seen.law
    if seen.unsettled or law is None:
        return _refused(question, seen.unsettled)
    window = seen.problem.steps_per_epoch or 100
    resting = np.isfinite(law.position_variance)
    if not resting.any():
        return _refused(question, "no mode has an equilibrium")
    tracked = _only(law, resting)
    saved = excess_loss_saved(tracked, window_average(tracked, window))
    total = tracked.excess_loss
    if saved is None or total is None or total <= 0:
        return _refused(question, "no excess loss in modes with an equilibrium")
    return Answer(
        question,
        f"the mean of {window:,} successive iterates saves {saved:.3g} of the {total:.3g} loss that noise costs",
        f"{law.name} law, {_standing_for(tracked)} with an equilibrium",
    )


def drop(seen: Seen) -> Answer:
    """(η(1 + β)/4)E‖v‖² is the excess loss of i.i.d. sampling."""
    question = f"What would a learning rate {DROP:.0f} times lower buy?"
    rows = seen.problem.rows
    if seen.problem.not_plain and not seen.problem.spoiled:
        return _refused(question, seen.problem.not_plain)
    if seen.problem.unpredictable or seen.verdict != "stationary" or seen.not_quadratic:
        why = seen.problem.unpredictable or "training is not known to be stationary on a quadratic loss"
        return _refused(question, f"{why}; ‖v‖² counts progress too")
    speed = float(np.mean(seen.problem.trajectory.velocity_norm2[rows][-max(seen.problem.steps // 2, 1) :]))
    saved = seen.problem.learning_rate * (1 + seen.problem.momentum) / 4 * speed * (1 - 1 / DROP)
    if seen.problem.sampling not in ("iid", "replacement"):
        law = seen.law
        if law is None or law.name != "epoch" or not np.isfinite(law.position_variance).any():
            what = "the momentum buffer gives the excess loss of independent batches; these are"
            return _refused(question, f"{what} {seen.problem.sampling}")
        after = seen.problem.laws(replace(law.problem, learning_rate=law.problem.learning_rate / DROP))["epoch"]
        saved = float(np.nansum((law.temperature - after.temperature) * law.problem.weight)) / 2
        source = "reshuffled batches: ½Σh Var x of the epoch law, before and after"
    else:
        source = f"(η(1 + β)/4)·E‖v‖² with E‖v‖² = {speed:.3g}"
    slow = any(not mode.equilibrated for mode in seen.modes)
    most = "at most" if slow else "about"
    gain = f"{most} {saved:.3g} of training loss within (1 − β)/(η′h) steps of each mode"
    return Answer(question, gain, source)


def reshuffling(seen: Seen) -> Answer:
    """Epoch law over i.i.d. law of the recorded modes."""
    question = "Does reshuffling matter here?"
    if seen.refusal or seen.problem.steps_per_epoch is None:
        return _refused(question, seen.refusal or "examples or batch size unknown")
    assert seen.problem.variances is not None
    laws = seen.problem.laws(seen.problem.modes(seen.problem.variances))
    if "epoch" not in laws:
        return _refused(question, "a recorded mode is unstable or rising")
    ratio = laws["epoch"].position_variance / laws["discrete"].position_variance
    if not np.isfinite(ratio).any():
        return _refused(question, "no recorded mode has an equilibrium")
    return Answer(
        question,
        f"it multiplies the variance of the recorded modes by {np.nanmin(ratio):.2g} to {np.nanmax(ratio):.2g}",
        f"epochs of {seen.problem.steps_per_epoch:,} batches against relaxation (1 − β)/(ηh)",
    )


def shape(seen: Seen) -> Answer:
    """Slope of ln noise on ln curvature, coherence."""
    question = "Is the noise proportional to curvature?"
    noise = seen.problem.noise
    if noise is None:
        return _refused(question, "gradient noise was not measured")
    slope, coherence = noise.slope, noise.coherence
    if slope.value is None:
        return _refused(question, slope.reason)
    known = slope.low is not None and slope.high is not None and slope.high - slope.low < 1
    inside = slope.low is not None and slope.high is not None and slope.low <= 1 <= slope.high
    said = ("consistent with it" if known else "cannot tell") if inside else "no"
    commutes = ""
    if coherence.value is not None:
        commutes = f"; coherence of H and Σ {coherence.value:.2f}, {noise.coherence_floor:.2f} of it sampling error"
    return Answer(question, f"{said}: noise grows as curvature^{slope.text()}", f"over the recorded modes{commutes}")


def exponent(seen: Seen) -> Answer:
    """c(t), measured beside the law of the run's sampling."""
    question = "Which exponent of diffusion should I expect?"
    name = seen.problem.law_name
    usable = [lag for lag in seen.lags if lag.exponent.value is not None]
    if not usable or seen.problem.spoiled:
        return _refused(question, seen.problem.spoiled or "no displacement over many origins was recorded")
    usable = [lag for lag in usable if lag.exponent.low is not None] or usable
    lag = usable[2 * len(usable) // 3]
    predicted = lag.predicted_exponent.get(name)
    beside = "no law to compare" if predicted is None else f"the {name} law says {predicted:z.2f}"
    return Answer(question, f"{lag.exponent.text()} at {counted(lag.lag, 'step')}; {beside}",
                  "it changes with the lag: ballistic 2, flat 1, confined 0; drift makes it 2 again")  # fmt: skip


def tails(seen: Seen) -> Answer:
    """Hill index of gradient noise; W, the share of noise that the fluctuation itself makes."""
    question = "Are there heavy tails?"
    hill = None if seen.problem.noise is None else seen.problem.noise.hill
    if hill is None or hill.value is None:
        return _refused(question, "gradient noise was not measured" if hill is None else hill.reason)
    heavy = hill.high is not None and hill.high < 2
    said = "yes: the variance may not exist" if heavy else "no sign of an infinite variance"
    return Answer(
        question, f"{said}; tail index {hill.text()}", f"Hill estimate of the norms of batch noise{_feedback(seen)}"
    )


def _feedback(seen: Seen) -> str:
    """W of least squares with Gaussian features of this curvature: moments of second order exist below 1."""
    law, problem = seen.law, seen.problem
    if law is None or not problem.plain or law.problem.weight_decay or law.name != "discrete":
        return ""
    sharp = law.problem.curvature > 0
    if not sharp.any():
        return ""
    found = gaussian_regression(_only(law, sharp).problem, 1.0)
    sign = "≥" if problem.flat_bulk or problem.few_examples else "="
    return f"; least squares of this curvature would have W {sign} {found.feedback:.2g}, infinite variance from 1 on"


def decay(seen: Seen) -> Answer:
    """ηλ/(1 − β) a step in flat directions."""
    question = "Does weight decay pull the weights?"
    s = seen.problem.segment.settings
    rates = sorted(set(s.weight_decay))
    if not rates or rates[-1] == 0:
        return Answer(question, "no: there is none", "weight_decay = 0")
    if s.name != "SGD" or len(rates) > 1 or seen.problem.segment.varying:
        return _refused(question, seen.problem.unpredictable)
    kept = 1.0 if s.decoupled else (1 - s.momentum) / (1 - s.dampening)
    pull = s.learning_rate * rates[-1] / kept
    share = 1 - np.exp(-pull * seen.problem.steps)
    short = "λ(1 − β)/(ρ + λ(1 − β))" if s.decoupled else "λ/(ρ + λ)"
    return Answer(
        question,
        f"flat directions lose {pull:.2g} of their length a step, {share:.1%} over this run; "
        f"a mode of curvature ρ ends {short} short of its minimum",
        "ηλ" if s.decoupled else "ηλ(1 − d)/(1 − β)",
    )


ASKED: tuple[Callable[[Seen], Answer], ...] = (
    stationary, temperature, distance, batch, too_large, damping, averaging, drop, reshuffling, shape, exponent, tails,
    decay,
)  # fmt: skip


def _standing_for(law: Law) -> str:
    """How many modes of the network a law is of: those of a density stand for many."""
    return counted(round(float(law.problem.weight.sum())), "mode")


def _only(law: Law, kept: np.ndarray) -> Law:
    """Some of a law's modes; the law knows what else than the problem it holds by mode."""
    return law._part(np.flatnonzero(kept))
