"""Linear discriminant analysis: Gaussian classes of one shared covariance, a linear adapter in closed form.

With class means μ_c, priors π_c = n_c/n and within-class covariance S = (1/n) Σ (x_i − μ_{y_i})(x_i − μ_{y_i})ᵀ,

    z_c(x) = wᵀx − wᵀμ_c/2 + ln π_c,      w = (S + λI)⁻¹μ_c,       softmax(z) = posterior of N(μ_c, S + λI).

Shrinkage (1 − γ)S + γ(tr S/d)I is (1 − γ)(S + λI) with λ = (tr S/d)·γ/(1 − γ): the same directions. λ → ∞ is the
mean classifier up to scale and priors. `shrunk_discriminant` chooses γ as Ledoit and Wolf do for S and keeps the scale
of S, which n/(n − K) corrects for the K means; it needs no tuning. Classes without rows share the probability
u/(n + K), as in the mean classifier. Fisher, Annals of Eugenics 7 (1936); Friedman, JASA 84 (1989); Ledoit, Wolf,
J. Multivar. Anal. 88 (2004); Hastie, Tibshirani, Friedman, ESL (2009), §4.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from limen.adapt.ball import Rows
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import one_hot
from limen.adapt.mean_classifier import MeanClassifier

# shapes: n rows, p = d + 1 features (the last is the constant 1), L penalties


@dataclass(frozen=True, slots=True)
class Discriminant(MeanClassifier):
    """Weights [p, seen]: the adapter [p, K] itself when every class has rows; called on rows, log-probabilities."""

    penalty: float


def discriminant(rows: Rows, penalty: float) -> Discriminant:
    """The adapter at one penalty λ ≥ 0 on mapped rows [n, p] whose last feature is the constant 1.

    Means ±2, variance 1, equal priors: z = ±2x − 2 + ln ½.

    >>> rows = Rows(np.array([[3.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-3.0, 1.0]]), np.array([0, 0, 1, 1]), 2)
    >>> (discriminant(rows, 0.0).weights - [[0, 0], [np.log(0.5)] * 2]).round(12)
    array([[ 2., -2.],
           [-2., -2.]])

    Raises ValueError as `discriminant_path` does.
    """
    return discriminant_path(rows, np.array([penalty]))[0]


def discriminant_path(rows: Rows, penalties: Matrix) -> tuple[Discriminant, ...]:
    """One adapter per penalty λ ≥ 0 [L], from one eigendecomposition of the within-class covariance.

    >>> rows = Rows(np.array([[3.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-3.0, 1.0]]), np.array([0, 0, 1, 1]), 2)
    >>> [fit.weights[0, 0].round(12).item() for fit in discriminant_path(rows, np.array([0.0, 1.0, 3.0]))]
    [2.0, 1.0, 0.5]

    Raises ValueError for a penalty that is negative or not finite, and for λ too small to invert a singular S.
    """
    if not (np.isfinite(penalties) & (penalties >= 0)).all():
        raise ValueError(f"penalties must be at least 0 and finite, got {penalties}")
    features, n = rows.features[:, :-1], len(rows)
    counts = np.bincount(rows.labels, minlength=rows.classes)
    seen = np.flatnonzero(counts).astype(np.int64)
    means = (one_hot(rows.labels, rows.classes).T @ features)[seen] / counts[seen, None]
    within = features - means[np.searchsorted(seen, rows.labels)]
    values, vectors = scipy.linalg.eigh(within.T @ within / n)
    values = np.maximum(values, 0.0)
    least = values.size * float(np.finfo(np.float64).eps) * max(float(values[-1]), 1e-300)
    if values[0] + penalties.min() <= least:
        raise ValueError(
            f"the within-class covariance of {n} rows in {values.size} features is singular: use a penalty above 0"
        )
    turned = means @ vectors
    fits = []
    for penalty in penalties:
        slopes = (turned / (values + penalty)).T  # [d, seen], in the eigenbasis
        offsets = np.log(counts[seen] / n) - (turned * slopes.T).sum(axis=1) / 2
        weights = np.vstack([vectors @ slopes, offsets])
        fits.append(
            Discriminant(weights, seen, rows.classes, (rows.classes - len(seen)) / (n + rows.classes), float(penalty))
        )
    return tuple(fits)


def shrunk_discriminant(rows: Rows) -> MeanClassifier:
    """The adapter at the shrunk covariance C = n/(n − K)·((1 − γ)S + γ(tr S/d)I), K classes with rows.

    Means ±2, within-class variance 1 of 4 rows, γ = 0 in one dimension: C = 2, z = ±x − 1 + ln ½.

    >>> rows = Rows(np.array([[3.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-3.0, 1.0]]), np.array([0, 0, 1, 1]), 2)
    >>> shrunk_discriminant(rows).weights[0].round(12).tolist()
    [1.0, -1.0]

    Raises ValueError when there are not two rows of one class: no variance exists.
    """
    features, n = rows.features[:, :-1], len(rows)
    counts = np.bincount(rows.labels, minlength=rows.classes)
    seen = np.flatnonzero(counts).astype(np.int64)
    if n <= len(seen):
        raise ValueError(f"{n} rows over {len(seen)} classes leave no within-class variance")
    means = (one_hot(rows.labels, rows.classes).T @ features)[seen] / counts[seen, None]
    within = features - means[np.searchsorted(seen, rows.labels)]
    values, vectors = _principal(within)  # [r], [d, r]
    mean = max(float(values.sum()) / features.shape[1], 1e-12)  # no variance at all: a finite, very sharp posterior
    gamma = _shrinkage(values, within)
    scale = n / (n - len(seen))
    inside = means @ vectors
    along = np.maximum((1 - gamma) * values + gamma * mean, 1e-12 * mean)
    slopes = vectors @ (inside / (scale * along)).T
    if n < features.shape[1]:  # directions in which no row differs from its class
        slopes += (means - inside @ vectors.T).T / (scale * max(gamma, 1e-12) * mean)
    offsets = np.log(counts[seen] / n) - (means.T * slopes).sum(axis=0) / 2
    share = (rows.classes - len(seen)) / (n + rows.classes)
    return MeanClassifier(np.vstack([slopes, offsets]), seen, rows.classes, share)


def _principal(within: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues [r] and eigenvectors [d, r] of S, r = min(n, d)."""
    n, d = within.shape
    if n < d:
        _, singular, right = scipy.linalg.svd(within, full_matrices=False)
        return singular**2 / n, right.T
    values, vectors = scipy.linalg.eigh(within.T @ within / n)
    return np.maximum(values, 0.0), vectors


def _shrinkage(values: Matrix, within: Matrix) -> float:
    """γ of Ledoit and Wolf: expected squared error of S over its squared distance to (tr S/d)I, at most 1."""
    n, d = within.shape
    size = float((values**2).sum())
    if size == 0:
        return 1.0
    distance = size - float(values.sum()) ** 2 / d
    error = (float(((within**2).sum(axis=1) ** 2).mean()) - size) / n
    return min(max(error, 0.0) / distance, 1.0) if distance > 1e-12 * size else 0.0
