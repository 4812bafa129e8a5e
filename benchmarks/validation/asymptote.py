"""The asymptote of the two-sided law as a point for the floor, beside the midpoint: bias, coverage, width.

    train = E − A n^−a + C n^−2a,    test = E + A n^−a + C n^−2a,    E against L*

The whole fit cell with its learning curve and the jackknife over row groups: few repetitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.fit import fit_task
from limen.adapt.prepare import prepare
from limen.adapt.truth import Truth
from limen.data.worlds.population import Population
from limen.measure.curve import extrapolation
from limen.measure.floor import midpoint, statistical_sides
from limen.records.estimate import Estimate
from limen.records.task import FitSpec, Question, Task

from .cells import Cell, Found, chunks
from .midpoint import RADII
from .settings import CONFIDENCE, known
from .tables import covered, median, number, share, table
from .worlds import WORLDS

TITLE = "Two-sided curve as a point for the floor"
CHOSEN = ("subclusters", "imbalance", "label noise", "sentences")
SHARES = (0.125, 0.25, 0.5)
"""Label counts, in rows of the fit part, beside all of them."""


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for world in CHOSEN
        if world in WORLDS
        for radius in RADII
        for ratio in (4.0, 10.0)
        for cell in chunks("asymptote", {"world": world, "radius": radius, "ratio": ratio}, 2 if quick else 25, 0.3)
    ]


@cache
def population(world: str) -> Population:
    return WORLDS[world].population()


def repetition(seed: Sequence[int], world: str, radius: str, ratio: float) -> dict[str, Any]:
    at = known(world, RADII[radius])
    n = round(at.rows_at(ratio) / 0.95)
    task = Task("t", "e", population(world).sample(n, np.random.default_rng(seed)))
    labels = tuple(max(10, round(part * 0.75 * n)) for part in SHARES)
    spec = FitSpec(radius=at.radius, labels=(*labels, "all"), seeds=2, rich_head=False, split_seed=seed[1])
    fit = fit_task(task, spec)
    floor = Truth.of(population(world), prepare(task, spec).phi).minimum(at.radius).loss
    law, sides = extrapolation(fit, Question(CONFIDENCE)).asymptote, statistical_sides(fit, CONFIDENCE)
    middle = midpoint(fit, 1 - 3 * (1 - CONFIDENCE))[0]  # its third of the joint share is then 95 %
    found: dict[str, Any] = {"n": n, "bracket": sides.high - sides.low}
    for name, estimate in (("law", law), ("midpoint", middle)):
        found |= _counted(name, estimate, floor)
    return found


def _counted(name: str, estimate: Estimate, floor: float) -> dict[str, float]:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return {name: 0.0, f"{name} covers": 0.0, f"{name} bias": np.nan, f"{name} width": np.nan}
    inside = estimate.low <= floor <= estimate.high
    return {name: 1.0, f"{name} covers": float(inside), f"{name} bias": estimate.value - floor,
            f"{name} width": estimate.high - estimate.low}  # fmt: skip


def report(found: Sequence[Found]) -> str:
    head = ("world", "radius", "n/p", "n", "law: identified", "then covered", "bias: median", "width: median",
            "midpoint: identified", "then covered", "bias: median", "width: median", "bracket")  # fmt: skip
    body = []
    for at in found:
        cells = []
        for name in ("law", "midpoint"):
            hits, of = share(at, name)
            cells += [f"{hits}/{of}", covered(share(at, f"{name} covers", name), 0.95)]
            cells += [number(median(at, f"{name} bias", name), "+.3f")]
            cells += [number(median(at, f"{name} width", name), ".3f")]
        label = WORLDS[at.settings["world"]].label(at.settings["world"]), at.settings["radius"]
        ratio, n = f"{at.settings['ratio']:g}", f"{at.columns['n'][0]:g}"
        body.append((*label, ratio, n, *cells, f"{median(at, 'bracket'):.3f}"))
    return table(head, body)
