"""Linear-Gaussian regression, σ² in closed form: midpoint of train and leave-one-out, and the floor's formulas."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from limen.arrays.intervals import mean_of, student_quantile
from limen.data.worlds.linear_gaussian import LinearGaussian
from limen.data.worlds.world import LinearScores
from limen.theory.squared_floor import floor_from_both, floor_from_training

from .cells import Cell, Found, chunks
from .tables import covered, mean, share, table

TITLE = "Least squares in the linear-Gaussian world"
DIMENSION, CONFIDENCE = 20, 0.95


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for ratio in (1.5, 2.0, 4.0, 10.0)
        for cell in chunks("least_squares", {"ratio": ratio}, 50 if quick else 4000, 8e-4)
    ]


@lru_cache(maxsize=1)
def world() -> LinearGaussian:
    rng = np.random.default_rng(91)
    return LinearGaussian(rng.normal(size=DIMENSION), 10.0 ** rng.uniform(-1, 1, DIMENSION))


def repetition(seed: Sequence[int], ratio: float) -> dict[str, Any]:
    n, at = round(ratio * DIMENSION), world()
    rng = np.random.default_rng(seed)
    rows = at.sample(2 * n, rng)
    train, out, weights = fitted(rows.features[:n], rows.targets[:n])
    half = fitted(*(part[: n // 2] for part in (rows.features, rows.targets)))[:2] if n // 2 > DIMENSION else None
    fresh = float(((rows.targets[n:] - rows.features[n:] @ weights) ** 2).mean())
    middle = mean_of((train + out) / 2)
    noise = student_quantile((1 - CONFIDENCE) / 2, middle.dof) * middle.error
    drift = np.inf if half is None else abs(middle.value - float(sum(half).mean()) / 2)
    floor = at.bayes_risk
    return {
        "train": train.mean() - floor,
        "population": at.population_loss(LinearScores(weights[:, None], np.zeros(1))) - floor,
        "bias": middle.value - floor,
        "plain": abs(middle.value - floor) <= noise,
        "known": drift <= 2 * noise,
        "covered": abs(middle.value - floor) <= noise + drift,
        "formula": floor_from_training(float(train.mean()), n, DIMENSION).value - floor,
        "both": floor_from_both(float(train.mean()), fresh).value - floor,
    }


def fitted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared residuals, leave-one-out ones by the hat matrix, and the weights."""
    q, r = np.linalg.qr(x)
    weights = np.linalg.solve(r, q.T @ y)
    residual = y - x @ weights
    return residual**2, (residual / (1 - (q**2).sum(axis=1))) ** 2, weights


def report(found: Sequence[Found]) -> str:
    head = ("n/d", "train", "L(ŵ)", "midpoint: bias", "σ²γ²/(2(1 − γ))", "cover plain", "identified", "then covered",
            "train/(1 − d/n): bias", "√(train·test): bias")  # fmt: skip
    body = []
    for at in found:
        gamma = 1 / at.settings["ratio"]
        body.append((f"{at.settings['ratio']:g}", *(f"{mean(at, key):+.3f}" for key in ("train", "population", "bias")),
                     f"{gamma**2 / (2 * (1 - gamma)):+.3f}", covered(share(at, "plain"), CONFIDENCE),
                     f"{mean(at, 'known'):.2f}", covered(share(at, "covered", "known"), CONFIDENCE),
                     f"{mean(at, 'formula'):+.3f}", f"{mean(at, 'both'):+.3f}"))  # fmt: skip
    return table(head, body)
