"""Mean classifier and nearest neighbours against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

from limen.adapt.ball import Rows
from limen.adapt.curve import adapt
from limen.adapt.mean_classifier import mean_classifier
from limen.adapt.nearest_neighbours import neighbour_scores
from limen.records.task import FitSpec

RNG = np.random.default_rng(0)


def rows(n=60, d=3, classes=3):
    labels = RNG.permutation(np.arange(n) % classes).astype(np.int64)
    x = RNG.normal(size=(n, d)) + labels[:, None]
    return Rows(np.hstack([x, np.ones((n, 1))]), labels, classes)


def test_mean_classifier_is_the_posterior_of_gaussian_classes():
    data = rows()
    x = data.features[:, :-1]
    means = np.stack([x[data.labels == c].mean(axis=0) for c in range(3)])
    variance = ((x - means[data.labels]) ** 2).sum() / (60 - 3) / 3
    density = np.stack([scipy.stats.multivariate_normal(m, variance * np.eye(3)).logpdf(x) for m in means], axis=1)
    assert np.allclose(mean_classifier(data)(data.features), scipy.special.log_softmax(density, axis=1))


def test_mean_classifier_does_not_depend_on_order_and_follows_names():
    data, queries = rows(), rows().features
    order, names = RNG.permutation(60), np.array([2, 0, 1])
    scores = mean_classifier(data)(queries)
    assert np.allclose(mean_classifier(data.take(order))(queries), scores)
    renamed = mean_classifier(Rows(data.features, names[data.labels], 3))
    assert np.allclose(renamed(queries)[:, names], scores)


@pytest.mark.parametrize("seen", [(0, 1), (1, 3), (4, 2)])
def test_classes_without_a_row_share_the_add_one_probability_whatever_the_features(seen):
    """Three of five classes have no row: 3/(60 + 5) is theirs in equal parts, the rest is the posterior of the two."""
    data, queries = rows(classes=2), RNG.normal(size=(20, 4)) * 50
    seen = np.array(seen)
    found = mean_classifier(Rows(data.features, seen[data.labels], 5))
    assert found.weights.shape == (4, 2)
    probabilities = np.exp(found(queries))
    unseen = np.setdiff1d(np.arange(5), seen)
    assert np.allclose(probabilities[:, unseen], 1 / 65)
    assert np.allclose(probabilities[:, seen], np.exp(mean_classifier(data)(queries)) * (1 - 3 / 65))
    assert np.allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("method", ["mean-classifier", "lda", "knn"])
def test_the_squared_loss_reads_the_probabilities_that_the_log_loss_reads(method):
    data = rows()
    log, squared = (
        adapt(Rows(data.features, data.labels, 3, loss), FitSpec(method=method, loss=loss), None, 1e-3).scores(
            data.features
        )
        for loss in ("log", "squared")
    )
    assert np.allclose(np.exp(log), squared)
    assert np.allclose(squared.sum(axis=1), 1)


def test_one_row_a_class_has_no_variance():
    with pytest.raises(ValueError, match="leave no within-class variance"):
        mean_classifier(Rows(np.hstack([np.eye(3), np.ones((3, 1))]), np.arange(3), 3))


def test_identical_rows_within_classes_give_finite_weights():
    x = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    found = mean_classifier(Rows(x, np.array([0, 0, 1, 1]), 2))
    assert np.isfinite(found.weights).all()
    assert np.isfinite(found(x)).all()
    assert found(x).argmax(axis=1).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("k", [1, 5, 60, 100])
def test_neighbours_equal_a_sort_of_all_distances(k):
    data, queries = rows(), RNG.normal(size=(20, 4))
    found = np.exp(neighbour_scores(data, queries, k))
    prior = (np.bincount(data.labels) + 1) / (60 + 3)
    used = min(k, 60)
    for query, probabilities in zip(queries, found, strict=True):
        nearest = np.argsort(((data.features - query) ** 2).sum(axis=1), kind="stable")[:used]
        expected = (np.bincount(data.labels[nearest], minlength=3) + prior) / (used + 1)
        assert np.allclose(probabilities, expected)
    assert np.allclose(found.sum(axis=1), 1)
    assert found.min() > 0


def test_a_class_without_rows_keeps_a_positive_probability():
    data = Rows(rows(classes=2).features, rows(classes=2).labels, 4)
    assert np.isfinite(neighbour_scores(data, data.features[:5], 3)).all()
