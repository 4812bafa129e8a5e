"""Fits at every (label count, seed), scored on the holdout: the raw material of learning curve and budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from limen.adapt.ball import BallFit, Rows, coordinates, minimise_near, steering_at
from limen.adapt.discriminant import shrunk_discriminant
from limen.adapt.feature_map import Matrix
from limen.adapt.log_ball import Steering
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.mapped_rows import feature_blocks
from limen.adapt.mean_classifier import mean_classifier
from limen.adapt.nearest_neighbours import neighbour_scores
from limen.adapt.prepare import Prepared
from limen.adapt.split import stratified_subset, subset_order
from limen.adapt.squared_fits import nested_fits
from limen.records.errors import BadInput, Problem
from limen.records.task import FitSpec, Integers, Loss

Item = TypeVar("Item")
Result = TypeVar("Result")

TOLERANCE = 1e-4
CURVE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Point:
    """One fitted adapter: label count, seed (None = all rows), losses per holdout row and on its own rows."""

    n: int
    seed: int | None
    rows: Integers
    """Positions within the fit part."""
    train_loss: float
    holdout_loss: Matrix
    holdout_prediction: Integers
    fit: BallFit | None
    """Weights and certificate; None for adapters outside the ball."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """An adapter as a function from mapped features to scores."""

    scores: Callable[[Matrix], Matrix]
    fit: BallFit | None
    steering: Steering | None = None
    """What a probe leaves for similar fits."""


def adapt(rows: Rows, spec: FitSpec, radius: float | None, tolerance: float, near: Adapted | None = None) -> Adapted:
    """Fit one adapter, from and with the steering of a similar one where given.

    Raises ValueError for an unknown method, a probe without radius, rows no mean can be made of.
    """
    method = spec.method
    if method == "linear-probe":
        if radius is None:
            raise ValueError("a linear probe needs a radius")
        start = near.fit.weights if near is not None and near.fit is not None else None
        fit, steering = minimise_near(rows, radius, start, tolerance, near.steering if near else None)
        return Adapted(lambda x: x @ fit.weights, fit, steering)
    if method == "mean-classifier":
        return _probabilistic(mean_classifier(rows), rows.loss)
    if method == "lda":
        return _probabilistic(shrunk_discriminant(rows), rows.loss)
    if method == "knn":
        return _probabilistic(lambda x: neighbour_scores(rows, x, spec.neighbours), rows.loss)
    raise ValueError(f"unknown method {method!r}; expected linear-probe, mean-classifier, lda or knn")


def _probabilistic(log_probabilities: Callable[[Matrix], Matrix], loss: Loss) -> Adapted:
    """Scores of an adapter that gives log-probabilities: they are what the log loss reads; the squared loss reads p."""
    if loss == "log":
        return Adapted(log_probabilities, None)
    return Adapted(lambda x: np.exp(log_probabilities(x)), None)


def fit_curve(
    prepared: Prepared, radius: float | None, counts: tuple[int, ...], threads: int
) -> tuple[tuple[Point, ...], Adapted, tuple[Steering | None, ...]]:
    """Every point of the grid in order (n, seed), "all" last; the adapter of all fit rows; steering at each n."""
    spec = prepared.spec
    small = [n for n in counts if n < len(prepared.fit)]

    base = Adapted(_no_scores, None, coordinates(prepared.fit) if spec.method == "linear-probe" else None)

    def chain(seed: int, steered: list[Adapted]) -> list[Point]:
        order = subset_order(len(prepared.fit), spec.split_seed, seed)
        if radius is not None and (spec.loss, spec.subsets) == ("squared", "uniform"):
            fits = nested_fits(prepared.fit.take(order[: small[-1]]), small, radius)
            return _scored(prepared, fits, [order[:n] for n in small], seed)
        points: list[Point] = []
        for k, n in enumerate(small):
            rows = _subset(prepared, order, n)
            steering = steered[k].steering if steered else base.steering
            near = replace(base, fit=points[-1].fit if points else None, steering=steering)
            adapted = adapt(prepared.fit.take(rows), spec, radius, CURVE_TOLERANCE, near)
            points.append(_score(prepared, adapted, rows, seed))
        return points

    # the first chain leaves its curvature at every label count to the others, which then go side by side
    first = chain(0, []) if small else []
    steered = run_threads(lambda point: _steered(prepared, point, base), first, threads)
    near = replace(steered[-1], fit=first[-1].fit) if first else base
    final, others = side_by_side(
        lambda: adapt(prepared.fit, spec, radius, TOLERANCE, near),
        lambda: run_threads(lambda seed: chain(seed, steered), range(1, spec.seeds), threads) if small else [],
        threads=threads,
    )
    points = [chain_points[k] for k in range(len(small)) for chain_points in (first, *others)]
    last = _score(prepared, final, np.arange(len(prepared.fit)), None)
    steered.append(_steered(prepared, last, base))
    return (*points, last), final, tuple(a.steering for a in steered)


def _steered(prepared: Prepared, point: Point, base: Adapted) -> Adapted:
    if point.fit is None:
        return base
    return replace(base, steering=steering_at(prepared.fit.take(point.rows), point.fit, base.steering))


def _no_scores(features: Matrix) -> Matrix:
    raise ValueError("nothing is fitted yet")


def run_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """Map over threads (BLAS releases the interpreter lock); results keep the order, and do not depend on `threads`."""
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def side_by_side(*parts: Callable[[], Any], threads: int) -> list[Any]:
    """Results of independent parts, at the same time where there is more than one thread.

    Each part may use `threads` again: processors that one leaves idle go to another.
    """
    return run_threads(lambda part: part(), parts, len(parts) if threads > 1 else 1)


def _subset(prepared: Prepared, order: Integers, n: int) -> Integers:
    if prepared.spec.subsets == "uniform":
        return order[:n]
    try:
        return stratified_subset(prepared.fit.labels, order, n, prepared.classes)
    except ValueError as error:
        raise BadInput(Problem("labels", str(error), fix='raise it, or use subsets = "uniform"')) from error


def _score(prepared: Prepared, adapted: Adapted, rows: Integers, seed: int | None) -> Point:
    spec, chosen = prepared.spec, prepared.fit.take(rows)
    scores = adapted.scores(prepared.holdout.features)
    train = adapted.fit.loss if adapted.fit else _train_loss(adapted, chosen)
    return Point(
        n=len(rows),
        seed=seed,
        rows=rows,
        train_loss=train,
        holdout_loss=per_example_loss(scores, prepared.holdout.labels, spec.loss),
        holdout_prediction=predictions(scores),
        fit=adapted.fit,
    )


def _scored(prepared: Prepared, fits: Sequence[BallFit], rows: Sequence[Integers], seed: int | None) -> list[Point]:
    """Points of several probes, from one pass over the holdout."""
    losses, predicted = holdout_losses(prepared, [fit.weights for fit in fits])
    return [
        Point(len(mine), seed, mine, fit.loss, losses[k], predicted[k], fit)
        for k, (fit, mine) in enumerate(zip(fits, rows, strict=True))
    ]


def holdout_losses(prepared: Prepared, weights: Sequence[Matrix]) -> tuple[Matrix, Integers]:
    """Losses and predictions of several probes on every holdout row [probes, m], from one pass over them."""
    holdout, classes = prepared.holdout, prepared.classes
    every = np.hstack(list(weights))
    losses = np.empty((len(weights), len(holdout)))
    predicted = np.empty(losses.shape, dtype=np.int64)
    for positions, block in feature_blocks(holdout.features):
        scores = block @ every
        for k in range(len(weights)):
            own = scores[:, k * classes : (k + 1) * classes]
            losses[k, positions] = per_example_loss(own, holdout.labels[positions], holdout.loss)
            predicted[k, positions] = predictions(own)
    return losses, predicted


def _train_loss(adapted: Adapted, rows: Rows) -> float:
    return float(per_example_loss(adapted.scores(rows.features), rows.labels, rows.loss).mean())
