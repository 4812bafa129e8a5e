"""H-score, LEEP and NCE against slow obvious references, their bounds and invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from limen.measure.transferability import h_score, leep, nce


def problem(n=60, d=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    x = rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return x, labels, rng.dirichlet(np.full(4, 0.5), n)


def covariances(x, labels):
    means = np.array([x[labels == c].mean(axis=0) for c in labels])
    return np.cov(x, rowvar=False, bias=True), np.cov(means, rowvar=False, bias=True)


def entropy(labels):
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log(shares)).sum())


def test_h_score_is_the_trace():
    x, labels, _ = problem()
    whole, between = covariances(x, labels)
    assert h_score(x, labels) == pytest.approx(np.trace(np.linalg.inv(whole) @ between), rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (20, 40)])
@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_shrunk_h_score_is_the_trace(n, d, alpha):
    x, labels, _ = problem(n, d)
    whole, between = covariances(x, labels)
    shrunk = (1 - alpha) * whole + alpha * np.trace(whole) / d * np.eye(d)
    expected = (1 - alpha) * np.trace(np.linalg.solve(shrunk, between))
    assert h_score(x, labels, alpha) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (20, 40)])
def test_ledoit_wolf_shrinkage_is_scikit_learns(n, d):
    x, labels, _ = problem(n, d)
    assert h_score(x, labels, "ledoit-wolf") == pytest.approx(h_score(x, labels, ledoit_wolf_shrinkage(x)), rel=1e-10)


def test_h_score_is_what_least_squares_explains_of_whitened_labels():
    # Σ_c R²_c·(1 − π_c), R² of the indicator of class c regressed on the features with an intercept
    x, labels, _ = problem()
    design, total = np.hstack([x, np.ones((60, 1))]), 0.0
    for c in range(3):
        y = (labels == c).astype(float)
        fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        total += (1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()) * (1 - y.mean())
    assert h_score(x, labels) == pytest.approx(total, rel=1e-10)


def test_h_score_is_invariant_to_invertible_affine_maps_and_shrunk_to_rotations():
    x, labels, _ = problem()
    rng = np.random.default_rng(1)
    mapped = x @ rng.normal(size=(6, 6)) + 5.0
    rotated = 7.0 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] - 2.0
    assert h_score(mapped, labels) == pytest.approx(h_score(x, labels), rel=1e-9)
    for shrinkage in (0.3, "ledoit-wolf"):
        assert h_score(rotated, labels, shrinkage) == pytest.approx(h_score(x, labels, shrinkage), rel=1e-9)
    assert abs(h_score(mapped, labels, 0.3) - h_score(x, labels, 0.3)) > 1e-3


def test_h_score_falls_with_shrinkage_from_at_most_k_minus_one_to_zero():
    x, labels, _ = problem()
    scores = [h_score(x, labels, alpha) for alpha in (0.0, 0.01, 0.1, 0.5, 0.9, 1.0)]
    assert (np.diff(scores) < 0).all()
    assert scores[0] < 2.0
    assert scores[-1] == 0.0


def test_h_score_of_fewer_rows_than_features_is_k_minus_one():
    x, labels, _ = problem(20, 40)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert h_score(x, labels) == pytest.approx(2.0, rel=1e-10)
    assert h_score(x, shuffled) == pytest.approx(2.0, rel=1e-10)


def test_constant_features_have_h_score_zero():
    assert h_score(np.full((6, 2), 0.1), np.arange(6) % 2) == 0.0


def test_leep_is_its_definition_row_by_row():
    _, labels, theta = problem()
    total = 0.0
    for row, y in zip(theta, labels, strict=True):
        total += math.log(sum(row[z] * theta[labels == y, z].sum() / theta[:, z].sum() for z in range(4)))
    assert leep(theta, labels) == pytest.approx(total / len(labels), rel=1e-12)


def test_nce_is_its_definition_and_leep_of_hard_probabilities():
    _, labels, theta = problem()
    hard = theta.argmax(axis=1)
    groups = [labels[hard == z] for z in np.unique(hard)]
    assert nce(hard, labels) == pytest.approx(-sum(len(g) * entropy(g) for g in groups) / 60, rel=1e-12)
    assert leep(np.eye(4)[hard], labels) == pytest.approx(nce(hard, labels), rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_of_leep_and_nce(seed):
    _, labels, theta = problem(30, 2, seed=seed)
    joint = np.array([theta[labels == c].sum(axis=0) for c in range(3)]) / 30
    soft_entropy = -(joint * np.log(joint / joint.sum(axis=0))).sum()
    assert -entropy(labels) <= -soft_entropy <= leep(theta, labels) <= 0
    assert -entropy(labels) <= nce(theta.argmax(axis=1), labels) <= 0


def test_merging_source_labels_never_raises_nce_and_renaming_changes_nothing():
    rng = np.random.default_rng(2)
    source, labels = rng.integers(0, 5, 80), rng.integers(0, 3, 80)
    merged = np.where(source == 4, 3, source)
    assert nce(merged, labels) < nce(source, labels)
    assert nce(10 - source, labels + 7) == pytest.approx(nce(source, labels), rel=1e-12)
    assert nce(np.zeros(80, dtype=np.int64), labels) == pytest.approx(-entropy(labels), rel=1e-12)


def test_nce_plus_the_likelihood_of_the_hard_labels_is_no_lower_bound_of_leep():
    # LEEP = ln(½ + 2ε²) < ln(½ + ε) = NCE + mean ln max_z θ_z
    epsilon = 0.2
    theta = np.array([[0.5 + epsilon, 0.5 - epsilon], [0.5 - epsilon, 0.5 + epsilon]])
    labels = np.array([0, 1])
    assert leep(theta, labels) == pytest.approx(math.log(0.5 + 2 * epsilon**2), rel=1e-12)
    assert nce(labels, labels) == 0.0
    assert leep(theta, labels) < nce(labels, labels) + math.log(0.5 + epsilon)


def test_source_classes_that_never_occur_change_nothing():
    _, labels, theta = problem()
    assert leep(np.hstack([theta, np.zeros((60, 2))]), labels) == pytest.approx(leep(theta, labels), rel=1e-12)


def test_what_makes_no_sense_is_refused():
    x, labels, theta = problem()
    with pytest.raises(ValueError, match="summing to 1"):
        leep(10 * theta, labels)
    with pytest.raises(ValueError, match="summing to 1"):
        leep(np.log(theta), labels)
    with pytest.raises(ValueError, match="n labels"):
        leep(theta, labels[:5])
    with pytest.raises(ValueError, match="one source label"):
        nce(labels[:5], labels)
    with pytest.raises(ValueError, match="shrinkage"):
        h_score(x, labels, 1.5)
    with pytest.raises(ValueError, match="finite features"):
        h_score(np.full((60, 2), np.inf), labels)
