"""Certified sides on 400 fixed linear classifiers, 0-1 loss, exact minimisation: δ = .025 a side, holdout 500."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from limen.arrays.intervals import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    hoeffding_deviation,
    kl_lower,
    kl_upper,
)
from limen.data.worlds.finite_class import FiniteClass, finite_class

from .cells import Cell, Found, chunks
from .tables import covered, mean, share, table

TITLE = "Certified sides of a finite class"
DELTA, HELD = 0.025, 500
BOUNDS = ("Clopper-Pearson", "kl", "Hoeffding")


def cells(quick: bool) -> list[Cell]:
    return [cell for n in (50, 200, 800) for cell in chunks("finite", {"n": n}, 50 if quick else 4000, 1e-3 + 3e-6 * n)]


@lru_cache(maxsize=1)
def world() -> FiniteClass:
    return finite_class(400, 5, flip=0.2, spread=0.6, seed=31)


@lru_cache(maxsize=1)
def losses() -> np.ndarray:
    return world().losses


def repetition(seed: Sequence[int], n: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows, holdout = world().sample(n, rng), world().sample(HELD, rng)
    errors = world().mistakes(rows.features, rows.labels).sum(axis=0)
    best = int(errors.argmin())
    k, held = int(errors[best]), int(world().mistakes(holdout.features, holdout.labels)[:, best].sum())
    low = (clopper_pearson_lower(k, n, DELTA), kl_lower(k / n, n, DELTA), k / n - hoeffding_deviation(n, DELTA))
    high = (
        clopper_pearson_upper(held, HELD, DELTA),
        kl_upper(held / HELD, HELD, DELTA),
        held / HELD + hoeffding_deviation(HELD, DELTA),
    )
    floor = float(losses().min())
    found: dict[str, Any] = {"floor": floor, "least": k / n, "chosen": float(losses()[best])}
    for name, a, b in zip(BOUNDS, low, high, strict=True):
        found |= {name: a <= floor <= b, f"{name} width": b - a}
    return found


def report(found: Sequence[Found]) -> str:
    head = ("n", "L*", "E min L̂", "E L(ERM)", *BOUNDS, *(f"width {name}" for name in BOUNDS))
    body = [
        (f"{at.settings['n']}", f"{mean(at, 'floor'):.4f}", f"{mean(at, 'least'):.4f}", f"{mean(at, 'chosen'):.4f}",
         *(covered(share(at, name), 1 - 2 * DELTA) for name in BOUNDS),
         *(f"{mean(at, f'{name} width'):.3f}" for name in BOUNDS))
        for at in found
    ]  # fmt: skip
    return table(head, body)
