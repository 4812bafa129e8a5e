"""A recorded run held against theory: what was measured, what each law says, how far apart they are, what follows.

z is (measured − predicted)/standard error; a quantity that a refused assumption spoils has a reason in place of z.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from limen.arrays.checks import finite_or_none
from limen.records.estimate import Estimate

Verdict = Literal["stationary", "drifting", "not_identified"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One number measured and predicted."""

    measured: Estimate
    predicted: float | None
    z: float | None
    """None where there is no prediction or no interval."""
    reason: str = ""
    """Why there is no verdict; empty where there is one."""
    error: float | None = None
    """Standard error of measured − predicted, that of the prediction in it; None where z is."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        numbers = {name: finite_or_none(getattr(self, name)) for name in ("predicted", "error", "z")}
        return {"measured": self.measured.to_json()} | numbers | {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class ModeVerdict:
    """One eigenvector of the Hessian."""

    curvature: float
    """h, decay included where it is in the gradient."""
    residual: float | None
    """‖Hu − ρu‖ of the eigenpair; None where the curvature came without."""
    noise: float | None
    """u ᵀΣu of one example, as measured; None without a measurement of noise."""
    regime: str
    relaxation_steps: float | None
    batches: int
    """Stretches of at least five relaxation times that the run holds for this mode."""
    equilibrated: bool
    temperature: Compared
    """h·Var x, loss."""
    position_variance: Compared
    velocity_variance: Compared
    virial: Estimate
    """2h Var x/(η(1 + β)Var v): 1 under independent batches."""
    p_drift: float | None
    """Whether the mean of x moves over the run: two-sided, before Holm's correction."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; `predicted` and `z` are those of the temperature."""
        return {
            "curvature": self.curvature,
            "residual": finite_or_none(self.residual),
            "noise": finite_or_none(self.noise),
            "regime": self.regime,
            "relaxation_steps": finite_or_none(self.relaxation_steps),
            "batches": self.batches,
            "equilibrated": self.equilibrated,
            "temperature": self.temperature.measured.to_json(),
            "predicted": finite_or_none(self.temperature.predicted),
            "z": finite_or_none(self.temperature.z),
            "reason": self.temperature.reason,
            "position_variance": self.position_variance.to_json(),
            "velocity_variance": self.velocity_variance.to_json(),
            "virial": self.virial.to_json(),
            "p_drift": finite_or_none(self.p_drift),
        }


@dataclass(frozen=True, slots=True)
class Lag:
    """Displacement and local exponent at one lag."""

    lag: int
    measured: Estimate
    """E‖θ_{k+lag} − θ_k‖² over all origins, parameter²."""
    predicted: Mapping[str, float | None]
    """By law: discrete, langevin, epoch."""
    exponent: Estimate
    predicted_exponent: Mapping[str, float | None]
    z: Mapping[str, float | None] = field(default_factory=dict)
    """By law (measured − law)/error, errors over time, of the sketch and of the noise; None without error or law."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the questions a practitioner asks, answered from this run."""

    question: str
    answer: str
    evidence: str
    refused: bool = False
    """Whether an assumption of the answer fails; `answer` then says which."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"question": self.question, "answer": self.answer, "evidence": self.evidence, "refused": self.refused}


@dataclass(frozen=True, slots=True)
class Orbit:
    """Phase portrait of one mode: thinned states, and the ellipse that the law predicts."""

    curvature: float
    positions: tuple[float, ...]
    """x − mean, parameters."""
    velocities: tuple[float, ...]
    ellipse: tuple[float, float, float] | None
    """Predicted Var x, Cov(x, v), Var v."""
    turn: float | None
    """Predicted angle a step of the (x, v) rotation, radians; None where the mode does not rotate."""
    measured_turn: Estimate
    """Mean angle a step in coordinates that make the measured ellipse a circle, radians."""


@dataclass(frozen=True, slots=True)
class Dynamics:
    """The whole verdict on one run."""

    run: str
    steps: int
    """Updates recorded."""
    segments: tuple[Mapping[str, Any], ...]
    """start, stop, learning_rate, momentum, weight_decay, batch_size, varying; the last long one is analysed."""
    analysed: tuple[int, int]
    """First and last update behind the numbers."""
    sampling: str
    law: str
    """The law of that sampling: discrete, epoch or same-order."""
    verdict: Verdict
    reason: str
    p_value: float | None
    """Least p of the drift tests after Holm's correction over modes."""
    unequilibrated_modes: int
    """Modes whose relaxation is too long for this run."""
    modes: tuple[ModeVerdict, ...]
    lags: tuple[Lag, ...]
    identities: Mapping[str, Compared]
    """V, X, L, F."""
    answers: tuple[Answer, ...]
    orbits: tuple[Orbit, ...]
    warnings: tuple[str, ...]
    """Assumptions that fail or could not be checked."""
    excluded: int
    """Updates left out: not finite, or skipped by a scaler."""
    temperature_p: float | None = None
    """Least p of the modes' temperatures and of their common shift against their law; None where none is compared."""
    temperature_shift: Compared | None = None
    """Mean ratio of temperatures to their law, beside 1; None where fewer than two are compared."""
    multiplicative: float | None = None
    """What that ratio would be in least squares with Gaussian features of the recorded modes; None where unknown."""
    displacement_tested: tuple[int, ...] = ()
    """Lags an octave apart at which displacement is tested against the run's law."""
    displacement_p: float | None = None
    """Least p over those after Holm's correction; None where none is compared."""
    diverged: str = ""
    """Where the run diverged; empty where it did not."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, schema `limen.dynamics/1`."""
        laws = [
            {"lag": at.lag, "measured": at.measured.to_json(), "predicted": _laws(at.predicted), "z": _laws(at.z)}
            for at in self.lags
        ]
        slopes = [
            {"lag": at.lag, "measured": at.exponent.to_json(), "predicted": _laws(at.predicted_exponent)}
            for at in self.lags
        ]
        return {
            "schema": "limen.dynamics/1",
            "run": self.run,
            "steps": self.steps,
            "segments": [dict(segment) for segment in self.segments],
            "analysed": list(self.analysed),
            "sampling": self.sampling,
            "law": self.law,
            "stationary": {
                "verdict": self.verdict,
                "reason": self.reason,
                "p_value": finite_or_none(self.p_value),
                "unequilibrated_modes": self.unequilibrated_modes,
            },
            "displacement": laws,
            "exponent": slopes,
            "modes": [mode.to_json() for mode in self.modes],
            "identities": {name: found.to_json() for name, found in self.identities.items()},
            "answers": [answer.to_json() for answer in self.answers],
            "warnings": list(self.warnings),
            "temperature_p_value": finite_or_none(self.temperature_p),
            "temperature_shift": None if self.temperature_shift is None else self.temperature_shift.to_json(),
            "multiplicative_ratio": finite_or_none(self.multiplicative),
            "displacement_tested": list(self.displacement_tested),
            "displacement_p_value": finite_or_none(self.displacement_p),
            "diverged": self.diverged,
            "excluded": self.excluded,
        }


def _laws(predicted: Mapping[str, float | None]) -> dict[str, float | None]:
    return {law: finite_or_none(value) for law, value in predicted.items()}
