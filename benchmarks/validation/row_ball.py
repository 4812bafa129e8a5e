"""The certified side of the class ‖W_c‖ ≤ r, r = B/√K, beside that of the ball ‖W‖_F ≤ B around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.row_ball import minimise_rows
from limen.measure.floor import EVENTS, certified_sides
from limen.measure.row_floor import row_floor, row_radius

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE, known, record, sample
from .tables import covered, median, share, table
from .worlds import WORLDS

TITLE = "Row ball: a smaller loss range"
FACTOR = 0.5


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for name, world in WORLDS.items()
        if world.group == 1
        for cell in chunks("row_ball", {"world": name, "ratio": 10.0}, 2 if quick else 200, 0.02)
    ]


@cache
def floor(world: str) -> tuple[float, float]:
    """L* of the row ball lies between these two."""
    at = known(world, FACTOR)
    best = minimise_rows(at.truth.rows, row_radius(at.radius, at.truth.rows.classes), tolerance=1e-5)
    return best.minimum, best.loss


def repetition(seed: Sequence[int], world: str, ratio: float) -> dict[str, Any]:
    at = known(world, FACTOR)
    drawn = sample(at, at.rows_at(ratio), np.random.default_rng(seed))
    ball = certified_sides(record(drawn, with_midpoint=False), CONFIDENCE)
    rows, holdout = drawn.prepared.fit, drawn.prepared.holdout
    both = 1 - 2 * (1 - CONFIDENCE) / EVENTS  # each end at the share that it has in a budget
    found = row_floor(rows, holdout, row_radius(at.radius, rows.classes), at.phi.norm_bound, both)
    assert found.low is not None
    assert found.high is not None
    least, most = floor(world)
    return {
        "n": len(drawn.pool),
        "ball_floor": at.floor,
        "floor": most,
        "low": found.low <= most,
        "high": least <= found.high,
        "below": most - found.low,
        "ball_below": at.floor - ball.low,
        "width": found.high - found.low,
        "ball_width": ball.high - ball.low,
    }


def report(found: Sequence[Found]) -> str:
    nominal = 1 - (1 - CONFIDENCE) / EVENTS
    head = ("world", "n", "L*, ball", "L*, row ball", "certified low ≤ L*", "L* ≤ certified high",
            "low end below L*: ball", "row ball",
            "bracket: ball", "row ball")  # fmt: skip
    body = [
        (WORLDS[at.settings["world"]].label(at.settings["world"]), f"{at.columns['n'][0]:g}",
         f"{at.columns['ball_floor'][0]:.3f}", f"{at.columns['floor'][0]:.3f}", covered(share(at, "low"), nominal),
         covered(share(at, "high"), nominal), f"{median(at, 'ball_below'):.3f}", f"{median(at, 'below'):.3f}",
         f"{median(at, 'ball_width'):.3f}", f"{median(at, 'width'):.3f}")
        for at in found
    ]  # fmt: skip
    return table(head, body)
