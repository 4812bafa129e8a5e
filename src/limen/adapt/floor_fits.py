"""Fits that bracket the floor: minima on all rows but design, cross-validated losses, other radii, row groups.

Pool = fit + holdout rows, N of them. For the midpoint: losses per row of the minimiser on the pool and of five-fold
cross-validation, on the pool and on a random half of it. Fits start from a minimiser of more rows and with its
curvature: that changes the time, not the certified minimum (`limen.adapt.ball.start_from` says where it must not).
Fits of the squared loss share their sums over the rows instead (`limen.adapt.squared_fits`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from limen.adapt.ball import (
    BallFit,
    Rows,
    SubsetFits,
    minimise,
    minimise_near,
    minimise_subsets,
    start_from,
    steering_at,
)
from limen.adapt.curve import CURVE_TOLERANCE, TOLERANCE, Point, holdout_losses, run_threads
from limen.adapt.feature_map import Matrix
from limen.adapt.log_ball import Steering
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.mapped_rows import feature_blocks, joined
from limen.adapt.prepare import Prepared
from limen.adapt.radius import PATH_STEPS
from limen.adapt.split import JACKKNIFE_GROUPS
from limen.adapt.squared_fits import certified_prefixes, radius_fits, subset_fits
from limen.arrays.random import stream
from limen.records.task import Integers

FOLDS = 5
JACKKNIFE_TOLERANCE = 1e-3
FAT_COLUMNS = 400
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
    features = joined([fit.features, holdout.features])
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
    if rows.loss == "squared":
        return _squared_midpoint(rows, fold, start.radius), None
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


def _squared_midpoint(rows: Rows, fold: Integers, radius: float) -> Midpoint:
    kept = np.vstack([np.ones(len(rows), dtype=bool), fold != np.arange(FOLDS)[:, None]])
    weights = subset_fits(rows, kept, radius).weights
    (fit,) = certified_prefixes(rows, [weights[0]], [len(rows)], [radius])
    every = np.hstack(list(weights)).reshape(rows.features.shape[1], FOLDS + 1, -1)
    losses, out_loss = np.empty(len(rows)), np.empty(len(rows))
    for positions, block in feature_blocks(rows.features):
        scores = (block @ every.reshape(len(every), -1)).reshape(len(block), FOLDS + 1, -1)
        labels, out = rows.labels[positions], scores[np.arange(len(block)), 1 + fold[positions]]
        losses[positions] = per_example_loss(scores[:, 0], labels, rows.loss)
        out_loss[positions] = per_example_loss(out, labels, rows.loss)
    return Midpoint(fit, losses, out_loss)


def lockstep(problems: int, classes: int) -> list[Integers]:
    """Problems that go in one lockstep: enough to make products fat, few enough to leave work for other threads.

    >>> [part.tolist() for part in lockstep(7, 77)]
    [[0, 1, 2, 3, 4], [5, 6]]
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
    if rows.loss == "squared":
        return _squared_path(prepared, rows, (pool, final), threads)

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


def _squared_path(prepared: Prepared, rows: Rows, known: tuple[BallFit, Point], threads: int) -> list[PathPoint]:
    pool, final = known
    radii = [step * pool.radius for step in PATH_STEPS if step != 1]
    fits, best = run_threads(lambda part: radius_fits(part, radii), [prepared.fit, rows], threads)
    losses, _ = holdout_losses(prepared, [fit.weights for fit in fits])
    points = [PathPoint(r, b.minimum, loss) for r, b, loss in zip(radii, best, losses, strict=True)]
    points.insert(PATH_STEPS.index(1.0), PathPoint(pool.radius, pool.minimum, final.holdout_loss))
    return points


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
        found = _without_groups(rows, subsets, point.fit, steering[which])
        table[0, groups, which] = subsets.sum(axis=1)
        table[1, groups, which] = found.losses
        table[2:, groups, which] = _held_means(prepared, found.weights, holdout_group != groups[:, None])

    largest = np.argsort([-point.n for point in points], kind="stable")
    together = lockstep(JACKKNIFE_GROUPS, 1 if prepared.spec.loss == "squared" else prepared.classes)
    work = [(int(k), groups) for k in largest for groups in together]
    run_threads(some, work, threads)
    return Deleted(*table)


def _without_groups(rows: Rows, subsets: NDArray[np.bool_], fit: BallFit, near: Steering | None) -> SubsetFits:
    if rows.loss == "squared":
        return subset_fits(rows, subsets, fit.radius)
    start = start_from(fit, len(subsets), JACKKNIFE_TOLERANCE)
    return minimise_subsets(rows, subsets, fit.radius, start, JACKKNIFE_TOLERANCE, near)


def _held_means(prepared: Prepared, weights: Matrix, kept: NDArray[np.bool_]) -> Matrix:
    """Mean loss and error of each adapter [B, p, K] on its `kept` holdout rows [B, m]: [2, B]."""
    holdout, classes = prepared.holdout, prepared.classes
    every, sums = np.hstack(list(weights)), np.zeros((2, len(weights)))
    for positions, block in feature_blocks(holdout.features):
        scores, labels = block @ every, holdout.labels[positions]
        for k, mine in enumerate(kept[:, positions]):
            own = scores[:, k * classes : (k + 1) * classes]
            sums[0, k] += per_example_loss(own, labels, holdout.loss)[mine].sum()
            sums[1, k] += np.count_nonzero((predictions(own) != labels)[mine])
    means: Matrix = sums / kept.sum(axis=1)
    return means


def _rows_of(prepared: Prepared, point: Point, near: Steering | None) -> Rows:
    """The rows of a point, sharing the features that its steering has coordinates of."""
    if near is None or near.source is None:
        return prepared.fit.take(point.rows)
    return replace(prepared.fit, features=near.source, labels=prepared.fit.labels[point.rows])
