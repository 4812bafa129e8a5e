"""The certified side of the class ‖W_c‖ ≤ r, r = B/√K, beside that of the ball ‖W‖_F ≤ B around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.losses import per_example_loss
from limen.adapt.row_ball import minimise_rows, row_loss_range
from limen.arrays.intervals import kl_lower, kl_upper
from limen.measure.floor import EVENTS, certified_sides

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
    best = minimise_rows(at.truth.rows, at.radius / np.sqrt(at.truth.rows.classes), tolerance=1e-5)
    return best.minimum, best.loss


def repetition(seed: Sequence[int], world: str, ratio: float) -> dict[str, Any]:
    at = known(world, FACTOR)
    drawn = sample(at, at.rows_at(ratio), np.random.default_rng(seed))
    ball = certified_sides(record(drawn, with_midpoint=False), CONFIDENCE)
    pool, holdout, delta = drawn.pool, drawn.prepared.holdout, (1 - CONFIDENCE) / EVENTS
    radius = at.radius / np.sqrt(pool.classes)
    top = row_loss_range(pool.classes, radius, at.phi.norm_bound)
    best = minimise_rows(pool, radius, drawn.final.weights)
    probe = minimise_rows(drawn.prepared.fit, radius, best.weights)
    held = per_example_loss(holdout.features @ probe.weights, holdout.labels, "log")
    low = kl_lower(max(best.minimum, 0.0), len(pool), delta, top)
    high = kl_upper(float(held.mean()), len(holdout), delta, top)
    least, most = floor(world)
    return {
        "n": len(pool),
        "ball_floor": at.floor,
        "floor": most,
        "range": top,
        "gap": best.gap,
        "low": low <= most,
        "high": least <= high,
        "below": most - low,
        "ball_below": at.floor - ball.low,
        "width": high - low,
        "ball_width": ball.high - ball.low,
    }


def report(found: Sequence[Found]) -> str:
    nominal = 1 - (1 - CONFIDENCE) / EVENTS
    head = ("world", "n", "L*, ball", "L*, row ball", "certified low ≤ L*", "L* ≤ certified high",
            "low end below L*: ball", "row ball",
            "bracket: ball", "row ball", "largest gap")  # fmt: skip
    body = [
        (WORLDS[at.settings["world"]].label(at.settings["world"]), f"{at.columns['n'][0]:g}",
         f"{at.columns['ball_floor'][0]:.3f}", f"{at.columns['floor'][0]:.3f}", covered(share(at, "low"), nominal),
         covered(share(at, "high"), nominal), f"{median(at, 'ball_below'):.3f}", f"{median(at, 'below'):.3f}",
         f"{median(at, 'ball_width'):.3f}", f"{median(at, 'width'):.3f}", f"{max(at.columns['gap']):.0e}")
        for at in found
    ]  # fmt: skip
    return table(head, body)
