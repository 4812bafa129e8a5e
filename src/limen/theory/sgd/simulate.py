"""The recursions themselves, many replicas at once: what every closed form is checked against.

`simulate` runs the update of `problem` mode by mode with Gaussian batch noise under one of four sampling orders

    iid, replacement  noise independent from step to step (iid: the covariance of a batch of distinct examples)
    reshuffle         an epoch's M noises are M Gaussians less their mean, scaled to covariance C: they sum to 0
    same-order        one such epoch of noises, repeated for ever

`simulate_regression` runs minibatch SGD of least squares on real rows, where noise is whatever the rows make it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.arrays.random import stream
from limen.records.errors import BadInput, Problem
from limen.theory.sgd.problem import Floats, Modes

Sampling = Literal["iid", "replacement", "reshuffle", "same-order"]
SAMPLINGS = ("iid", "replacement", "reshuffle", "same-order")


@dataclass(frozen=True, slots=True)
class Simulated:
    """Recorded states of all replicas."""

    steps: NDArray[np.int64]
    """Updates made when each was recorded [T]."""
    positions: Floats
    """x = θ − μ: [T, replicas, L]."""
    velocities: Floats
    """v = −buffer: [T, replicas, L]."""


def simulate(
    problem: Modes, steps: ArrayLike, replicas: int, sampling: Sampling = "iid", steps_per_epoch: int | None = None,
    seed: int = 0,
) -> Simulated:  # fmt: skip
    """Replicas from (offset, v = 0), recorded after the numbers of updates in `steps` [T] (ascending).

    >>> run = simulate(Modes([1.0], [0.0], learning_rate=0.5, offset=[8.0]), [0, 1, 3], replicas=1)
    >>> run.positions.ravel().tolist()
    [8.0, 4.0, 1.0]

    Raises BadInput for an unknown sampling, steps not ascending, reshuffle or same-order without steps_per_epoch ≥ 2.
    """
    at = _ascending(steps)
    _check(sampling, steps_per_epoch)
    p, modes = problem, len(problem.curvature)
    x, v = np.tile(p.offset, (replicas, 1)), np.zeros((replicas, modes))
    noises = _noises(p, replicas, sampling, steps_per_epoch or 0, seed)
    kept_x, kept_v = np.empty((len(at), replicas, modes)), np.empty((len(at), replicas, modes))
    done = 0
    for i, stop in enumerate(at):
        for _ in range(stop - done):
            x, v = update(p, x, v, p.stiffness * x + next(noises), first=done == 0)
            done += 1
        kept_x[i], kept_v[i] = x, v
    return Simulated(at, kept_x, kept_v)


def update(problem: Modes, x: Floats, v: Floats, gradient: Floats, first: bool) -> tuple[Floats, Floats]:
    """One update of torch.optim.SGD with velocity v = −buffer; the first gradient is not dampened."""
    p = problem
    v = p.momentum * v - (1.0 if first else 1 - p.dampening) * gradient
    move = p.momentum * v - gradient if p.nesterov else v
    return p.shrink * x + p.learning_rate * move, v


def _noises(p: Modes, replicas: int, sampling: Sampling, m: int, seed: int) -> Iterator[Floats]:
    rng = stream("theory/sgd/simulate", sampling, seed)
    scale, shape = np.sqrt(p.step_noise), (replicas, len(p.curvature))
    if sampling in ("iid", "replacement"):
        while True:
            yield scale * rng.standard_normal(shape)
    epoch = _epoch(rng, m, shape)
    while True:
        yield from scale * epoch
        if sampling == "reshuffle":
            epoch = _epoch(rng, m, shape)


def _epoch(rng: np.random.Generator, m: int, shape: tuple[int, ...]) -> Floats:
    drawn = rng.standard_normal((m, *shape))
    return np.asarray((drawn - drawn.mean(axis=0)) * np.sqrt(m / (m - 1)))


def simulate_regression(
    features: ArrayLike, targets: ArrayLike, settings: Modes, steps: ArrayLike, replicas: int,
    sampling: Sampling = "replacement", seed: int = 0,
) -> Simulated:  # fmt: skip
    """Minibatch SGD of ½(y − θᵀx)² + ½λ‖θ‖² on rows [N, d], from its minimum at rest; positions are θ − μ, [T, R, d].

    `settings` gives the optimizer; its curvature and noise are not used. M = ⌊N/S⌋ batches an epoch. Raises BadInput
    for a batch above N and as `simulate` does.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    p, n = settings, len(x)
    if x.ndim != 2 or y.shape != (n,) or p.batch_size > n:
        raise BadInput(
            Problem("features", f"expected [N, d] with N ≥ {p.batch_size} and targets [N], got {x.shape}, {y.shape}")
        )
    at = _ascending(steps)
    _check(sampling, max(n // p.batch_size, 2))
    decay = 0.0 if p.decoupled else p.weight_decay
    minimum = np.linalg.solve(x.T @ x / n + decay * np.eye(x.shape[1]), x.T @ y / n)
    theta, v = np.tile(minimum, (replicas, 1)), np.zeros((replicas, x.shape[1]))
    orders = _orders(n, p.batch_size, replicas, sampling, seed)
    positions, velocities, done = np.empty((len(at), *theta.shape)), np.empty((len(at), *theta.shape)), 0
    for i, stop in enumerate(at):
        for _ in range(stop - done):
            rows = next(orders)  # [R, S]
            residual = np.einsum("rsd,rd->rs", x[rows], theta) - y[rows]
            gradient = np.einsum("rs,rsd->rd", residual, x[rows]) / p.batch_size + decay * theta
            theta, v = update(p, theta, v, gradient, first=done == 0)
            done += 1
        positions[i], velocities[i] = theta - minimum, v
    return Simulated(at, positions, velocities)


def _orders(n: int, size: int, replicas: int, sampling: Sampling, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = stream("theory/sgd/simulate_regression", sampling, seed)
    while sampling == "replacement":
        yield rng.integers(n, size=(replicas, size))
    while sampling == "iid":
        yield np.argpartition(rng.random((replicas, n)), size - 1, axis=1)[:, :size]
    order = rng.permuted(np.tile(np.arange(n), (replicas, 1)), axis=1)
    while True:
        for first in range(0, n - size + 1, size):
            yield order[:, first : first + size]
        if sampling == "reshuffle":
            order = rng.permuted(order, axis=1)


def _ascending(steps: ArrayLike) -> NDArray[np.int64]:
    at = np.atleast_1d(np.asarray(steps))
    if at.ndim != 1 or not (at == at.astype(np.int64)).all() or (at < 0).any() or (np.diff(at) < 0).any():
        raise BadInput(Problem("steps", f"expected whole numbers ≥ 0 in ascending order, got {steps!r}"))
    return at.astype(np.int64)


def _check(sampling: str, steps_per_epoch: int | None) -> None:
    if sampling not in SAMPLINGS:
        raise BadInput(Problem("sampling", f"expected one of {', '.join(SAMPLINGS)}, got {sampling!r}"))
    if sampling in ("reshuffle", "same-order") and (steps_per_epoch or 0) < 2:
        raise BadInput(Problem("steps_per_epoch", f"expected at least 2 for {sampling}, got {steps_per_epoch}"))
