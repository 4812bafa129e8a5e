"""Fits that bracket the floor: minima on all rows but design, cross-validated losses, other radii, row groups.

Pool = fit + holdout rows, N of them. For the midpoint: losses per row of the minimiser on the pool and of five-fold
cross-validation, on the pool and on a random half of it. Fits start from a minimiser of more rows and with its
curvature: that changes the time, not the certified minimum (`limen.adapt.ball.start_from` says where it must not).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from limen.adapt.ball import BallFit, Rows, minimise, minimise_near, minimise_subsets, start_from, steering_at
from limen.adapt.curve import CURVE_TOLERANCE, TOLERANCE, Point, run_threads
from limen.adapt.feature_map import Matrix
from limen.adapt.log_ball import Steering
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.prepare import Prepared
from limen.adapt.radius import PATH_STEPS
from limen.adapt.split import JACKKNIFE_GROUPS
from limen.arrays.random import stream
from limen.records.task import Integers

FOLDS = 5
JACKKNIFE_TOLERANCE = 1e-3
FAT_COLUMNS = 200
"""Classes times problems in one lockstep: products of this width run near the machine's rate."""


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


def midpoints(
    prepared: Prepared, near: BallFit, steering: Steering | None, threads: int
) -> tuple[Midpoint, Midpoint, Integers]:
    """On the whole pool, on a random half of its blocks, and the rows of that half; `near` is the final probe."""
    pool = pool_rows(prepared)
    block = np.concatenate([prepared.fit_blocks, prepared.holdout_blocks])
    block = np.unique(block, return_inverse=True)[1].astype(np.int64)
    draw = stream("folds", prepared.spec.split_seed, len(pool))
    rank = draw.permutation(int(block.max()) + 1)[block]
    whole, steering = _midpoint(pool, rank % FOLDS, (near, steering), threads)
    half = np.flatnonzero(rank < (int(block.max()) + 1) // 2)
    halved, _ = _midpoint(pool.take(half), rank[half] % FOLDS, (whole.fit, steering), threads)
    return whole, halved, half


def _midpoint(
    rows: Rows, fold: Integers, near: tuple[BallFit, Steering | None], threads: int
) -> tuple[Midpoint, Steering | None]:
    start, steering = near
    fit, steering = minimise_near(rows, start.radius, start.weights, TOLERANCE, steering)
    steering = steering_at(rows, fit, steering)
    out_loss = np.empty(len(rows))

    def some(folds: Integers) -> None:
        subsets = fold != folds[:, None]
        found = minimise_subsets(
            rows, subsets, fit.radius, start_from(fit, len(folds), CURVE_TOLERANCE), CURVE_TOLERANCE, steering
        )
        for kept, weights in zip(subsets, found.weights, strict=True):
            out_loss[~kept] = per_example_loss(rows.features[~kept] @ weights, rows.labels[~kept], rows.loss)

    run_threads(some, lockstep(FOLDS, rows.classes), threads)
    losses = per_example_loss(rows.features @ fit.weights, rows.labels, rows.loss)
    return Midpoint(fit, losses, out_loss), steering


def lockstep(problems: int, classes: int) -> list[Integers]:
    """Problems that go in one lockstep: enough to make products fat, few enough to leave work for other threads.

    >>> [part.tolist() for part in lockstep(5, 77)]
    [[0, 1], [2, 3], [4]]
    """
    size = max(1, FAT_COLUMNS // classes)
    return [np.arange(start, min(start + size, problems)) for start in range(0, problems, size)]


def holdout_minimum(prepared: Prepared, near: BallFit) -> tuple[BallFit, Matrix]:
    """Certified minimum on the holdout itself and its losses per row: one side of the paired swap bound."""
    rows = prepared.holdout
    fit = minimise(rows, near.radius, near.weights, TOLERANCE)
    return fit, per_example_loss(rows.features @ fit.weights, rows.labels, rows.loss)


@dataclass(frozen=True, slots=True)
class PathPoint:
    """One radius of the floor path: certified minimum on the pool, and holdout losses of the probe of the fit part."""

    radius: float
    minimum: float
    holdout_loss: Matrix


def floor_path(prepared: Prepared, pool: BallFit, final: Point, threads: int) -> list[PathPoint]:
    """The path over PATH_STEPS·radius; the fits at the radius itself (pool, final probe) are already known."""
    rows = pool_rows(prepared)

    def one(step: float) -> PathPoint:
        if step == 1:
            return PathPoint(pool.radius, pool.minimum, final.holdout_loss)
        assert final.fit is not None
        radius = step * pool.radius
        fit, steering = minimise_near(prepared.fit, radius, final.fit.weights, CURVE_TOLERANCE)
        best, _ = minimise_near(rows, radius, fit.weights, CURVE_TOLERANCE, steering)
        scores = prepared.holdout.features @ fit.weights
        loss = per_example_loss(scores, prepared.holdout.labels, rows.loss)
        return PathPoint(radius, best.minimum, loss)

    return run_threads(one, PATH_STEPS, threads)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The curve without each row group: label counts, training losses, holdout losses and errors [groups, points]."""

    n: Matrix
    train: Matrix
    holdout: Matrix
    error: Matrix


def jackknife_curve(
    prepared: Prepared, points: list[Point], steering: tuple[Steering | None, ...], threads: int
) -> Deleted | None:
    """The curve with each row group left out everywhere and the grid refitted; None where groups would be too small.

    `points` are those of one seed and "all": deleting a group changes every one of them.
    """
    n_fit = len(prepared.fit)
    fit_group, holdout_group = prepared.pool_groups[:n_fit], prepared.pool_groups[n_fit:]
    units = len(np.unique(np.concatenate([prepared.fit_blocks, prepared.holdout_blocks])))
    smallest = min(int(point.rows.size - np.bincount(fit_group[point.rows]).max()) for point in points)
    if units < 2 * JACKKNIFE_GROUPS or len(np.unique(holdout_group)) < 2 or smallest < 2:
        return None
    own = [_rows_of(prepared, point, near) for point, near in zip(points, steering, strict=True)]
    table = np.empty((4, JACKKNIFE_GROUPS, len(points)))

    def some(task: tuple[int, Integers]) -> None:
        which, groups = task
        point = points[which]
        assert point.fit is not None
        subsets = fit_group[point.rows] != groups[:, None]
        rows = own[which]
        start = start_from(point.fit, len(groups), JACKKNIFE_TOLERANCE)
        found = minimise_subsets(rows, subsets, point.fit.radius, start, JACKKNIFE_TOLERANCE, steering[which])
        for k, group in enumerate(groups):
            kept = holdout_group != group
            scores, labels = prepared.holdout.features[kept] @ found.weights[k], prepared.holdout.labels[kept]
            held = per_example_loss(scores, labels, prepared.spec.loss)
            wrong = predictions(scores) != labels
            table[:, group, which] = int(subsets[k].sum()), found.losses[k], held.mean(), wrong.mean()

    largest = np.argsort([-point.n for point in points], kind="stable")
    work = [(int(k), groups) for k in largest for groups in lockstep(JACKKNIFE_GROUPS, prepared.classes)]
    run_threads(some, work, threads)
    return Deleted(*table)


def _rows_of(prepared: Prepared, point: Point, near: Steering | None) -> Rows:
    """The rows of a point, sharing the features that its steering has coordinates of."""
    if near is None or near.source is None:
        return prepared.fit.take(point.rows)
    return replace(prepared.fit, features=near.source, labels=prepared.fit.labels[point.rows])
