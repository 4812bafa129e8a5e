"""The floor path: do the intervals at all four radii hold at once, and at what width?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.curve import Point
from limen.adapt.floor_fits import floor_path as fit_path
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.radius import PATH_STEPS
from limen.measure.floor import floor_path, statistical_sides

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE, known, record, sample
from .tables import covered, median, share, table
from .worlds import WORLDS

TITLE = "Floor path: all radii at once"
FACTOR = 0.5


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for name in WORLDS
        for ratio in (2.0, 10.0)
        for cell in chunks("path", {"world": name, "ratio": ratio}, 2 if quick else 300, 0.03)
    ]


@cache
def floors(world: str) -> tuple[float, ...]:
    at = known(world, FACTOR)
    return tuple(at.truth.minimum(step * at.radius).loss for step in PATH_STEPS)


def repetition(seed: Sequence[int], world: str, ratio: float) -> dict[str, Any]:
    at = known(world, FACTOR)
    drawn = sample(at, at.rows_at(ratio), np.random.default_rng(seed))
    fit, holdout, final = record(drawn, with_midpoint=False), drawn.prepared.holdout, drawn.final
    scores = holdout.features @ final.weights
    rows = np.arange(len(drawn.prepared.fit))
    losses = per_example_loss(scores, holdout.labels, holdout.loss)
    point = Point(len(rows), None, rows, final.loss, losses, predictions(scores), final)
    pool = replace(final, minimum=fit.data["pool"]["minimum"])
    points = fit_path(drawn.prepared, pool, point, threads=1)
    data = {**fit.data, "path": [{"radius": p.radius, "minimum": p.minimum} for p in points]}
    arrays = {**fit.arrays, "path_holdout_loss": np.stack([p.holdout_loss for p in points])}
    found = floor_path(replace(fit, data=data, arrays=arrays), CONFIDENCE)
    ends = [(p.low, p.high) for p in found]
    held = [
        a is not None and b is not None and a <= truth <= b for (a, b), truth in zip(ends, floors(world), strict=True)
    ]
    sides = statistical_sides(fit, CONFIDENCE)
    low, high = ends[PATH_STEPS.index(1.0)]
    wide = np.nan if low is None or high is None else (high - low) / (sides.high - sides.low)
    return {"n": len(drawn.pool), "all": all(held), "worst": sum(held), "wide": wide} | {
        f"at {step:g}": inside for step, inside in zip(PATH_STEPS, held, strict=True)
    }


def report(found: Sequence[Found]) -> str:
    head = ("world", "n/p", "n", "all radii at once", *(f"at {step:g}·radius" for step in PATH_STEPS),
            "width, of the bracket at the radius")  # fmt: skip
    body = [
        (WORLDS[at.settings["world"]].label(at.settings["world"]), f"{at.settings['ratio']:g}",
         f"{at.columns['n'][0]:g}", covered(share(at, "all"), CONFIDENCE),
         *(covered(share(at, f"at {step:g}"), CONFIDENCE) for step in PATH_STEPS), f"{median(at, 'wide'):.2f}")
        for at in found
    ]  # fmt: skip
    return table(head, body)
