"""Linear discriminant analysis: Gaussian classes of one shared covariance, a linear adapter in closed form.

With class means μ_c, priors π_c = n_c/n and within-class covariance S = (1/n) Σ (x_i − μ_{y_i})(x_i − μ_{y_i})ᵀ,

    z_c(x) = wᵀx − wᵀμ_c/2 + ln π_c,      w = (S + λI)⁻¹μ_c,       softmax(z) = posterior of N(μ_c, S + λI).

Shrinkage (1 − γ)S + γ(tr S/d)I is (1 − γ)(S + λI) with λ = (tr S/d)·γ/(1 − γ): the same directions. λ → ∞ is the
mean classifier up to scale and priors. Classes without rows share the probability u/(n + K), as in the mean classifier.
Fisher, Annals of Eugenics 7 (1936); Friedman, JASA 84 (1989); Hastie, Tibshirani, Friedman, ESL (2009), §4.3.
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
