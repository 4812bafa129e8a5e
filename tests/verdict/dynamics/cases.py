"""A run whose every number is known on paper: two modes, and what the verdict found of them, as one likes.

η = .1, β = .5, S = 10, N = 400 (M = 40), h = 1 and 4, s² = 2 and 8: C = s²/S, q = ηh/(2(1 + β)), and at equilibrium
Var x = ηC/(2(1 − β)h(1 − q)), temperature h Var x.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from limen.records.curvature import Curvature
from limen.records.dynamics import Compared, Lag, ModeVerdict
from limen.records.estimate import Estimate, not_identified
from limen.records.gradient_noise import GradientNoise
from limen.records.trajectory import Trajectory
from limen.theory.sgd import Modes
from limen.verdict.dynamics.answers import Seen
from limen.verdict.dynamics.problem import RunProblem, run_problem

from .runs import curvature_of, noise_of, recorded

ETA, BETA, SIZE, EXAMPLES, STEPS = 0.1, 0.5, 10, 400, 4000
EPOCH = 40
H, NOISE = np.array([4.0, 1.0]), np.array([8.0, 2.0])
TWO = Modes(H, NOISE, ETA, BETA, SIZE)
Q = ETA * H / (2 * (1 + BETA))
VARIANCE = ETA * NOISE / SIZE / (2 * (1 - BETA) * H * (1 - Q))
REST = recorded(TWO, STEPS)


def autocorrelation(a: float, last: int) -> np.ndarray:
    """r(0 … last) of a mode with a = ηh: r(k + 1) = (1 + β − a)r(k) − βr(k − 1), r(1) = (1 + β − a)/(1 + β)."""
    r = [1.0, (1 + BETA - a) / (1 + BETA)]
    while len(r) <= last:
        r.append((1 + BETA - a) * r[-1] - BETA * r[-2])
    return np.array(r)


def run(**changes: Any) -> tuple[Trajectory, Curvature | None, GradientNoise | None]:
    """The run with other facts: `settings` (dict), `sampling`, `examples`, `parameters`, `eigenvalues`, `x`, `v`, …"""
    info, settings = REST.info, replace(REST.info.optimizer, **changes.get("settings", {}))
    size = changes.get("batch_size", SIZE)
    segments = (replace(info.segments[0], settings=settings, batch_size=size, varying=changes.get("varying", False)),)
    info = replace(
        info,
        optimizer=settings,
        segments=segments,
        batch_size=size,
        sampling=changes.get("sampling", "replacement"),
        examples=changes.get("examples", EXAMPLES),
        parameters=changes.get("parameters", 2),
        approximate=changes.get("approximate", ""),
        eigenvalues=tuple(changes.get("eigenvalues", H)),
    )
    speed = changes.get("velocity", REST.velocity_norm2)
    modes = replace(TWO, curvature=np.array(info.eigenvalues))
    noise = replace(noise_of(modes), **changes.get("noise", {})) if changes.get("noise", True) is not None else None
    curvature = changes.get("curvature", curvature_of(modes))
    x = np.asarray(changes.get("x", REST.positions), dtype=np.float32)
    v = np.asarray(changes.get("v", REST.velocities), dtype=np.float32)
    more = {"correlations": changes.get("correlations", REST.correlations)}
    return replace(REST, info=info, velocity_norm2=speed, positions=x, velocities=v, **more), curvature, noise


def problem(**changes: Any) -> RunProblem:
    """Of that run."""
    return run_problem(*run(**changes))


def around(value: float, half: float | None = None, n: int = 21) -> Estimate:
    """A value with ± half, or with no interval."""
    if half is None:
        return Estimate(value)
    return Estimate(value, value - half, value + half, 0.95, "statistical", n)


def mode(h: float = 1.0, heat: float | None = 0.02, z: float | None = 0.0, **changes: Any) -> ModeVerdict:
    """One mode's verdict."""
    measured = not_identified("too short") if heat is None else around(heat, heat / 10)
    compared = Compared(measured, heat, z)
    found = ModeVerdict(h, 0.0, 2 * h, "underdamped", 20.0, 30, True, compared, compared, compared,
                        around(1.0, 0.1), 0.5)  # fmt: skip
    return replace(found, **changes)


def lag(steps: int, exponent: Estimate, **predicted: float) -> Lag:
    """A lag with this exponent, measured and predicted."""
    return Lag(steps, around(1.0, 0.1), {}, exponent, predicted)


def seen(**changes: Any) -> Seen:
    """What the answers read of a run at rest; see `problem` for its facts."""
    mine = {
        name: changes.pop(name) for name in ("modes", "lags", "verdict", "reason", "not_quadratic") if name in changes
    }
    virial = changes.pop("virial", Compared(around(1.0, 0.1), 1.0, 0.0))
    asked = problem(**changes)
    laws = {} if asked.whole is None else asked.laws(asked.whole)
    given = {"modes": (mode(4.0), mode(1.0)), "lags": (), "verdict": "stationary", "reason": "", "not_quadratic": False}
    return Seen(asked, identities={"V": virial}, law=laws.get(asked.law_name), **{**given, **mine})


def squares() -> tuple[np.ndarray, np.ndarray]:
    """x, v [STEPS, 2] of period 4, so that batch means do not differ: ⟨x²⟩ = 1, 4; ⟨v²⟩ = 2, ½; ⟨xv⟩ = 1, 1."""
    once = np.array([[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [-1.0, -2.0]])
    speed = np.array([[2.0, 1.0], [0.0, 0.0], [-2.0, -1.0], [0.0, 0.0]])
    return np.tile(once, (STEPS // 4, 1)), np.tile(speed, (STEPS // 4, 1))


def noisy(modes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x, v [STEPS, modes] without any law, as they are stored: float32."""
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(STEPS, modes)), rng.normal(size=(STEPS, modes))
    return x.astype(np.float32).astype(float), v.astype(np.float32).astype(float)


BATCH, BATCHES, MEMORY = 132, 30, -1 / np.log(np.sqrt(BETA))
"""Roots of underdamped modes have modulus √β: 2.9 steps. Least batch ⌈5·2.9⌉ = 15, left out once; (4000 − 15)/30."""
INFLATION = np.sqrt(1 + (1 - np.exp(-BATCH / MEMORY)) ** 2 / (BATCH / MEMORY - 1 + np.exp(-BATCH / MEMORY)))


def means(values: np.ndarray) -> np.ndarray:
    """Of the last 30 batches of 132 steps."""
    return np.asarray(values[-BATCH * BATCHES :].reshape(BATCHES, BATCH, *values.shape[1:]).mean(axis=1))
