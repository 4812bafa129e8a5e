"""How often the low end of class_gap, nominal 95 %, lies above the true gap of the head that was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.ball import minimise
from limen.adapt.floor_fits import holdout_minimum, pool_rows
from limen.adapt.losses import per_example_loss
from limen.adapt.prepare import prepare
from limen.adapt.rich_head import rich_head
from limen.adapt.truth import Truth
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import subclusters
from limen.measure.finer import swap_bound
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, Task

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE
from .tables import below_nominal, share, table

TITLE = "Low end of class_gap"
RADIUS = 4.0


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for world, n in (("rings", 150), ("rings", 400), ("subclusters", 150))
        for cell in chunks("class_gap", {"world": world, "n": n}, 4 if quick else 400, 0.1)
    ]


@cache
def population(world: str) -> Population:
    if world == "subclusters":
        return subclusters(3, 4, 6000, separation=1.5, seed=77)
    draw = np.random.default_rng(76)
    features = draw.normal(size=(6000, 2))
    labels = (np.linalg.norm(features, axis=1) > 1.18).astype(np.int64)
    return Population("rings", features, np.where(draw.random(6000) < 0.05, 1 - labels, labels), 2)


def repetition(seed: Sequence[int], world: str, n: int) -> dict[str, Any]:
    whole = population(world)
    task = Task("t", "e", whole.sample(n, np.random.default_rng(seed)))
    prepared = prepare(task, FitSpec(radius=RADIUS, split_seed=seed[1]))
    pool, probe = minimise(pool_rows(prepared), RADIUS), minimise(prepared.fit, RADIUS)
    own, own_loss = holdout_minimum(prepared, pool)
    held = per_example_loss(prepared.holdout.features @ probe.weights, prepared.holdout.labels, "log")
    truth, size, m = Truth.of(whole, prepared.phi), len(prepared.fit), len(held)
    both = replace(
        truth.rows,
        features=np.concatenate([prepared.holdout.features, truth.rows.features]),
        labels=np.concatenate([prepared.holdout.labels, truth.rows.labels]),
    )
    head = rich_head(replace(prepared, holdout=both), RADIUS)  # scored on the holdout, then on the population
    data = {"holdout_minimum": own.minimum, "pool": {"minimum": pool.minimum, "n": size + m}, "n_fit": size,
            "rich_head": {"landmarks": head.landmarks}}  # fmt: skip
    arrays = {
        "rich_holdout_loss": head.holdout_loss[:m],
        "holdout_own_loss": own_loss,
        "curve_holdout_loss": held[None],
    }
    low, *_ = swap_bound(StageRecord("fit", 1, data, arrays), CONFIDENCE)
    gap = truth.minimum(RADIUS).loss - float(head.holdout_loss[m:].mean())
    return {"missed": low > gap, "held": m}


def report(found: Sequence[Found]) -> str:
    body = []
    for at in found:
        missed, of = share(at, "missed")
        mark = " **↓**" if below_nominal(of - missed, of, CONFIDENCE) else ""
        body.append((at.settings["world"], f"{at.settings['n']}", f"{at.columns['held'][0]:g}", f"{missed}/{of}",
                     f"{missed / of:.3f}{mark}"))  # fmt: skip
    return table(("world", "rows", "held out", "missed", "share"), body)
