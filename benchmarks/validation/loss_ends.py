"""Ends of the mean log loss of fixed probes on m fresh rows, with and without the correction for skewness."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.ball import minimise
from limen.adapt.losses import per_example_loss
from limen.adapt.prepare import prepare
from limen.adapt.truth import Truth
from limen.arrays.intervals import mean_of, student_quantile
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import subclusters
from limen.measure.floor import EVENTS
from limen.measure.risk import unit_assumptions
from limen.records.task import FitSpec, Task

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE
from .tables import covered, mean, share, table

TITLE = "Ends of a held-out loss"
PROBES = 8
RADII = {"gaussian K=6": (8.0, 24.0), "subclusters K=3": (4.0, 16.0), "gaussian K=4, noise": (6.0, 24.0)}
SIZES = (20, 50, 80, 200, 500)
KEYS = ("upper, t", "upper", "lower, t", "lower")


@cache
def population(world: str) -> Population:
    if world == "gaussian K=6":
        return gaussian_classes(6, 16, 12_000, separation=0.9, seed=71)
    if world == "subclusters K=3":
        return subclusters(3, 8, 12_000, separation=1.6, label_noise=0.05, seed=72)
    return gaussian_classes(4, 24, 12_000, separation=1.0, label_noise=0.05, seed=73)


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for world, radii in RADII.items()
        for m in SIZES
        for radius in radii
        for cell in chunks("loss_ends", {"world": world, "radius": radius, "m": m}, 50 if quick else 3200, 6e-4)
    ]


@cache
def losses(world: str, radius: float, m: int, probe: int) -> np.ndarray:
    """Loss of every row of the population under a probe of 5·m rows."""
    whole = population(world)
    task = Task("t", "e", whole.sample(5 * m, np.random.default_rng([74, m, probe])))
    prepared = prepare(task, FitSpec(split_seed=probe))
    weights = minimise(prepared.fit, radius, tolerance=1e-3).weights
    return per_example_loss(Truth.of(whole, prepared.phi).rows.features @ weights, whole.labels, "log")


def repetition(seed: Sequence[int], world: str, radius: float, m: int) -> dict[str, Any]:
    rng, every = np.random.default_rng(seed), losses(world, radius, m, seed[1] % PROBES)
    truth, found = float(every.mean()), mean_of(every[rng.integers(0, len(every), m)])
    delta = (1 - CONFIDENCE) / EVENTS
    half = student_quantile(delta, found.dof) * found.error
    held = (
        truth <= found.value + half,
        truth <= found.high(delta),
        found.value - half <= truth,
        found.low(delta) <= truth,
    )
    return {**dict(zip(KEYS, held, strict=True)), "few": len(unit_assumptions(found, "rows")) > 1}


def report(found: Sequence[Found]) -> str:
    nominal = 1 - (1 - CONFIDENCE) / EVENTS
    body = [
        (at.settings["world"], f"{at.settings['radius']:g}", f"{at.settings['m']}",
         *(covered(share(at, key), nominal) for key in KEYS), f"{mean(at, 'few'):.2f}")
        for at in found
    ]  # fmt: skip
    return table(("world", "radius", "m", *KEYS, "said to be few"), body)
