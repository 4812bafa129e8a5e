"""Mean classifier: one mean per class, a shared isotropic variance; the simplest adapter that uses all labels.

Among the classes that have rows, the posterior of Gaussian classes N(μ_c, σ²I) with equal priors:

    z_c(x) = (⟨μ_c, φ(x)⟩ − ‖μ_c‖²/2)/σ²,   σ² = within-class variance per feature, pooled over classes.

The u classes without a row share the probability u/(n + K) equally (add-one), whatever x: distance says nothing of
them. Scores are log-probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limen.adapt.ball import Rows
from limen.adapt.feature_map import Matrix
from limen.records.task import Integers


@dataclass(frozen=True, slots=True)
class MeanClassifier:
    """Weights [p, seen] of the seen classes, and what is left to the others."""

    weights: Matrix
    seen: Integers
    classes: int
    unseen_share: float

    def __call__(self, features: Matrix) -> Matrix:
        """Log-probabilities [m, K] of mapped rows [m, p]."""
        scores = features @ self.weights
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        absent = self.classes - len(self.seen)
        everything = np.full((len(features), self.classes), np.log(self.unseen_share / absent) if absent else 0.0)
        everything[:, self.seen] = scores + np.log1p(-self.unseen_share)
        return everything


def mean_classifier(rows: Rows) -> MeanClassifier:
    """Fit it; the last feature of φ is the constant 1.

    >>> rows = Rows(np.array([[2.0, 1.0], [0.0, 1.0], [-2.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 1, 1]), 2)
    >>> mean_classifier(rows).weights
    array([[ 0.5 , -0.5 ],
           [-0.25, -0.25]])

    Raises ValueError when there are not two rows of one class: no variance exists.
    """
    features, labels = rows.features[:, :-1], rows.labels
    n, d = features.shape
    counts = np.bincount(labels, minlength=rows.classes)
    seen = np.flatnonzero(counts).astype(np.int64)
    if n <= len(seen):
        raise ValueError(f"{n} rows over {len(seen)} classes leave no within-class variance")
    sums = np.zeros((rows.classes, d))
    np.add.at(sums, labels, features)
    means = sums[seen] / counts[seen, None]
    spread = float(((features - means[np.searchsorted(seen, labels)]) ** 2).sum()) / (n - len(seen)) / d
    variance = max(spread, 1e-12)  # identical rows within every class: a finite, very sharp posterior
    weights = np.vstack([means.T, -(means**2).sum(axis=1) / 2]) / variance
    return MeanClassifier(weights, seen, rows.classes, (rows.classes - len(seen)) / (n + rows.classes))
