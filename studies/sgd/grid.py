"""R7: every combination of three learning rates, batch sizes and momenta: the size of a step and the exponent.

Runs of 2T steps with independent batches from the minimum of a small network without kinks or BatchNorm, at rest; over
steps T … 2T, means over seeds:

    local displacement   mean ‖θ_{k+1} − θ_k‖², against
        calibrated   K η²/(S(1 − β²)), K from the run in the middle: the published comparison, one free constant
        law          the discrete law with all eigenpairs and their noise at the minimum: no free constant
    exponent c           least squares of ln‖θ_t − θ_0‖² on ln t (the published estimator, on the last half), against
                         the same fit to the discrete law's displacement from rest; z with the error over seeds

The law is the quadratic one at the minimum. How far it goes is one of the results: the spread of the weights grows with
η/(S(1 − β)), and with it what the quadratic leaves out.

Source: Kunin et al., arXiv:2107.09133, figure 8: ImageNet, η = 1e-5, 1e-4, 1e-3, S = 128, 256, 512, β = .8, .9, .99,
one run each.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import scipy.stats
from studies.sgd import network as net
from studies.sgd.common import Place, Report, Run, main, ratio, recording, z_of
from studies.sgd.sweeps import AXES, SYMBOLS, _shape, _way, slope

from limen.measure.recorder.read import read_run
from limen.theory.sgd import Modes, discrete


@dataclass(frozen=True)
class Settings:
    """The network, three values of each axis (the middle one calibrates), T, and seeds of each run."""

    network: net.Settings = field(default_factory=lambda: net.SMOOTH)
    learning_rates: tuple[float, ...] = (0.005, 0.01, 0.02)
    batch_sizes: tuple[int, ...] = (50, 100, 200)
    momenta: tuple[float, ...] = (0.8, 0.9, 0.99)
    window: int = 500
    seeds: int = 4

    @property
    def axes(self) -> tuple[tuple[Any, ...], ...]:
        """Values in the order of `AXES`."""
        return self.learning_rates, self.batch_sizes, self.momenta


FULL = Settings(learning_rates=(0.002, 0.01, 0.05), window=2500, seeds=8)
"""Learning rates as far apart as five times, ten times the steps and seeds: about an hour."""
Cell = tuple[float, int, float]


def recipe(place: Place, settings: Settings) -> Report:
    """One row for each combination."""
    report = Report("R7 grid: local displacement and exponent over learning rate, batch size and momentum together")
    network = net.Network(place, settings.network)
    found = {cell: _measured(place, network, settings, cell) for cell in product(*settings.axes)}
    base = tuple(values[len(values) // 2] for values in settings.axes)
    free = found[base]["local"] / _shape(_run(settings, base))
    rows = []
    for cell, one in found.items():
        one["calibrated"] = ratio(one["local"], free * _shape(_run(settings, cell)))
        one["over_law"] = ratio(one["local"], one["law"])
        rows.append([
            *cell, cell[0] / (cell[1] * (1 - cell[2])), one["local"], one["local_error"], one["calibrated"],
            one["over_law"], one["c"], one["c_error"], one["c_law"], one["c_z"], one["far"],
        ])  # fmt: skip
    report.table(
        [*(SYMBOLS[axis] for axis in AXES), "η/(S(1 − β))", "local displacement", "± (s.e.)", "over calibrated",
         "over law", "c", "± (s.e.)", "c law", "z", "distance² at the end over law"],
        rows, f"{settings.seeds} seeds, steps {settings.window} to {2 * settings.window}",
    )  # fmt: skip
    report.say(*_said(settings, found))
    return report


def analysed(network: net.Network, run: Run, window: int) -> dict[str, Any]:
    """Local displacement, exponent and final distance of one run, and the discrete law's."""
    assert network.exact is not None
    folder = network.place.folder("grid-run", [network.settings, run])
    recording(folder, network.model(), net.loss, network.take, network.settings.examples, run)
    trajectory = read_run(folder)
    at = trajectory.step[window:]
    problem: Modes = replace(
        network.exact["checkpoint"], learning_rate=run.learning_rate, momentum=run.momentum, batch_size=run.batch_size
    )
    law = discrete(problem).displacement(at, "fixed")
    shutil.rmtree(folder)  # ten gigabytes over the grid; what is asked of it is kept
    return {
        "local": float(trajectory.step_norm2[window:].mean()), "c": slope(at, trajectory.offset_norm2[window:]),
        "far": float(trajectory.offset_norm2[-1] / law[-1]), "law": discrete(problem).local_displacement,
        "c_law": slope(at, law),
    }  # fmt: skip


def _run(settings: Settings, cell: Cell, seed: int = 0) -> Run:
    changed = dict(zip(AXES, cell, strict=True))
    return settings.network.run(**changed, steps=2 * settings.window, seed=settings.network.seed + seed)


def _measured(place: Place, network: net.Network, settings: Settings, cell: Cell) -> dict[str, Any]:
    runs = [_run(settings, cell, seed) for seed in range(settings.seeds)]
    window, given = settings.window, settings.network
    each = [place.part("cell", [given, run, window], partial(analysed, network, run, window)) for run in runs]
    local, c, far = (np.array([one[name] for one in each]) for name in ("local", "c", "far"))
    error = 1 / np.sqrt(len(each))
    spread = [float(values.std(ddof=1) * error) if len(each) > 1 else None for values in (local, c)]
    return {
        "local": float(local.mean()), "local_error": spread[0], "c": float(c.mean()), "c_error": spread[1],
        "law": each[0]["law"], "c_law": each[0]["c_law"], "far": float(far.mean()),
        "c_z": z_of(float(c.mean()), spread[1], each[0]["c_law"]) if spread[1] else None,
    }  # fmt: skip


def _said(settings: Settings, found: dict[Cell, dict[str, Any]]) -> list[str]:
    calibrated, law = ([one[name] for one in found.values()] for name in ("calibrated", "over_law"))
    said = [
        f"Over {len(found)} settings the step is {min(calibrated):.2f} to {max(calibrated):.2f} times the calibrated "
        f"law and {min(law):.2f} to {max(law):.2f} times the discrete law without a free constant."
    ]
    z = np.array([one["c_z"] for one in found.values() if one["c_z"] is not None])
    if len(z):
        limit = float(scipy.stats.t.ppf(0.975, settings.seeds - 1))
        gap = max(abs(one["c"] - one["c_law"]) for one in found.values())
        said.append(
            f"The exponent is the discrete law's within Student's 95 % interval in {int((np.abs(z) < limit).sum())} of "
            f"{len(z)} settings; the largest difference is {gap:.2f}, c itself goes from "
            f"{min(one['c'] for one in found.values()):.2f} to {max(one['c'] for one in found.values()):.2f}."
        )
    for i, axis in enumerate(AXES):
        lines = product(*(values for j, values in enumerate(settings.axes) if j != i))
        ways: dict[str, int] = {}
        for other in lines:
            line = [found[(*other[:i], value, *other[i:])] for value in settings.axes[i]]
            way = _way([one["c"] for one in line], [one["c_error"] or 0.0 for one in line])
            ways[way] = ways.get(way, 0) + 1
        counts = ", ".join(f"{way} in {count}" for way, count in sorted(ways.items(), key=lambda kv: -kv[1]))
        said.append(f"Along {SYMBOLS[axis]}, c {counts} lines of {sum(ways.values())}.")
    return said


if __name__ == "__main__":
    main("grid", recipe, Settings(), FULL)
