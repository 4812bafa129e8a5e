"""k nearest neighbours: the adapter that assumes nothing of the boundary.

    p_c(x) = (#{i among the k nearest of x : y_i = c} + π_c) / (k + 1),   π_c = (n_c + 1)/(n + K),

in Euclidean distance of φ; the prior row keeps every probability positive, so the log loss is finite.
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from limen.adapt.ball import Rows
from limen.adapt.feature_map import Matrix


def neighbour_scores(rows: Rows, queries: Matrix, k: int) -> Matrix:
    """Log-probabilities [m, K] of queries [m, p] from the k nearest of the rows (all of them if fewer).

    >>> rows = Rows(np.array([[0.0], [1.0]]), np.array([0, 1]), 2)
    >>> np.exp(neighbour_scores(rows, np.array([[0.1]]), k=1))
    array([[0.75, 0.25]])
    """
    k = min(k, len(rows))
    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows.features)
    nearest = index.kneighbors(queries, return_distance=False)
    votes = np.zeros((len(queries), rows.classes))
    np.add.at(votes, (np.repeat(np.arange(len(queries)), k), rows.labels[nearest].ravel()), 1.0)
    prior = (np.bincount(rows.labels, minlength=rows.classes) + 1) / (len(rows) + rows.classes)
    scores: Matrix = np.log((votes + prior) / (k + 1))
    return scores
