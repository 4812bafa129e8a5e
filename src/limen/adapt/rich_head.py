"""A richer head than the linear one: Gaussian kernel features beside φ, fitted on the fit part alone.

    κ(x) = K_mm^(−½)·[k(x, c_1) … k(x, c_m)],   k(x, c) = exp(−γ‖φ(x) − φ(c)‖²),   γ = 2/median ‖φ(c_i) − φ(c_j)‖²,

with m landmarks c drawn from the fit rows (the Nyström features of Williams & Seeger 2001; eigenvalues of K_mm below
10⁻⁶ of the largest are left out). The head is linear in [φ, √2·κ] with ‖W‖_F ≤ a radius that a pilot split of the fit
rows chooses from a ladder. It is fixed before the holdout is seen: the lower end of `class_gap` needs nothing else,
whatever kernel, radius and tolerance are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from limen.adapt.ball import Rows, minimise
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import per_example_loss
from limen.adapt.mapped_rows import feature_blocks
from limen.adapt.prepare import Prepared
from limen.arrays.random import stream
from limen.records.task import Integers

LANDMARKS = 512
PILOT_ROWS = 3_000
MOST_ROWS = 20_000
LADDER = tuple(4.0**k for k in range(-1, 6))
"""Radii tried, as multiples of the linear probe's; climbed while the pilot's held-out loss falls."""
TOLERANCE = 1e-2
SMOOTHING = 0.02
"""Weight of the uniform distribution in the head's predictions (log loss): no row loses more than ln(K/SMOOTHING)."""
CUT = 1e-6
BLOCK = 4096  # rows scored at a time: bounds the temporary kernel matrix, not the result


@dataclass(frozen=True, slots=True)
class KernelMap:
    """Landmarks [m, p], kernel rate γ and K_mm^(−½) [m, r]."""

    landmarks: Matrix
    rate: float
    whitening: Matrix

    def __call__(self, features: Matrix) -> Matrix:
        """[φ, √2·κ] of every row: [n, p] → [n, p + r].

        >>> kernel = kernel_map(np.array([[1.0, 1.0], [-1.0, 1.0]]))
        >>> mapped = kernel(kernel.landmarks)[:, 2:]
        >>> bool(np.isclose(mapped @ mapped.T, 2 * np.exp(-kernel.rate * np.array([[0, 4], [4, 0]]))).all())
        True
        """
        n, p = features.shape
        mapped = np.empty((n, p + self.whitening.shape[1]))
        mapped[:, :p] = features
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            kernel = np.exp(-self.rate * _squared_distances(features[rows], self.landmarks))
            np.multiply(kernel @ self.whitening, np.sqrt(2.0), out=mapped[rows, p:])
        return mapped


@dataclass(frozen=True, slots=True)
class RichHead:
    """The fitted head as the budget sees it."""

    holdout_loss: Matrix
    """[m], of every holdout row."""
    train_loss: float
    radius: float
    landmarks: int
    rows: int
    """Fit rows it was fitted on."""


def rich_head(prepared: Prepared, radius: float) -> RichHead:
    """The richer head of a task whose linear class has this radius."""
    fit = prepared.fit
    order = _order(prepared.fit_blocks, prepared.spec.split_seed)
    pilot = order[: min(PILOT_ROWS, len(order))]
    trained, scored = _cut(pilot, prepared.fit_blocks)
    kernel = kernel_map(np.asarray(fit.features[trained[: min(LANDMARKS, max(1, len(trained) // 4))]]))
    chosen = _climb(_mapped(kernel, fit.take(trained)), _mapped(kernel, fit.take(scored)), radius)
    rows = _mapped(kernel, fit.take(order[:MOST_ROWS]))
    head = minimise(rows, chosen, tolerance=TOLERANCE)
    holdout = prepared.holdout
    scores = np.empty((len(holdout), holdout.classes))
    for positions, block in feature_blocks(holdout.features):
        scores[positions] = kernel(block) @ head.weights
    loss = _smoothed(per_example_loss(scores, holdout.labels, holdout.loss), holdout)
    return RichHead(loss, head.loss, chosen, len(kernel.landmarks), len(rows))


def kernel_map(landmarks: Matrix) -> KernelMap:
    """The kernel features of landmarks [m, p], their rate from the median distance between two of them."""
    squared = _squared_distances(landmarks, landmarks)
    apart = squared[np.triu_indices(len(landmarks), 1)]
    median = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    rate = 2.0 / median
    values, vectors = scipy.linalg.eigh(np.exp(-rate * squared))
    kept = values > CUT * values[-1]
    return KernelMap(landmarks, rate, vectors[:, kept] / np.sqrt(values[kept]))


def _climb(trained: Rows, scored: Rows, radius: float) -> float:
    """The radius of the ladder up to which the pilot's held-out loss falls."""
    best, least, start = LADDER[0] * radius, np.inf, None
    for step in LADDER:
        head = minimise(trained, step * radius, start, 2 * TOLERANCE)
        start = head.weights
        each = per_example_loss(scored.features @ head.weights, scored.labels, scored.loss)
        loss = float(_smoothed(each, scored).mean())
        if loss >= least:
            break
        best, least = step * radius, loss
    return best


def _smoothed(loss: Matrix, rows: Rows) -> Matrix:
    """Losses of (1 − ε)p + ε/K in place of p: a few overconfident rows would make the mean's error unknowable."""
    if rows.loss == "squared":
        return loss
    smoothed: Matrix = -np.log((1 - SMOOTHING) * np.exp(-loss) + SMOOTHING / rows.classes)
    return smoothed


def _order(block: Integers, split_seed: int) -> Integers:
    """The fit rows in a random order of their blocks."""
    names, member = np.unique(block, return_inverse=True)
    rank = stream("rich-head", split_seed, len(block)).permutation(len(names))[member]
    return np.argsort(rank, kind="stable").astype(np.int64)


def _cut(pilot: Integers, block: Integers) -> tuple[Integers, Integers]:
    """The first two thirds of the pilot to train, the rest to score; a block stays on one side."""
    at = max(1, 2 * len(pilot) // 3)
    while at < len(pilot) - 1 and block[pilot[at]] == block[pilot[at - 1]]:
        at += 1
    return pilot[:at], pilot[at:]


def _mapped(kernel: KernelMap, rows: Rows) -> Rows:
    return Rows(kernel(rows.features), rows.labels, rows.classes, rows.loss)


def _squared_distances(a: Matrix, b: Matrix) -> Matrix:
    squared: Matrix = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squared, 0.0)
