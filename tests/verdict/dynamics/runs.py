"""Recordings whose truth is known: the recursion itself, written down as a recorder would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from limen.records.curvature import Curvature
from limen.records.estimate import Estimate, not_identified
from limen.records.gradient_noise import GradientNoise
from limen.records.trajectory import Correlation, Displacements, OptimizerSettings, RunInfo, Segment, Trajectory
from limen.theory.sgd import Modes, simulate

MODES = Modes([0.4, 1.0, 2.5, 6.0], [0.4, 1.5, 2.0, 6.0], learning_rate=0.1, momentum=0.8, batch_size=16)
EXAMPLES = 16 * 40


def recorded(
    modes: Modes = MODES, steps: int = 12_000, sampling: str = "replacement", seed: int = 0, drift: float = 0.0
) -> Trajectory:
    """One run from the minimum at rest; `drift` moves every mode by that much over the run."""
    at = np.arange(1, steps + 1)
    problem = replace(modes, examples=EXAMPLES) if sampling == "reshuffle" else modes
    run = simulate(problem, at, 1, sampling, EXAMPLES // modes.batch_size, seed)  # type: ignore[arg-type]
    x, v = run.positions[:, 0] + drift * (at / steps)[:, None], run.velocities[:, 0]
    lags = np.unique(np.geomspace(1, steps / 20, 25).astype(int))
    moved = [((x[lag:] - x[:-lag]) ** 2).sum(axis=1) for lag in lags]
    blocks = [np.array([part.mean() for part in np.array_split(m, 20)]) for m in moved]
    settings = OptimizerSettings("SGD", modes.learning_rate, modes.momentum, modes.dampening, modes.nesterov,
                                 (modes.weight_decay,), modes.decoupled, False)  # fmt: skip
    info = RunInfo(
        settings, modes.batch_size, sampling, EXAMPLES, len(modes.curvature), 0, "",
        (Segment(1, steps, settings, modes.batch_size, False),), 1024, 0, tuple(modes.curvature.tolist()),
        steps, 0, 0, 0, (), True, (),
    )  # fmt: skip
    correlation = Correlation(
        0, lags.astype(np.int64), np.array([len(m) for m in moved]), np.array([m.mean() for m in moved]),
        np.array([b.std(ddof=1) / np.sqrt(20) for b in blocks]), np.zeros(len(lags)), np.zeros(len(lags)),
    )  # fmt: skip
    nothing = np.zeros(steps)
    return Trajectory(
        info, at.astype(np.int64), nothing, np.full(steps, modes.learning_rate), (v**2).sum(axis=1), nothing, nothing,
        nothing, nothing, nothing, x.astype(np.float32), v.astype(np.float32), np.zeros(steps, dtype=np.uint8),
        np.zeros(0, dtype=np.int64), np.zeros((0, 1024), dtype=np.float32),
        Displacements(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)), (correlation,),
    )  # fmt: skip


def noise_of(modes: Modes = MODES, trace: float | None = None, factor: float = 1.0) -> GradientNoise:
    """The noise of these modes, known to one per cent; `factor` makes it wrong."""
    k, variance = len(modes.curvature), factor * modes.noise
    whole = float(modes.noise.sum()) if trace is None else trace
    return GradientNoise(
        modes.batch_size, EXAMPLES, True, Estimate(whole, 0.99 * whole, 1.01 * whole, 0.95, "statistical", 100),
        modes.curvature, variance, 0.01 * variance, np.diag(variance),
        Estimate(1.0, 0.9, 1.1, 0.95, "statistical", k), Estimate(0.0, None, 0.1, 0.95, "statistical", k), 0.0, None,
        not_identified("needs 100 batches"), "eval", 0.0,
    )  # fmt: skip


def curvature_of(modes: Modes = MODES) -> Curvature:
    """The eigenpairs, exact."""
    k = len(modes.curvature)
    zeros = np.zeros(k)
    return Curvature(
        modes.curvature, np.eye(k, dtype=np.float32), zeros, zeros, np.ones(k), np.ones(k, dtype=bool), 1.0, zeros, 0.0,
        ("weight",), ((k,),), EXAMPLES, "eval", "hessian", "largest", 1e-3, 0.0, 0, 10, 0.0, 0,
    )  # fmt: skip
