"""Mean classifier: one mean per class, a shared isotropic variance; the simplest adapter that uses all labels.

    z_c(x) = (⟨μ_c, φ(x)⟩ − ‖μ_c‖²/2)/σ²,   σ² = within-class variance per feature, pooled over classes,

the log-posterior of Gaussian classes N(μ_c, σ²I) with equal priors, up to a constant. Classes without a row score at
the mean of all rows, so their probability is small but never 0.
"""

from __future__ import annotations

import numpy as np

from limen.adapt.ball import Rows
from limen.adapt.feature_map import Matrix


def mean_classifier(rows: Rows) -> Matrix:
    """Weights W [p, K] with z = Wᵀφ; the last feature of φ is the constant 1.

    >>> rows = Rows(np.array([[2.0, 1.0], [0.0, 1.0], [-2.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 1, 1]), 2)
    >>> mean_classifier(rows)
    array([[ 0.5 , -0.5 ],
           [-0.25, -0.25]])

    Raises ValueError when there are not two rows of one class: no variance exists.
    """
    features, labels = rows.features[:, :-1], rows.labels
    n, d = features.shape
    counts = np.bincount(labels, minlength=rows.classes)
    if n <= np.count_nonzero(counts):
        raise ValueError(f"{n} rows over {np.count_nonzero(counts)} classes leave no within-class variance")
    sums = np.zeros((rows.classes, d))
    np.add.at(sums, labels, features)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], features.mean(axis=0))
    spread = float(((features - means[labels]) ** 2).sum()) / (n - np.count_nonzero(counts)) / d
    variance = max(spread, 1e-12)  # identical rows within every class: a finite, very sharp posterior
    weights: Matrix = np.vstack([means.T, -(means**2).sum(axis=1) / 2]) / variance
    return weights
