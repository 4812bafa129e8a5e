"""Are two sets of rows from one population? A χ² test on the labels and a classifier test on the features.

Features: a ridge probe is trained to tell the sets apart on half of each and scored on the other half; under "same
population" its scores are exchangeable, so the Mann-Whitney U statistic (the AUC) has a known law
(Kim, Ramdas, Singh & Wasserman 2021, "Classification accuracy as a proxy for two-sample testing").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.stats

from limen.adapt.feature_map import Matrix
from limen.arrays.random import stream
from limen.records.task import Floats, Integers


@dataclass(frozen=True, slots=True)
class TwoSample:
    """p-values of both tests, total variation of the labels, AUC of the classifier that tells the sets apart."""

    label_p: float
    label_total_variation: float
    feature_p: float
    feature_auc: float

    def rejected(self, level: float = 0.01) -> bool:
        """Whether either test says "not the same population" at `level`, Bonferroni over the two."""
        return min(self.label_p, self.feature_p) < level / 2


def two_sample(a: tuple[Floats, Integers], b: tuple[Floats, Integers], classes: int) -> TwoSample:
    """Test two sets (features [n, d], labels [n]) against "one population".

    >>> rng = np.random.default_rng(0)
    >>> same = [(rng.normal(size=(400, 3)), rng.integers(0, 2, 400)) for _ in range(2)]
    >>> two_sample(same[0], same[1], 2).rejected()
    False
    >>> moved = (same[1][0] + 1.0, same[1][1])
    >>> two_sample(same[0], moved, 2).rejected()
    True
    """
    counts = np.array([np.bincount(labels, minlength=classes) for _, labels in (a, b)])
    counts = counts[:, counts.sum(axis=0) > 0]
    label_p = float(scipy.stats.chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0
    shares = counts / counts.sum(axis=1, keepdims=True)
    auc, feature_p = _classifier_test(a[0], b[0])
    return TwoSample(label_p, float(np.abs(shares[0] - shares[1]).sum() / 2), feature_p, auc)


def _classifier_test(a: Floats, b: Floats) -> tuple[float, float]:
    halves = []
    for side, rows in enumerate((a, b)):
        order = stream("two-sample", side, len(rows)).permutation(len(rows))
        halves.append((rows[order[::2]], rows[order[1::2]]))
    direction = _discriminant(halves[0][0], halves[1][0])
    scores = [np.asarray(half[1], dtype=np.float64) @ direction for half in halves]
    test = scipy.stats.mannwhitneyu(scores[1], scores[0], alternative="two-sided")
    return float(test.statistic / (len(scores[0]) * len(scores[1]))), float(test.pvalue)


def _discriminant(a: Floats, b: Floats) -> Matrix:
    """Ridge-regularised Fisher direction, penalty 1 % of the mean variance."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    scatter = ((a - mean_a).T @ (a - mean_a) + (b - mean_b).T @ (b - mean_b)) / (len(a) + len(b))
    scatter[np.diag_indices_from(scatter)] += max(0.01 * float(np.trace(scatter)) / len(scatter), 1e-300)
    direction: Matrix = scipy.linalg.solve(scatter, mean_b - mean_a, assume_a="pos")
    return direction
