"""Two encoders of the same rows with a known difference: how often are they told apart, and how often wrongly?

    u = μ_y + N(0, I),  v = μ_y + N(0, I) + spoil·N(0, I),  independent given y;  encoder a shows u, b shows v

The population holds every pair in both orders before the spoiling: without it both encoders have the same rows in
another order, one feature map and one radius, so their floors, and best errors, are equal to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from limen.adapt.ball import Rows, minimise
from limen.adapt.feature_map import design_map
from limen.adapt.floor_fits import holdout_minimum
from limen.adapt.losses import predictions
from limen.adapt.truth import Truth
from limen.measure.comparison import compare
from limen.records.estimate import Estimate
from limen.records.stage import StageRecord

from .cells import Cell, Found, chunks
from .settings import CONFIDENCE, DESIGN, UNBOUNDED, Setting, at_radius, record, taken
from .tables import covered, median, share, table
from .worlds import unit_means

TITLE = "Comparisons: power, and differences that are not there"
CLASSES, DIMENSION, PAIRS = 3, 8, 10_000
SPOILS = (0.0, 0.3, 0.6, 1.0)
SIZES = {200: 300, 800: 300, 3200: 150}


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for spoil in SPOILS
        for n, count in SIZES.items()
        for cell in chunks("comparison", {"spoil": spoil, "n": n}, 2 if quick else count, 0.04 + n / 40_000)
    ]


@cache
def encoders(spoil: float) -> tuple[Setting, Setting]:
    rng = np.random.default_rng(81)
    means = unit_means(CLASSES, DIMENSION, 1.0, 82)
    labels = np.tile(rng.integers(0, CLASSES, PAIRS), 2)
    u, v = (means[labels[:PAIRS]] + rng.normal(size=(PAIRS, DIMENSION)) for _ in range(2))
    shown = np.concatenate([u, v]), np.concatenate([v, u]) + spoil * rng.normal(size=(2 * PAIRS, DIMENSION))
    design = rng.integers(0, PAIRS, DESIGN // 2)
    both = np.concatenate([design, design + PAIRS])
    phis = [design_map(features[np.sort(both)]) for features in shown]
    if not spoil:
        phis = [phis[0], phis[0]]
    truths = [Truth(Rows(phi(x), labels, CLASSES)) for phi, x in zip(phis, shown, strict=True)]
    radius = 0.7 * float(np.linalg.norm(minimise(truths[0].rows, UNBOUNDED, tolerance=1e-4).weights))
    a, b = (at_radius(truth, phi, radius) for truth, phi in zip(truths, phis, strict=True))
    return a, b


def repetition(seed: Sequence[int], spoil: float, n: int) -> dict[str, Any]:
    rows = np.random.default_rng(seed).integers(0, 2 * PAIRS, n)
    fits, losses, errors = [], [], []
    for name, at in zip("ab", encoders(spoil), strict=True):
        drawn = taken(at, rows)
        fits.append(_named(record(drawn), name, drawn))
        losses.append(at.truth.population_loss(drawn.final.weights))
        errors.append(at.truth.population_error(drawn.final.weights))
    found, p = compare(*fits, CONFIDENCE)
    true = [at.floor for at in encoders(spoil)]
    truth = {"floor": true[0] - true[1], "loss": losses[0] - losses[1], "error": errors[0] - errors[1]}
    each = {"floor": found.floor_difference, "loss": found.loss_difference, "error": found.error_difference}
    counts: dict[str, Any] = {"floor_truth": truth["floor"], "error_truth": truth["error"]}
    for name, estimate in each.items():
        counts |= {f"{name}_covered": _inside(estimate, truth[name]), f"{name}_found": not _inside(estimate, 0.0)}
    return counts | {
        "separable": found.separable,
        "wrong_way": found.separable and (found.floor_difference.low or 0.0) > 0,
        "midpoint": found.floor_difference.value is not None,
        "mcnemar": p < 1 - CONFIDENCE,
        "width": (found.floor_difference.high or np.nan) - (found.floor_difference.low or np.nan),
    }


def _inside(estimate: Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high


def _named(fit: StageRecord, name: str, drawn: Any) -> StageRecord:
    own, own_loss = holdout_minimum(drawn.prepared, drawn.final)
    holdout, n = drawn.prepared.holdout, len(drawn.prepared.fit)
    wrong = predictions(holdout.features @ drawn.final.weights)
    data = {"encoder": name, "method": "linear-probe", "task": "t", "loss": "log", "holdout_minimum": own.minimum}
    arrays = {
        "fit_rows": np.arange(n),
        "holdout_rows": np.arange(n, n + len(holdout)),
        "holdout_labels": holdout.labels,
        "curve_holdout_prediction": wrong[None],
        "holdout_own_loss": own_loss,
    }
    return replace(fit, data={**fit.data, **data}, arrays={**fit.arrays, **arrays})


def report(found: Sequence[Found]) -> str:
    head = ("spoiling", "n", "L*_a − L*_b", "floors: covered", "separable", "the wrong way", "by the midpoint",
            "width", "loss: covered", "found", "error: covered", "found", "McNemar p < .05")  # fmt: skip
    body = []
    for at in found:

        def rate(key: str, at: Found = at) -> str:
            hits, of = share(at, key)
            return f"{hits / of:.3f}"

        body.append((
            f"{at.settings['spoil']:g}", f"{at.settings['n']}", f"{at.columns['floor_truth'][0]:+.4f}",
            covered(share(at, "floor_covered"), 0.95), rate("separable"), rate("wrong_way"), rate("midpoint"),
            f"{median(at, 'width'):.3f}", covered(share(at, "loss_covered"), 0.95), rate("loss_found"),
            covered(share(at, "error_covered"), 0.95), rate("error_found"), rate("mcnemar"),
        ))  # fmt: skip
    return table(head, body)
