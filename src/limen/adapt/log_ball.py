"""Which curvature steers the descent, in which coordinates and precision, and when it is taken anew.

Rows span at most min(n, p) dimensions and every minimiser lies in their span. Features are rotated into the eigenbasis
of their Gram matrix (n ≥ p) or of the kernel matrix (n < p: fewer coordinates, nothing is lost). Problems on the same
rows go in lockstep (`quasi_newton.descend`), each with row shares of its own: folds, row groups left out.

A descent starts with the steering of a similar fit where there is one, else with the scaled Gram matrix at zero. It is
broken off when the passes still needed at the rate of late would cost more than class blocks at the present place.
Large problems start in float32; float64 finishes what rounding leaves undone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.adapt.curvature import (
    ROWS_PER_DIRECTION,
    ClassBlocks,
    Curvature,
    ScaledGram,
    block_size,
    class_blocks,
    project,
    scaled_gram,
)
from limen.adapt.feature_map import Matrix
from limen.adapt.passes import Passes
from limen.adapt.quasi_newton import Found, descend, evaluate, on_sphere
from limen.records.task import Integers

ROUNDS = 40
STEPS = 60
"""Steps of a round."""
BUILD_COST = 1.2
"""Time per operation of building blocks, relative to a pass."""
SLOWS_DOWN = 2.0
"""How much slower the scaled Gram matrix gets near the end than it was of late."""
NEAR = 4.0
"""A warm start at least this share of the radius long is stretched to it."""
RIDGE = 1e-2
"""Shift of the ridge direction, in mean eigenvalues."""
STRETCH = 3.0
"""Growth of the ridge direction from trial to trial."""
RECENT = 8
"""Steps that the rate is read from, and the least number of a round."""
SINGLE_PRECISION_FROM = 1_000_000
"""Scores times features from which float32 pays."""
SINGLE_PRECISION_TOLERANCE = 1e-5
"""Least tolerance that float32 is asked for."""
RANK = 1e-13


@dataclass(frozen=True, slots=True)
class Basis:
    """Orthonormal directions [p, r] and the Gram eigenvalues along them [r], largest first."""

    directions: Matrix
    values: Matrix

    @property
    def complete(self) -> bool:
        """Whether it spans all features, so that any rows have coordinates in it."""
        return len(self.directions) == len(self.values)


@dataclass(frozen=True, slots=True)
class Steering:
    """What makes a fit quick: coordinates, and the class blocks of a similar fit (similar labels and radius)."""

    basis: Basis
    blocks: ClassBlocks | None = None
    source: Matrix | None = None
    """The features that `rotated` are those of."""
    rotated: NDArray[np.floating] | None = None

    def fits(self, features: Matrix) -> bool:
        """Whether these rows have coordinates in the basis, and no more than they need."""
        n, p = features.shape
        return features is self.source or bool(self.basis.complete and len(self.basis.directions) == p <= n)

    def coordinates(self, features: Matrix, precision: type[np.floating]) -> NDArray[np.floating]:
        """The features along the directions [n, r]."""
        if features is self.source and self.rotated is not None and self.rotated.dtype == precision:
            return self.rotated
        turned: NDArray[np.floating] = features.astype(precision, copy=False) @ self.basis.directions.astype(precision)
        return turned


@dataclass(frozen=True, slots=True)
class Solution:
    """Adapters [B, K, p], gaps as the solver saw them [B], adapters that went over the rows, steering."""

    weights: Matrix
    gaps: Matrix
    losses: Matrix
    """L̂ as the solver saw it [B]."""
    passes: int
    steering: Steering


@dataclass(frozen=True, slots=True)
class Sample:
    """Mapped features [n, p], labels [n], classes, row shares [B, n] (None: 1/n)."""

    features: Matrix
    labels: Integers
    classes: int
    shares: Matrix | None = None


def gram_basis(features: Matrix) -> Basis:
    """Eigenbasis of the Gram matrix of the rows, restricted to their span where they are fewer than features.

    >>> basis = gram_basis(np.array([[3.0, 4.0]]))
    >>> np.abs(basis.directions.T).round(6).tolist(), basis.values.round(6).tolist()
    ([[0.6, 0.8]], [25.0])
    """
    n, p = features.shape
    if n >= p:
        values, directions = scipy.linalg.eigh(features.T @ features / n)
        return Basis(directions[:, ::-1], np.maximum(values[::-1], 0.0))
    values, left = scipy.linalg.eigh(features @ features.T / n)
    values, left = values[::-1], left[:, ::-1]
    kept = values > values[0] * RANK
    return Basis(features.T @ (left[:, kept] / np.sqrt(values[kept] * n)), values[kept])


def solve(
    sample: Sample, radius: Matrix, start: Matrix | None, tolerance: float, near: Steering | None = None
) -> Solution:
    """Adapters whose gap is at most `tolerance`, or the best found; `start` [B, K, p]."""
    if near is None or not near.fits(sample.features):
        near = Steering(gram_basis(sample.features))
    directions, blocks = near.basis.directions, near.blocks
    inner, count = None if start is None else start @ directions, 0
    small = sample.features.size * sample.classes * len(radius) < SINGLE_PRECISION_FROM
    for precision in (np.float64,) if small or tolerance < SINGLE_PRECISION_TOLERANCE else (np.float32, np.float64):
        rotated = near.coordinates(sample.features, precision)
        passes = Passes(rotated, sample.labels, sample.classes, sample.shares, precision)
        found, blocks = _rounds(passes, near.basis.values, radius, (inner, blocks), tolerance / 2)
        inner = found.weights
        count += passes.count
        if (found.gaps <= tolerance / 2).all():
            break
    return Solution(found.weights @ directions.T, found.gaps, found.values, count, replace(near, blocks=blocks))


def steer(sample: Sample, weights: Matrix, radius: float, near: Steering | None = None) -> Steering:
    """Steering at a fitted adapter [K, p], for fits on some of the same rows or on rows like them."""
    basis = near.basis if near is not None and near.fits(sample.features) else gram_basis(sample.features)
    turned = Steering(basis).coordinates(sample.features, np.float32)
    passes = Passes(turned, sample.labels, sample.classes, sample.shares, np.float32)
    blocks = class_blocks_at(passes, basis.values, np.array([radius]), (weights @ basis.directions)[None], 0)
    return Steering(basis, blocks, sample.features, turned)


def _rounds(
    passes: Passes, values: Matrix, radius: Matrix, given: tuple[Matrix | None, ClassBlocks | None], target: float
) -> tuple[Found, ClassBlocks | None]:
    start, blocks = given
    weights = None if start is None else _warm(passes, radius, start)
    cold = weights is None
    if weights is None:
        weights = _cold(passes, values, radius)
    even = np.full(passes.classes, (1 - 1 / passes.classes) / passes.classes)
    if blocks is not None:
        curvature: Curvature = blocks
    elif cold:
        curvature = scaled_gram(values, even, _multiplier(passes, radius, weights, 0))
    else:
        curvature = scaled_gram_at(passes, values, radius, weights, 0)
    stalled, best = 0, np.inf
    build = _build_cost(passes, len(weights))
    for _ in range(ROUNDS):
        slow = SLOWS_DOWN if isinstance(curvature, ScaledGram) else 1.0

        def hopeless(history: list[float], slow: float = slow) -> bool:
            return slow * _passes_needed(history, target) > build

        found = descend(passes, curvature, radius, (weights, target), STEPS, hopeless)
        weights, worst, hard = found.weights, float(found.gaps.max()), int(np.argmax(found.gaps))
        stalled = 0 if worst < 0.9 * best else stalled + 1
        best = min(best, worst)
        if worst <= target or stalled > 2:
            break
        if stalled:  # far from the minimum the curvature may vanish where the adapter stands: a plain one leads away
            curvature = scaled_gram(values, even, _multiplier(passes, radius, weights, hard))
        else:
            curvature = blocks = class_blocks_at(passes, values, radius, weights, hard)
    return found, blocks


def _cold(passes: Passes, values: Matrix, radius: Matrix) -> Matrix:
    """The ridge direction, as far as the loss falls.

    At 0 the Hessian is G/K on Σ_c W_c = 0, so −K(G + μ)⁻¹∇L̂(0) is Newton's step; it is stretched while that helps.
    """
    many, size = len(radius), passes.features.shape[1]
    everyone = np.arange(many)
    zero = evaluate(passes, radius, np.zeros((many, passes.classes, size)), everyone)
    ridge = -passes.classes * zero.gradient / (values + max(RIDGE * float(values.mean()), 1e-300))
    best, least, growing = np.zeros_like(ridge), zero.value.copy(), everyone
    length = 1.0
    while len(growing):
        tried = on_sphere(length * ridge[growing], radius[growing], np.zeros(len(growing), dtype=bool))
        value = evaluate(passes, radius, tried, growing).value
        better = value < least[growing]
        best[growing[better]], least[growing[better]] = tried[better], value[better]
        short = length * np.sqrt((ridge[growing] ** 2).sum(axis=(1, 2))) < radius[growing]
        growing = growing[better & short]
        length *= STRETCH
    return best


def _warm(passes: Passes, radius: Matrix, start: Matrix) -> Matrix | None:
    """The start in its ball; None where it is worse than no adapter at all, whose loss is ln K."""
    weights = project(start)  # what all classes share changes no score and costs norm
    norm = np.sqrt((weights**2).sum(axis=(1, 2)))
    weights = on_sphere(weights, radius, norm >= radius / NEAR)
    value = evaluate(passes, radius, weights, np.arange(len(weights))).value
    worthless = not weights.any() or (value > math.log(passes.classes)).any()
    return None if worthless else weights


def class_blocks_at(passes: Passes, values: Matrix, radius: Matrix, weights: Matrix, which: int) -> ClassBlocks:
    """Class blocks at one of the adapters."""
    spread = passes.spread(weights[which], which)
    return class_blocks(passes, values, spread, _multiplier(passes, radius, weights, which))


def scaled_gram_at(passes: Passes, values: Matrix, radius: Matrix, weights: Matrix, which: int) -> ScaledGram:
    """The scaled Gram matrix at one of the adapters."""
    total = passes.spread(weights[which], which).sum(axis=1, dtype=np.float64)
    return scaled_gram(values, total, _multiplier(passes, radius, weights, which))


def _multiplier(passes: Passes, radius: Matrix, weights: Matrix, which: int) -> float:
    """λ of one problem where it stands; inside its ball a small one, so that the curvature can be divided by."""
    point = evaluate(passes, radius, weights[[which]], np.array([which]))
    norm = float(np.linalg.norm(point.gradient))
    size = max(float(np.linalg.norm(weights[which])), 1e-300)
    return max(float(point.multiplier[0]), 1e-3 * norm / size, 1e-300)


def _build_cost(passes: Passes, many: int) -> float:
    """Building class blocks, in passes of all problems."""
    n, r = passes.features.shape
    q = block_size(passes.classes, r)
    rows = min(n, int(ROWS_PER_DIRECTION * q) + 1)
    return float(BUILD_COST * (2 * rows * q**2 + q**3) / (4 * n * r * many))


def _passes_needed(history: list[float], target: float) -> float:
    """Passes to the target at the rate of the last steps."""
    recent = history[-RECENT:]
    if len(recent) < RECENT:
        return 0.0
    fall = math.log(recent[0] / max(recent[-1], 1e-300)) / (RECENT - 1)
    if fall <= 0:
        return math.inf
    return math.log(max(recent[-1] / target, 1.0)) / fall
