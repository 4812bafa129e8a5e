"""The radius of the class, chosen on design rows only, from a fixed grid.

Rule "auto": the radius of least five-fold cross-validated loss on the design, times 2. The class that balances
approximation against estimation grows with the number of rows (fit holds 15 times the design; the slow-rate bound
B·R/√n allows √15 ≈ 4); one grid step stays on the cautious side. Choosing on design is valid conditionally on design:
any rule is, so this one is judged by the losses it leads to (docs/decisions).
"""

from __future__ import annotations

import numpy as np

from limen.adapt.ball import Rows, minimise_subsets
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import per_example_loss
from limen.adapt.ridge import ridge_path
from limen.arrays.random import stream
from limen.records.budget import PopulationCheck

GRID: tuple[float, ...] = tuple(2.0**k for k in range(-3, 11))
GROWTH = 2.0
FOLDS = 5
LEAST_DESIGN = 20
PATH_STEPS = (0.25, 0.5, 1.0, 2.0)
"""Radii of `floor_path` as multiples of the budget's radius."""


def choose_radius(design: Rows, split_seed: int) -> tuple[float, PopulationCheck]:
    """Radius for the whole budget and the note that says how it was chosen."""
    if len(design) < LEAST_DESIGN or len(np.unique(design.labels)) < 2:
        radius = GROWTH * (8.0 if design.loss == "log" else 1.0) * float(np.sqrt(design.classes))
        finding = f"radius {radius:.3g} is a default: {len(design)} design rows are too few to choose on"
        return radius, PopulationCheck("radius", finding, "noted", {"radius": radius, "design_rows": len(design)})
    best = _by_leave_one_out(design) if design.loss == "squared" else _by_folds(design, split_seed)
    radius = GROWTH * best
    finding = f"radius {radius:g}: twice the cross-validated optimum {best:g} of {len(design)} design rows"
    return radius, PopulationCheck("radius", finding, "ok", {"radius": radius, "design_rows": len(design)})


def _by_leave_one_out(design: Rows) -> float:
    path = ridge_path(design, np.geomspace(1e-6, 1e2, 33))
    norm = float(path.norms[int(np.argmin(path.leave_one_out_loss))])
    return min(GRID, key=lambda radius: abs(np.log(radius / max(norm, 1e-12))))


def _by_folds(design: Rows, split_seed: int) -> float:
    fold = stream("radius", split_seed, len(design)).permutation(len(design)) % FOLDS
    losses = np.full(len(GRID), np.inf)
    subsets = fold != np.arange(FOLDS)[:, None]
    start: Matrix | None = None
    for step, radius in enumerate(GRID):
        start = minimise_subsets(design, subsets, radius, start, tolerance=1e-3).weights
        held = np.empty(len(design))
        for kept, weights in zip(subsets, start, strict=True):
            held[~kept] = per_example_loss(design.features[~kept] @ weights, design.labels[~kept], design.loss)
        losses[step] = held.mean()
        if step >= 2 and losses[step] > losses[step - 1] > losses[step - 2]:
            break
    return GRID[int(np.argmin(losses))]
