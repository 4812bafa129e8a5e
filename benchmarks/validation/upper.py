"""Upper ends of L* at one confidence: the holdout's against prequential and five-fold ones, t and certified.

Prequential: probes of the first half, 5/8, … of the pool, each scored on the next eighth. Five-fold: the probes of the
cross-validation that the midpoint takes anyway, each scored on its fold; asymptotic only, for they share rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.adapt.prequential import prequential_losses
from limen.arrays.intervals import kl_upper, maurer_pontil_upper, mean_of
from limen.measure.betting import betting_upper
from limen.measure.floor import EVENTS, certified_sides, floor_upper, statistical_sides

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE, known, record, sample
from .tables import covered, median, share, table
from .worlds import WORLDS

TITLE = "Upper ends of the floor"
FACTOR = 0.5
ENDS = ("holdout", "prequential", "five-fold", "kl", "betting", "both")


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for name, world in WORLDS.items()
        if world.group == 1
        for ratio in (2.0, 10.0)
        for cell in chunks("upper", {"world": name, "ratio": ratio}, 2 if quick else 200, 0.03)
    ]


def repetition(seed: Sequence[int], world: str, ratio: float) -> dict[str, Any]:
    at = known(world, FACTOR)
    drawn = sample(at, at.rows_at(ratio), np.random.default_rng(seed))
    fit, delta = record(drawn), (1 - CONFIDENCE) / EVENTS
    order = np.random.default_rng([*seed, 1]).permutation(len(drawn.pool))
    ahead = prequential_losses(drawn.pool.take(order), at.radius)
    top, held = fit.data["loss_range"], fit.arrays["curve_holdout_loss"][-1]
    ends = {
        "holdout": statistical_sides(fit, CONFIDENCE).high,
        "prequential": mean_of(ahead).high(delta),
        "five-fold": floor_upper(fit).high(delta),
        "kl": min(kl_upper(float(held.mean()), len(held), delta / 2, top), maurer_pontil_upper(held, delta / 2, top)),
        "betting": certified_sides(fit, CONFIDENCE).high,
        "both": betting_upper(ahead, delta, top),
    }
    low = statistical_sides(fit, CONFIDENCE).low
    found: dict[str, Any] = {"n": len(drawn.pool), "floor": at.floor, "low": at.floor - low}
    for name, end in ends.items():
        found |= {name: at.floor <= end, f"{name} above": end - at.floor}
    return found


def report(found: Sequence[Found]) -> str:
    nominal = 1 - (1 - CONFIDENCE) / EVENTS
    said = ("holdout, t", "prequential, t", "five-fold, t", "holdout, kl or Maurer-Pontil", "holdout, betting",
            "prequential, betting")  # fmt: skip
    head = ("world", "n/p", "n", "L*", "low end below L*", *(part for name in said for part in (name, "above L*")))
    body = [
        (WORLDS[at.settings["world"]].label(at.settings["world"]), f"{at.settings['ratio']:g}",
         f"{at.columns['n'][0]:g}", f"{at.columns['floor'][0]:.3f}", f"{median(at, 'low'):.3f}",
         *(part for name in ENDS for part in (covered(share(at, name), nominal), f"{median(at, name + ' above'):.3f}")))
        for at in found
    ]  # fmt: skip
    return table(head, body)
