"""Many certified fits of the squared loss from few passes over the rows: nested label counts, radii, parts left out.

A pass gives the moments that all fits of a family follow from (`moments`, `squared_ball`); a second one gives every
certificate of `limen.adapt.ball`, from the scores of all adapters on all rows:

    gap(W) = ⟨W, ∇L̂⟩ + B·‖∇L̂‖,      ∇L̂ = (2/n) Σ_i x_i (Wᵀx_i − e_{y_i})ᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from limen.adapt.ball import ROUNDING, BallFit, Rows, SubsetFits
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import dual_per_example, per_example_loss, residuals
from limen.adapt.mapped_rows import feature_blocks
from limen.adapt.moments import Moments, part_moments, subset_moments
from limen.adapt.squared_ball import Spectrum, moment_spectrum, row_spectrum
from limen.records.task import Integers

TOLERANCE = 1e-4
"""Gap up to which a fit counts as converged."""


def nested_fits(rows: Rows, counts: Sequence[int], radius: float) -> list[BallFit]:
    """Minima over the ball on the first n of the rows, for every n of `counts`, rising.

    >>> rows = Rows(np.array([[1.0], [-1.0], [-1.0]]), np.array([0, 1, 0]), 2, "squared")
    >>> [round(fit.loss, 6) for fit in nested_fits(rows, [2, 3], 9.0)]
    [0.5, 0.888889]
    """
    p, largest = rows.features.shape[1], counts[-1]
    few = [n for n in counts if n < p]
    weights = [_few(rows, np.arange(n)).minimum(radius)[0] for n in few]
    many = [n for n in counts if n >= p]
    if many:
        part = np.searchsorted(many, np.arange(largest), side="right").astype(np.int64)
        rows = rows.take(np.arange(largest)) if largest < len(rows) else rows
        parts = part_moments(rows.features, rows.labels, rows.classes, part, len(many))
        weights += [moment_spectrum(found).minimum(radius)[0] for found in accumulate(parts, Moments.__add__)]
    return certified_prefixes(rows, weights, counts, [radius] * len(counts))


def radius_fits(rows: Rows, radii: Sequence[float]) -> list[BallFit]:
    """Minima over balls of several radii on the same rows.

    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, "squared")
    >>> [round(fit.loss, 6) for fit in radius_fits(rows, [np.sqrt(0.125), 9.0])]
    [0.625, 0.5]
    """
    spectrum = row_spectrum(rows.features, rows.labels, rows.classes)
    weights = [spectrum.minimum(radius)[0] for radius in radii]
    return certified_prefixes(rows, weights, [len(rows)] * len(radii), radii)


def subset_fits(rows: Rows, subsets: NDArray[np.bool_], radius: float) -> SubsetFits:
    """Minima over the ball on each of `subsets` [B, n] of the rows, with their losses; gaps are not computed (NaN).

    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, "squared")
    >>> subset_fits(rows, np.array([[True, True], [False, True]]), 9.0).losses.round(6).tolist()
    [0.5, 0.0]
    """
    found = [spectrum.minimum(radius) for spectrum in _spectra(rows, subsets)]
    losses = np.array([loss for _, loss in found])
    return SubsetFits(np.stack([w for w, _ in found]), losses, np.full(len(found), np.nan), len(found))


def certified_prefixes(
    rows: Rows, weights: Sequence[Matrix], counts: Sequence[int], radii: Sequence[float]
) -> list[BallFit]:
    """The certificate of each adapter [p, K] on the first n of the rows, all of them in one pass.

    >>> rows = Rows(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2, "squared")
    >>> (fit,) = certified_prefixes(rows, [np.array([[0.5, -0.5]])], [2], [1.0])
    >>> fit.loss, fit.gap, fit.minimum
    (0.5, 0.0, 0.5)
    """
    every = np.hstack(list(weights))
    gradient, loss, dual = np.zeros_like(every), np.zeros(len(weights)), np.zeros(len(weights))
    width = rows.classes
    for positions, block in feature_blocks(rows.features):
        scores, y = block @ every, rows.labels[positions]
        at = np.arange(len(rows))[positions]
        for k, n in enumerate(counts):
            own = scores[:, k * width : (k + 1) * width]
            inside = at < n
            loss[k] += per_example_loss(own, y, rows.loss)[inside].sum()
            dual[k] += dual_per_example(own, rows.loss, y)[inside].sum()
            residuals(own, y, rows.loss)  # in place
            own[~inside] = 0.0
        gradient += block.T @ scores
    return [
        _certificate(w, radius, (loss[k] / n, dual[k] / n), gradient[:, k * width : (k + 1) * width] / n)
        for k, (w, n, radius) in enumerate(zip(weights, counts, radii, strict=True))
    ]


def _certificate(weights: Matrix, radius: float, means: tuple[float, float], gradient: Matrix) -> BallFit:
    """As `limen.adapt.ball.certify`; `means` are those of the loss and of its dual part."""
    loss, dual = means
    size, along = float(np.linalg.norm(gradient)), float((weights * gradient).sum())
    gap = along + radius * size
    if abs(gap) <= ROUNDING * (abs(along) + radius * size):
        gap = 0.0  # a difference below the rounding error of its two terms
    return BallFit(weights, radius, float(loss), gap, float(dual) - radius * size, size, 1, gap <= TOLERANCE)


def _spectra(rows: Rows, subsets: NDArray[np.bool_]) -> Iterator[Spectrum]:
    if int(subsets.sum(axis=1).min()) < rows.features.shape[1]:
        for kept in subsets:
            yield _few(rows, np.flatnonzero(kept))
        return
    for moments in subset_moments(rows.features, rows.labels, rows.classes, subsets):
        yield moment_spectrum(moments)


def _few(rows: Rows, chosen: Integers) -> Spectrum:
    taken = rows.take(chosen)
    return row_spectrum(taken.features, taken.labels, rows.classes)
