"""One world seen through one class, whose floor is then known, and samples of it, fitted as a fit cell fits them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from limen.adapt.ball import BallFit, Rows, minimise
from limen.adapt.feature_map import FeatureMap, design_map
from limen.adapt.floor_fits import FOLDS, midpoints, pool_rows
from limen.adapt.losses import loss_range, per_example_loss
from limen.adapt.prepare import Prepared
from limen.adapt.truth import Truth
from limen.data.worlds.population import Population
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, Loss

from .worlds import WORLDS

CONFIDENCE = 0.95
HOLDOUT = 0.2 / 0.95  # of the pool: the split's 20 % against fit's 75 %
DESIGN = 200
LEAST_POOL = 60
UNBOUNDED = 300.0
"""Radius at which the least loss of a world is taken for that without a ball."""


@dataclass(frozen=True)
class Setting:
    """One world seen through one feature map with one radius: its floor is known."""

    truth: Truth
    phi: FeatureMap
    radius: float
    floor: float
    group: int = 1
    """Rows of a group; they lie together in the population."""

    @property
    def parameters(self) -> int:
        return (self.truth.rows.classes - 1) * self.truth.rows.features.shape[1]

    def rows_at(self, ratio: float) -> int:
        """Rows of a pool with that many rows a parameter, LEAST_POOL at least."""
        n = max(round(ratio * self.parameters), LEAST_POOL)
        return n + -n % self.group


def setting(world: Population, factor: float, loss: Loss = "log", group: int = 1) -> Setting:
    """Radius = factor × the norm of the unconstrained minimiser of the population; design rows are drawn once."""
    phi = design_map(world.sample(DESIGN, np.random.default_rng(1)).features)
    truth = Truth.of(world, phi, loss)
    free = float(np.linalg.norm(minimise(truth.rows, UNBOUNDED, tolerance=1e-4).weights))
    return at_radius(truth, phi, factor * free, group)


def at_radius(truth: Truth, phi: FeatureMap, radius: float, group: int = 1) -> Setting:
    return Setting(truth, phi, radius, truth.minimum(radius).loss, group)


@cache
def known(world: str, factor: float, loss: Loss = "log") -> Setting:
    """A setting of the catalogue, computed once a process."""
    at = WORLDS[world]
    return setting(at.population(), factor, loss, at.group)


@dataclass(frozen=True)
class Sample:
    """A pool of i.i.d. rows (or groups), split, and its final probe."""

    prepared: Prepared
    final: BallFit
    at: Setting

    @property
    def pool(self) -> Rows:
        return pool_rows(self.prepared)


def sample(at: Setting, n: int, rng: np.random.Generator) -> Sample:
    """n rows with replacement, whole groups where there are groups; the holdout is the last of them."""
    return taken(at, draw_rows(at, n, rng))


def draw_rows(at: Setting, n: int, rng: np.random.Generator) -> np.ndarray:
    drawn = rng.integers(0, len(at.truth.rows) // at.group, -(-n // at.group))
    rows: np.ndarray = (drawn[:, None] * at.group + np.arange(at.group)).ravel()
    return rows


def taken(at: Setting, rows: np.ndarray) -> Sample:
    n, chosen = len(rows), at.truth.rows.take(rows)
    held = round(HOLDOUT * n / at.group) * at.group
    fit, holdout = chosen.take(np.arange(n - held)), chosen.take(np.arange(n - held, n))
    unit = np.arange(n) // at.group
    grouped = at.group > 1
    prepared = Prepared(
        spec=FitSpec(radius=at.radius, loss=chosen.loss),
        classes=fit.classes,
        phi=at.phi,
        design=fit,
        fit=fit,
        holdout=holdout,
        fit_blocks=unit[: len(fit)],
        holdout_blocks=unit[len(fit) :],
        holdout_groups=unit[len(fit) :] if grouped else None,
        fit_groups=unit[: len(fit)] if grouped else None,
        pool_groups=unit % 20,
        populations={},
        checks=(),
    )
    return Sample(prepared, minimise(fit, at.radius, tolerance=1e-4), at)


def record(drawn: Sample, with_midpoint: bool = True) -> StageRecord:
    """What the sides of the floor read of a fit cell."""
    prepared, at, pool = drawn.prepared, drawn.at, drawn.pool
    fit, holdout = prepared.fit, prepared.holdout
    losses = per_example_loss(holdout.features @ drawn.final.weights, holdout.labels, holdout.loss)
    arrays = {"curve_holdout_loss": losses[None]}
    if prepared.fit_groups is not None and prepared.holdout_groups is not None:
        arrays |= {"fit_groups": prepared.fit_groups, "holdout_groups": prepared.holdout_groups}
    if with_midpoint:
        whole, half, half_rows = midpoints(prepared, drawn.final, None, threads=1)
        best = whole.fit
        arrays |= {
            "pool_train_loss": whole.train_loss,
            "pool_cross_validated_loss": whole.cross_validated_loss,
            "half_rows": half_rows,
            "half_train_loss": half.train_loss,
            "half_cross_validated_loss": half.cross_validated_loss,
        }
    else:
        best = minimise(pool, at.radius, drawn.final.weights, tolerance=1e-4)
    data = {
        "radius": at.radius,
        "classes": pool.classes,
        "dimension": pool.features.shape[1],
        "n_fit": len(fit),
        "n_holdout": len(holdout),
        "loss_range": loss_range(pool.loss, pool.classes, at.radius, at.phi.norm_bound),
        "pool": {"n": len(pool), "minimum": best.minimum, "gap": best.gap, "folds": FOLDS},
        "population_checks": [],
        "same_population": False,
    }
    return StageRecord("fit", 1, data, arrays)
