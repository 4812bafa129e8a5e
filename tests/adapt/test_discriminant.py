"""Linear discriminant analysis against scikit-learn's, the mean classifier and least squares."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from limen.adapt.ball import Rows
from limen.adapt.discriminant import discriminant, discriminant_path, shrunk_discriminant
from limen.adapt.mean_classifier import mean_classifier


def problem(n=60, d=5, classes=3, seed=0, balanced=False):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes if balanced else rng.choice(classes, n, p=np.arange(1, classes + 1) / 6)
    x = rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return Rows(np.hstack([x, np.ones((n, 1))]), labels, classes)


class Penalised(BaseEstimator):
    """Covariance S_c + λI of one class, for scikit-learn."""

    def __init__(self, penalty=0.0):
        self.penalty = penalty

    def fit(self, x):
        self.covariance_ = np.cov(x, rowvar=False, bias=True) + self.penalty * np.eye(x.shape[1])
        return self


def differences(weights):
    """Scores relative to the first class: what a posterior depends on."""
    return weights - weights[:, :1]


@pytest.mark.parametrize("solver", ["lsqr", "eigen"])
def test_without_penalty_the_posterior_is_scikit_learns(solver):
    rows = problem()
    theirs = LinearDiscriminantAnalysis(solver=solver).fit(rows.features[:, :-1], rows.labels)
    ours = discriminant(rows, 0.0)
    np.testing.assert_allclose(ours(rows.features), theirs.predict_log_proba(rows.features[:, :-1]), atol=1e-8)
    expected = np.vstack([theirs.coef_.T, theirs.intercept_])
    np.testing.assert_allclose(differences(ours.weights), differences(expected), atol=1e-8)


@pytest.mark.parametrize("penalty", [0.01, 2.0])
@pytest.mark.parametrize(("n", "d"), [(60, 5), (12, 30)])
def test_with_a_penalty_the_posterior_is_scikit_learns(penalty, n, d):
    rows = problem(n, d)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Penalised(penalty))
    theirs.fit(rows.features[:, :-1], rows.labels)
    ours = discriminant(rows, penalty)
    expected = np.vstack([theirs.coef_.T, theirs.intercept_])
    np.testing.assert_allclose(differences(ours.weights), differences(expected), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["lsqr", "eigen"])
@pytest.mark.parametrize("shrinkage", [0.1, 0.7])
def test_shrinkage_is_a_penalty_up_to_scale(solver, shrinkage):
    # equal priors: scores of the covariance (1 − γ)(S + λI) are those of S + λI over 1 − γ
    rows = problem(balanced=True)
    theirs = LinearDiscriminantAnalysis(solver=solver, shrinkage=shrinkage).fit(rows.features[:, :-1], rows.labels)
    x = rows.features[:, :-1]
    within = np.mean([np.cov(x[rows.labels == c], rowvar=False, bias=True) for c in range(3)], axis=0)
    ours = discriminant(rows, np.trace(within) / 5 * shrinkage / (1 - shrinkage))
    expected = np.vstack([theirs.coef_.T, theirs.intercept_]) * (1 - shrinkage)
    np.testing.assert_allclose(differences(ours.weights), differences(expected), atol=1e-8)


def test_scores_are_the_log_densities_of_gaussian_classes():
    rows, penalty = problem(), 0.3
    x = rows.features[:, :-1]
    counts = np.bincount(rows.labels)
    means = np.array([x[rows.labels == c].mean(axis=0) for c in range(3)])
    within = (x - means[rows.labels]).T @ (x - means[rows.labels]) / len(rows) + penalty * np.eye(5)
    inverse = np.linalg.inv(within)
    density = np.array(
        [[-(r - m) @ inverse @ (r - m) / 2 + np.log(k / 60) for m, k in zip(means, counts, strict=True)] for r in x]
    )
    density -= np.log(np.exp(density).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(discriminant(rows, penalty)(rows.features), density, atol=1e-10)


def test_path_is_the_single_fits_and_the_penalty_matters():
    rows, penalties = problem(), np.array([0.0, 0.1, 10.0])
    path = discriminant_path(rows, penalties)
    for fit, penalty in zip(path, penalties, strict=True):
        assert fit.penalty == penalty
        np.testing.assert_allclose(fit.weights, discriminant(rows, float(penalty)).weights, rtol=1e-12)
    slopes = [np.linalg.norm(fit.weights[:-1]) for fit in path]
    assert slopes[0] > 1.1 * slopes[1] > 1.1 * slopes[2]


def test_a_huge_penalty_is_the_mean_classifier_of_that_variance():
    rows, penalty = problem(balanced=True), 1e9
    means = mean_classifier(rows)
    x = rows.features[:, :-1]
    spread = np.array([x[rows.labels == c].mean(axis=0) for c in range(3)])
    variance = ((x - spread[rows.labels]) ** 2).sum() / (60 - 3) / 5
    ours = differences(discriminant(rows, penalty).weights) * penalty
    np.testing.assert_allclose(ours, differences(means.weights) * variance, rtol=1e-6, atol=1e-9)


def test_two_classes_have_the_direction_of_least_squares():
    rows = problem(classes=2, seed=3, balanced=True)
    slope = np.linalg.lstsq(rows.features, rows.labels.astype(float), rcond=None)[0][:-1]
    weights = discriminant(rows, 0.0).weights[:-1]
    direction = weights[:, 1] - weights[:, 0]
    cosine = slope @ direction / np.linalg.norm(slope) / np.linalg.norm(direction)
    assert cosine == pytest.approx(1.0, abs=1e-12)


def test_posterior_is_invariant_to_invertible_maps_without_penalty_and_to_rotations_with_one():
    rows = problem()
    rng = np.random.default_rng(1)
    x, ones = rows.features[:, :-1], np.ones((60, 1))
    mapped = Rows(np.hstack([x @ rng.normal(size=(5, 5)) + 3.0, ones]), rows.labels, 3)
    np.testing.assert_allclose(
        discriminant(mapped, 0.0)(mapped.features), discriminant(rows, 0.0)(rows.features), atol=1e-7
    )
    rotated = Rows(np.hstack([x @ np.linalg.qr(rng.normal(size=(5, 5)))[0], ones]), rows.labels, 3)
    np.testing.assert_allclose(
        discriminant(rotated, 0.4)(rotated.features), discriminant(rows, 0.4)(rows.features), atol=1e-10
    )
    assert np.abs(discriminant(mapped, 0.4)(mapped.features) - discriminant(rows, 0.4)(rows.features)).max() > 0.01


def test_a_class_without_rows_gets_the_add_one_share_and_no_weights():
    rows = problem()
    wider = Rows(rows.features, np.where(rows.labels == 2, 3, rows.labels), 4)
    fit = discriminant(wider, 0.1)
    assert fit.seen.tolist() == [0, 1, 3]
    probabilities = np.exp(fit(rows.features))
    np.testing.assert_allclose(probabilities[:, 2], 1 / 64, rtol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)


def test_a_singular_covariance_needs_a_penalty():
    with pytest.raises(ValueError, match="singular: use a penalty"):
        discriminant(problem(12, 30), 0.0)
    with pytest.raises(ValueError, match="at least 0"):
        discriminant(problem(), -1.0)


# ------------------------------------------------------------------ shrinkage without tuning


@pytest.mark.parametrize(("n", "d"), [(60, 5), (30, 80)])
def test_shrunk_weights_are_scikit_learns_at_ledoit_and_wolfs_shrinkage(n, d):
    rows = problem(n, d)
    x, counts = rows.features[:, :-1], np.bincount(rows.labels)
    within = x - np.array([x[rows.labels == c].mean(axis=0) for c in rows.labels])
    gamma = ledoit_wolf_shrinkage(within, assume_centered=True)
    # scikit-learn's fixed shrinkage moves every class's covariance towards its own mean variance: of S, the same
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=gamma).fit(x, rows.labels)
    found, scale = shrunk_discriminant(rows).weights, n / (n - 3)
    np.testing.assert_allclose(found[:-1] * scale, theirs.coef_.T, rtol=1e-7)
    log_prior = np.log(counts / n)
    np.testing.assert_allclose((found[-1] - log_prior) * scale, theirs.intercept_ - log_prior, rtol=1e-7)
    assert 0 < gamma < 1


def test_shrunk_probabilities_sum_to_one_and_a_class_without_rows_has_its_share():
    rows = problem(40)
    rows = Rows(rows.features, rows.labels, 4)
    p = np.exp(shrunk_discriminant(rows)(rows.features))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(p[:, 3], 1 / 44, rtol=1e-12)


def test_shrunk_beats_the_mean_classifier_where_one_direction_is_loud():
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    x = np.column_stack([10 * rng.normal(size=600), rng.normal(size=600) + 2.0 * labels, np.ones(600)])
    train, test = Rows(x[:300], labels[:300], 2), Rows(x[300:], labels[300:], 2)
    errors = [
        (fit(train)(test.features).argmax(axis=1) != test.labels).mean()
        for fit in (shrunk_discriminant, mean_classifier)
    ]
    assert errors[0] < 0.2 < errors[1]


def test_one_row_a_class_has_no_variance():
    with pytest.raises(ValueError, match="no within-class variance"):
        shrunk_discriminant(Rows(np.eye(2), np.array([0, 1]), 2))


def test_identical_rows_within_every_class_give_finite_sharp_scores():
    x = np.repeat(np.array([[1.0, 1.0], [-1.0, 1.0]]), 3, axis=0)
    p = shrunk_discriminant(Rows(x, np.repeat([0, 1], 3), 2))(x)
    assert np.isfinite(p).all()
    assert (p.argmax(axis=1) == np.repeat([0, 1], 3)).all()
