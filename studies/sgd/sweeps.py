"""R6, R7: learning rate, batch size and momentum from one checkpoint: the size of a step, and the exponent.

Runs of 2T steps from the checkpoint at rest, independent batches, one setting changed at a time. Over steps T … 2T:

    local displacement   mean ‖θ_{k+1} − θ_k‖², against
        calibrated   K η²/(S(1 − β²)), K from the default run: the published comparison, one free constant
        measured     the discrete law with the noise measured at the checkpoint: no free constant
    exponent c           least squares of ln‖θ_t − θ_0‖² on ln t (the published estimator: its window is epoch 2),
                         against the same fit to the discrete law's displacement from a fixed start

Both are means over seeds, their spread the error. The published trends to be looked at (ImageNet, one seed): step ∝
η²/(S(1 − β²)); c falls with η, falls with β, and is least at middling S; on CIFAR-10 the authors' own repetition has c
rising with β.

Source: Kunin et al., arXiv:2107.09133, figures 7 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from studies.sgd import network as net
from studies.sgd.common import Place, Report, Run, main, ratio
from studies.sgd.diffusion import _stable

from limen.measure.dynamics.attach import attached
from limen.measure.recorder.read import read_run
from limen.theory.sgd import discrete
from limen.verdict.dynamics.problem import run_problem

AXES = ("learning_rate", "batch_size", "momentum")
SYMBOLS = {"learning_rate": "η", "batch_size": "S", "momentum": "β"}
PUBLISHED = {"learning_rate": "falls", "batch_size": "is least in the middle", "momentum": "falls"}
"""How c goes along each axis in the published ImageNet sweep."""
CLEAR = 2.0
"""Standard errors of the difference between two means from which a trend counts."""


@dataclass(frozen=True)
class Settings:
    """The network, values of each axis (the default among them), T, and seeds of each run."""

    network: net.Settings = field(default_factory=net.Settings)
    learning_rates: tuple[float, ...] = (0.0025, 0.005, 0.01, 0.02, 0.04)
    batch_sizes: tuple[int, ...] = (4, 8, 16, 32, 64)
    momenta: tuple[float, ...] = (0.8, 0.85, 0.9, 0.95, 0.98)
    window: int = 40
    seeds: int = 2

    def values(self, axis: str) -> tuple[Any, ...]:
        """Of one axis."""
        return {"learning_rate": self.learning_rates, "batch_size": self.batch_sizes, "momentum": self.momenta}[axis]


FULL = Settings(network=net.FULL, window=312, seeds=5)
"""Two epochs at the default batch size, five seeds: about an hour after the full checkpoint, by the same reckoning."""


def recipe(place: Place, settings: Settings) -> Report:
    """One table for each axis."""
    report = Report("R6, R7 sweeps: local displacement and exponent against learning rate, batch size and momentum")
    network = net.Network(place, settings.network)
    default = _measured(place, network, settings, {})
    free = default["local"] / _shape(settings.network.run())
    said = []
    for axis in AXES:
        rows, points = [], []
        for value in settings.values(axis):
            one = _measured(place, network, settings, {axis: value})
            run = settings.network.run(**{axis: value})
            calibrated = free * _shape(run)
            rows.append([
                value, one["local"], one["local_error"], calibrated, ratio(one["local"], calibrated), one["law"],
                ratio(one["local"], one["law"]), one["c"], one["c_error"], one["c_law"],
            ])  # fmt: skip
            points.append({"value": value, "calibrated": calibrated, **one})
        report.table(
            [SYMBOLS[axis], "local displacement", "± (s.e.)", "calibrated", "ratio", "measured noise", "ratio", "c",
             "± (s.e.)", "c law"],
            rows, f"{axis.replace('_', ' ')}; {settings.seeds} seeds, steps {settings.window} to {2 * settings.window}",
        )  # fmt: skip
        said += _trend(axis, points)
    report.say(*said)
    return report


def _measured(place: Place, network: net.Network, settings: Settings, changed: dict[str, Any]) -> dict[str, Any]:
    runs = [
        settings.network.run(**changed, steps=2 * settings.window, seed=settings.network.seed + seed)
        for seed in range(settings.seeds)
    ]
    window, given = settings.window, settings.network
    each = [place.part("sweep", [given, run, window], partial(analysed, network, run, window)) for run in runs]
    local, c = (np.array([one[name] for one in each]) for name in ("local", "c"))
    error = 1 / np.sqrt(len(each))
    spread = len(each) > 1
    return {
        "local": float(local.mean()), "local_error": float(local.std(ddof=1) * error) if spread else None,
        "c": float(c.mean()), "c_error": float(c.std(ddof=1) * error) if spread else None,
        "law": each[0]["law"], "c_law": each[0]["c_law"],
    }  # fmt: skip


def analysed(network: net.Network, run: Run, window: int) -> dict[str, Any]:
    """Local displacement and exponent of one run over its second half, and the discrete law's."""
    folder = network.continued(run)
    trajectory = read_run(folder)
    problem = run_problem(trajectory, *attached(folder)).whole
    assert problem is not None
    law = discrete(_stable(problem))
    at = trajectory.step[window:]
    return {
        "local": float(trajectory.step_norm2[window:].mean()), "c": slope(at, trajectory.offset_norm2[window:]),
        "law": law.local_displacement, "c_law": slope(at, law.displacement(at, "fixed")),
        "beyond_the_edge": len(problem.curvature) - len(law.problem.curvature),
    }  # fmt: skip


def slope(steps: np.ndarray, values: np.ndarray) -> float:
    """Least-squares slope of ln values on ln steps.

    >>> steps = np.arange(10, 20)
    >>> round(slope(steps, 3.0 * steps**1.5), 9)
    1.5
    """
    return float(np.polyfit(np.log(steps), np.log(values), 1)[0])


def _shape(run: Run) -> float:
    """η²/(S(1 − β²))."""
    return run.learning_rate**2 / (run.batch_size * (1 - run.momentum**2))


def _trend(axis: str, points: list[dict[str, Any]]) -> list[str]:
    symbol = SYMBOLS[axis]
    calibrated = [one["local"] / one["calibrated"] for one in points]
    measured = [one["local"] / one["law"] for one in points]
    way = _way([one["c"] for one in points], [one["c_error"] or 0.0 for one in points])
    law = _way([one["c_law"] for one in points], [0.0] * len(points))
    same = "as published" if way == PUBLISHED[axis] else f"published: it {PUBLISHED[axis]}"
    return [
        f"Along {symbol} the step is {min(calibrated):.2g} to {max(calibrated):.2g} times the calibrated law and "
        f"{min(measured):.2g} to {max(measured):.2g} times the law with measured noise; c {way} with {symbol} "
        f"({same}), and the discrete law's c {law}."
    ]


def _way(values: list[float], errors: list[float]) -> str:
    """falls, rises, is least in the middle, is most in the middle, or has no clear trend."""

    def above(i: int, j: int) -> bool:
        return values[i] - values[j] > max(CLEAR * float(np.hypot(errors[i], errors[j])), 1e-9)

    last = len(values) - 1
    middle = range(1, last)
    if any(above(0, i) and above(last, i) for i in middle):
        return "is least in the middle"
    if any(above(i, 0) and above(i, last) for i in middle):
        return "is most in the middle"
    return "falls" if above(0, last) else "rises" if above(last, 0) else "has no clear trend"


if __name__ == "__main__":
    main("sweeps", recipe, Settings(), FULL)
