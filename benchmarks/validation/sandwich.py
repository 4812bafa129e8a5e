"""E min L̂ ≤ L* ≤ E L(ĝ) for the ball; the training loss of a penalised fit crosses L*, its certificate does not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from limen.adapt.ball import Rows, certify, minimise
from limen.adapt.feature_map import Matrix
from limen.data.worlds.gaussian_classes import gaussian_classes

from .cells import Cell, Found, chunks
from .settings import Setting, setting
from .tables import mean, table

TITLE = "Sandwich: why the training loss of a penalised fit is no floor"
PENALTY = 0.1


def cells(quick: bool) -> list[Cell]:
    return [cell for n in (50, 200, 800, 3200) for cell in chunks("sandwich", {"n": n}, 5 if quick else 60, 0.09)]


@lru_cache(maxsize=1)
def world() -> Setting:
    return setting(gaussian_classes(2, 10, 20_000, separation=0.45, seed=41), 1.2)


def repetition(seed: Sequence[int], n: int) -> dict[str, Any]:
    at = world()
    rows = at.truth.rows.take(np.random.default_rng(seed).integers(0, len(at.truth.rows), n))
    exact = minimise(rows, at.radius, tolerance=1e-6)
    weights = penalised(rows, PENALTY)
    ridge = certify(rows, weights, at.radius)
    return {
        "floor": at.floor,
        "train": exact.loss,
        "certified": exact.minimum,
        "population": at.truth.population_loss(exact.weights),
        "penalised_train": ridge.loss,
        "penalised_certified": ridge.minimum,
        "penalised_population": at.truth.population_loss(weights),
    }


def penalised(rows: Rows, penalty: float) -> Matrix:
    """argmin L̂ + λ‖W‖²/2: the ball fit at the radius where the multiplier is λ, found by bisection."""
    low, high = 1e-3, 100.0
    for _ in range(40):
        radius = np.sqrt(low * high)
        fit = minimise(rows, float(radius), tolerance=1e-7)
        low, high = (float(radius), high) if fit.gradient_norm / radius > penalty else (low, float(radius))
        if high / low < 1.001:
            break
    return fit.weights


def report(found: Sequence[Found]) -> str:
    head = ("n", "L*", "min L̂ (ball)", "its certificate", "L(ĝ)", "penalised train", "penalised, certified",
            "penalised: L")  # fmt: skip
    keys = ("train", "certified", "population", "penalised_train", "penalised_certified", "penalised_population")
    body = []
    for at in found:
        floor, means = mean(at, "floor"), {key: mean(at, key) for key in keys}
        crossed = " > L*" if means["penalised_train"] > floor else ""
        cells = [f"{means[key]:.4f}" + (crossed if key == "penalised_train" else "") for key in keys]
        body.append((f"{at.settings['n']}", f"{floor:.4f}", *cells))
    return table(head, body)
