"""Fits that bracket the floor: minima on all rows but design, cross-validated losses, other radii, row groups.

Pool = fit + holdout rows, N of them. For the midpoint: losses per row of the minimiser on the pool and of five-fold
cross-validation, on the pool and on a random half of it. Fits start from a minimiser of more rows: a warm start changes
the time, not the certified minimum. It would change losses on rows left out that were fitted by the start, where many
adapters are within the tolerance: there (`_start`) fits are cold (docs/decisions/2026-11-22-midpoint-few-rows.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limen.adapt.ball import BallFit, Rows, minimise
from limen.adapt.curve import CURVE_TOLERANCE, TOLERANCE, Point, run_threads
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.prepare import Prepared
from limen.adapt.radius import PATH_STEPS
from limen.adapt.split import JACKKNIFE_GROUPS
from limen.arrays.random import stream
from limen.records.task import Integers

FOLDS = 5
JACKKNIFE_TOLERANCE = 3e-3  # moves a held-out loss by 2e-4 where leaving a group out moves it by 5e-3
CLOSE_FIT = 10.0
"""Training loss, in tolerances, below which a start that has seen the rows left out would be returned unchanged."""


@dataclass(frozen=True, slots=True)
class Midpoint:
    """Per-row losses of the minimiser and of five-fold cross-validation on one set of rows, and its certificate."""

    fit: BallFit
    train_loss: Matrix
    cross_validated_loss: Matrix


def pool_rows(prepared: Prepared) -> Rows:
    """Fit rows, then holdout rows."""
    fit, holdout = prepared.fit, prepared.holdout
    features = np.concatenate([fit.features, holdout.features])
    return Rows(features, np.concatenate([fit.labels, holdout.labels]), fit.classes, fit.loss)


def midpoints(prepared: Prepared, radius: float, start: Matrix, threads: int) -> tuple[Midpoint, Midpoint, Integers]:
    """On the whole pool, on a random half of its blocks, and the rows of that half."""
    pool = pool_rows(prepared)
    block = np.concatenate([prepared.fit_blocks, prepared.holdout_blocks])
    block = np.unique(block, return_inverse=True)[1].astype(np.int64)
    draw = stream("folds", prepared.spec.split_seed, len(pool))
    rank = draw.permutation(int(block.max()) + 1)[block]
    whole = _midpoint(pool, rank % FOLDS, radius, start, threads)
    half = np.flatnonzero(rank < (int(block.max()) + 1) // 2)
    halved = _midpoint(pool.take(half), rank[half] % FOLDS, radius, whole.fit.weights, threads)
    return whole, halved, half


def _midpoint(rows: Rows, fold: Integers, radius: float, start: Matrix, threads: int) -> Midpoint:
    fit = minimise(rows, radius, start, TOLERANCE)
    out_loss = np.empty(len(rows))

    def one(k: int) -> None:
        start = _start(fit, CURVE_TOLERANCE)
        trained = minimise(rows.take(np.flatnonzero(fold != k)), radius, start, CURVE_TOLERANCE)
        out = np.flatnonzero(fold == k)
        out_loss[out] = per_example_loss(rows.features[out] @ trained.weights, rows.labels[out], rows.loss)

    run_threads(one, range(FOLDS), threads)
    return Midpoint(fit, per_example_loss(rows.features @ fit.weights, rows.labels, rows.loss), out_loss)


def _start(fitted: BallFit, tolerance: float) -> Matrix | None:
    """Warm start for a fit on fewer of the same rows, None (cold) where the fit is so close that it would leak."""
    return fitted.weights if fitted.loss > CLOSE_FIT * tolerance else None


def holdout_minimum(prepared: Prepared, radius: float, start: Matrix) -> tuple[BallFit, Matrix]:
    """Certified minimum on the holdout itself and its losses per row: one side of the paired swap bound."""
    rows = prepared.holdout
    fit = minimise(rows, radius, start, TOLERANCE)
    return fit, per_example_loss(rows.features @ fit.weights, rows.labels, rows.loss)


@dataclass(frozen=True, slots=True)
class PathPoint:
    """One radius of the floor path: certified minimum on the pool, and holdout losses of the probe of the fit part."""

    radius: float
    minimum: float
    holdout_loss: Matrix


def floor_path(prepared: Prepared, radius: float, known: tuple[BallFit, Point], threads: int) -> list[PathPoint]:
    """The path over PATH_STEPS·radius; the fits at `radius` itself (pool, final probe) are already `known`."""
    pool, final = known
    rows = pool_rows(prepared)

    def one(step: float) -> PathPoint:
        if step == 1:
            return PathPoint(radius, pool.minimum, final.holdout_loss)
        assert final.fit is not None
        fit = minimise(prepared.fit, step * radius, final.fit.weights, CURVE_TOLERANCE)
        best = minimise(rows, step * radius, pool.weights, CURVE_TOLERANCE)
        scores = prepared.holdout.features @ fit.weights
        loss = per_example_loss(scores, prepared.holdout.labels, rows.loss)
        return PathPoint(step * radius, best.minimum, loss)

    return run_threads(one, PATH_STEPS, threads)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The curve without each row group: label counts, training losses, holdout losses and errors [groups, points]."""

    n: Matrix
    train: Matrix
    holdout: Matrix
    error: Matrix


def jackknife_curve(prepared: Prepared, radius: float, points: list[Point], threads: int) -> Deleted | None:
    """The curve with each row group left out everywhere and the grid refitted; None where groups would be too small.

    `points` are those of one seed and "all": deleting a group changes every one of them.
    """
    n_fit = len(prepared.fit)
    fit_group, holdout_group = prepared.pool_groups[:n_fit], prepared.pool_groups[n_fit:]
    units = len(np.unique(np.concatenate([prepared.fit_blocks, prepared.holdout_blocks])))
    smallest = min(int(point.rows.size - np.bincount(fit_group[point.rows]).max()) for point in points)
    if units < 2 * JACKKNIFE_GROUPS or len(np.unique(holdout_group)) < 2 or smallest < 2:
        return None

    def one(group: int) -> list[tuple[float, float, float, float]]:
        out = []
        kept = holdout_group != group
        labels = prepared.holdout.labels[kept]
        for point in points:
            rows = point.rows[fit_group[point.rows] != group]
            assert point.fit is not None
            start = _start(point.fit, JACKKNIFE_TOLERANCE)
            fit = minimise(prepared.fit.take(rows), radius, start, JACKKNIFE_TOLERANCE)
            scores = prepared.holdout.features[kept] @ fit.weights
            held = per_example_loss(scores, labels, prepared.spec.loss)
            wrong = predictions(scores) != labels
            out.append((float(len(rows)), fit.loss, float(held.mean()), float(wrong.mean())))
        return out

    table = np.array(run_threads(one, range(JACKKNIFE_GROUPS), threads))
    return Deleted(*(table[:, :, k] for k in range(4)))
