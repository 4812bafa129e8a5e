"""Sides of the floor, statistical and certified, log and squared loss: each end, all three at once, and their width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.measure.floor import EVENTS, certified_sides, statistical_sides

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE, known, record, sample
from .tables import covered, median, share, table
from .worlds import WORLDS

TITLE = "Sides of the floor"
REPETITIONS = {("log", 2.0): 2000, ("log", 10.0): 1000, ("squared", 10.0): 2000}
FACTOR = 0.5


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for name in WORLDS
        for (loss, ratio), count in REPETITIONS.items()
        for cell in chunks(
            "sides",
            {"world": name, "loss": loss, "ratio": ratio},
            2 if quick else count,
            0.008 if loss == "log" else 0.004,
        )
    ]


def repetition(seed: Sequence[int], world: str, loss: str, ratio: float) -> dict[str, Any]:
    at = known(world, FACTOR, "log" if loss == "log" else "squared")
    drawn = sample(at, at.rows_at(ratio), np.random.default_rng(seed))
    fit, truth = record(drawn, with_midpoint=False), at.truth.population_loss(drawn.final.weights)
    sides, proven = statistical_sides(fit, CONFIDENCE), certified_sides(fit, CONFIDENCE)
    delta, top = (1 - CONFIDENCE) / EVENTS, fit.data["loss_range"]
    return {
        "n": len(drawn.pool),
        "floor": at.floor,
        "bracket": sides.high - sides.low,
        "low": sides.low <= at.floor,
        "loss_low": sides.loss_low <= truth,
        "high": truth <= sides.high,
        "joint": sides.low <= at.floor and sides.loss_low <= truth <= sides.high,
        "price": top * np.log(1 / delta) / len(drawn.pool) / max(fit.data["pool"]["minimum"], 1e-12),
        "proven_bracket": proven.high - proven.low,
        "independent": at.group == 1,
        "proven_low": proven.low <= at.floor,
        "proven_high": truth <= proven.high,
        "proven_joint": proven.low <= at.floor and proven.loss_low <= truth <= proven.high,
    }


def report(found: Sequence[Found]) -> str:
    nominal, body = 1 - (1 - CONFIDENCE) / EVENTS, []
    for at in found:
        certified = at.columns["independent"][0] > 0
        body.append((
            WORLDS[at.settings["world"]].label(at.settings["world"]), at.settings["loss"],
            f"{at.settings['ratio']:g}", f"{at.columns['n'][0]:g}",
            *(covered(share(at, key), nominal) for key in ("low", "loss_low", "high")),
            covered(share(at, "joint"), CONFIDENCE),
            *((covered(share(at, key), nominal) for key in ("proven_low", "proven_high")) if certified else "——"),
            covered(share(at, "proven_joint"), CONFIDENCE) if certified else "—",
            f"{median(at, 'proven_bracket') / median(at, 'bracket'):.1f}" if certified else "—",
            f"{median(at, 'price'):.2f}" if certified else "—",
        ))  # fmt: skip
    head = ("world", "loss", "n/p", "n", "low ≤ L*", "loss low ≤ L(ĝ)", "L(ĝ) ≤ high", "all three",
            "certified low", "certified high", "certified, all three", "width, of statistical",
            "price/minimum")  # fmt: skip
    return table(head, body)
