"""Fits at every (label count, seed), scored on the holdout: the raw material of learning curve and budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from limen.adapt.ball import BallFit, Rows, minimise
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.mean_classifier import mean_classifier
from limen.adapt.nearest_neighbours import neighbour_scores
from limen.adapt.prepare import Prepared
from limen.adapt.split import stratified_subset, subset_order
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


def adapt(rows: Rows, spec: FitSpec, radius: float | None, start: Matrix | None, tolerance: float) -> Adapted:
    """Fit one adapter. Raises ValueError for an unknown method, a probe without radius, rows no mean can be made of."""
    method = spec.method
    if method == "linear-probe":
        if radius is None:
            raise ValueError("a linear probe needs a radius")
        fit = minimise(rows, radius, start, tolerance)
        return Adapted(lambda x: x @ fit.weights, fit)
    if method == "mean-classifier":
        return _probabilistic(mean_classifier(rows), rows.loss)
    if method == "knn":
        return _probabilistic(lambda x: neighbour_scores(rows, x, spec.neighbours), rows.loss)
    raise ValueError(f"unknown method {method!r}; expected linear-probe, mean-classifier or knn")


def _probabilistic(log_probabilities: Callable[[Matrix], Matrix], loss: Loss) -> Adapted:
    """Scores of an adapter that gives log-probabilities: they are what the log loss reads; the squared loss reads p."""
    if loss == "log":
        return Adapted(log_probabilities, None)
    return Adapted(lambda x: np.exp(log_probabilities(x)), None)


def fit_curve(
    prepared: Prepared, radius: float | None, counts: tuple[int, ...], threads: int
) -> tuple[tuple[Point, ...], Adapted]:
    """Every point of the grid in order (n, seed), "all" last; and the adapter fitted on all fit rows."""
    spec = prepared.spec
    small = [n for n in counts if n < len(prepared.fit)]

    def chain(seed: int) -> list[Point]:
        order = subset_order(len(prepared.fit), spec.split_seed, seed)
        points, start = [], None
        for n in small:
            rows = _subset(prepared, order, n)
            adapted = adapt(prepared.fit.take(rows), spec, radius, start, CURVE_TOLERANCE)
            start = adapted.fit.weights if adapted.fit else None
            points.append(_score(prepared, adapted, rows, seed))
        return points

    chains = run_threads(chain, range(spec.seeds), threads) if small else []
    points = [chain_points[k] for k in range(len(small)) for chain_points in chains]
    last = chains[0][-1].fit if chains else None
    start = last.weights if last else None
    everything = np.arange(len(prepared.fit))
    final = adapt(prepared.fit, spec, radius, start, TOLERANCE)
    return (*points, _score(prepared, final, everything, None)), final


def run_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """Map over threads (BLAS releases the interpreter lock); results keep the order, and do not depend on `threads`."""
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


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


def _train_loss(adapted: Adapted, rows: Rows) -> float:
    return float(per_example_loss(adapted.scores(rows.features), rows.labels, rows.loss).mean())
