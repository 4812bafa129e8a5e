"""LogME against the density of a Gaussian, MacKay's iteration, and its invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from limen.measure.logme import logme


def problem(n=40, d=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d)), labels


def density(x, y, alpha, beta):
    """(1/n) ln N(y; 0, β⁻¹I + α⁻¹FFᵀ), the marginal likelihood itself."""
    n = len(y)
    return multivariate_normal.logpdf(y, np.zeros(n), np.eye(n) / beta + x @ x.T / alpha) / n


def mackay(x, y):
    """α, β at the fixed point of the published iteration, run to the end."""
    alpha = beta = 1.0
    values, vectors = np.linalg.eigh(x.T @ x)
    for _ in range(2000):
        gamma = (beta * values / (alpha + beta * values)).sum()
        m = vectors @ (beta * (vectors.T @ (x.T @ y)) / (alpha + beta * values))
        alpha, beta = gamma / (m @ m), (len(y) - gamma) / ((y - x @ m) ** 2).sum()
    return alpha, beta


@pytest.mark.parametrize(("n", "d"), [(40, 6), (30, 10)])
def test_is_the_density_at_the_fixed_point_of_mackay(n, d):
    x, labels = problem(n, d)
    values = [density(x, labels == c, *mackay(x, (labels == c).astype(float))) for c in range(3)]
    assert logme(x, labels) == pytest.approx(np.mean(values), abs=1e-7)


def test_with_more_features_than_rows_the_noise_may_vanish():
    # λ → 0: the density of N(0, α⁻¹FFᵀ) at α = n/(yᵀ(FFᵀ)⁻¹y); no noise of ours adds to it
    x, labels = problem(30, 60)
    best, vanish = [], []
    for c in range(3):
        y = (labels == c).astype(float)
        along = []
        for ratio in np.geomspace(1e-9, 1e5, 80):
            beta = 30 / (y @ np.linalg.solve(np.eye(30) + x @ x.T / ratio, y))
            along.append(density(x, y, ratio * beta, beta))
        best.append(max(along))
        vanish.append(np.argmax(along) == 0)
    assert np.mean(best) - 1e-7 <= logme(x, labels) <= np.mean(best) + 1e-3
    assert any(vanish)


def test_no_scales_give_a_greater_density():
    x, labels = problem(20, 3, classes=2, seed=4)
    scales = np.geomspace(1e-3, 1e3, 25)
    grid = [[[density(x, labels == c, a, b) for a in scales] for b in scales] for c in range(2)]
    best = np.max(grid, axis=(1, 2)).mean()
    assert best <= logme(x, labels) <= best + 0.02  # the grid is coarse


def test_is_never_below_the_published_iteration_and_sometimes_well_above():
    # directions of very different sizes: where the iteration starts and stops decides its value
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x, labels = rng.normal(size=(8, 6)) * 10.0 ** rng.uniform(-3, 3, 6), np.arange(8) % 2
        values = [density(x, labels == c, *_stopped(x, (labels == c).astype(float))) for c in range(2)]
        found.append(logme(x, labels) - np.mean(values))
    assert min(found) > -1e-6
    assert max(found) > 0.01


def _stopped(x, y):
    """The iteration as published: from α = β = 1, at most 11 steps, stopped at 1 % change of their ratio."""
    alpha = beta = 1.0
    values, vectors = np.linalg.eigh(x.T @ x)
    for _ in range(11):
        old = alpha / beta
        gamma = (beta * values / (alpha + beta * values)).sum()
        m = vectors @ (beta * (vectors.T @ (x.T @ y)) / (alpha + beta * values))
        alpha, beta = gamma / (m @ m), (len(y) - gamma) / ((y - x @ m) ** 2).sum()
        if abs(alpha / beta - old) <= 0.01 * old:
            break
    return alpha, beta


def test_invariances():
    x, labels = problem()
    score = logme(x, labels)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert logme(x @ rotation, labels) == pytest.approx(score, abs=1e-9)
    assert logme(1e3 * x, labels) == pytest.approx(score, abs=1e-9)
    assert logme(np.hstack([x, np.zeros((40, 2))]), labels) == pytest.approx(score, abs=1e-9)
    assert logme(x, np.array([5, 9, 2])[labels]) == pytest.approx(score, abs=1e-12)
    order = np.random.default_rng(2).permutation(40)
    assert logme(x[order], labels[order]) == pytest.approx(score, abs=1e-9)
    assert abs(logme(x + 1.0, labels) - score) > 1e-3  # no intercept: shifts matter


def test_features_that_know_the_labels_score_higher():
    x, labels = problem(90, 6)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert logme(x, labels) > logme(x, shuffled) + 0.05


def test_an_exact_fit_by_fewer_directions_than_rows_has_no_greatest_evidence():
    labels = np.arange(12) % 3
    assert logme(np.eye(3)[labels], labels) == math.inf
    assert np.isfinite(logme(np.eye(3)[labels] + 1e-6 * problem(12, 3)[0], labels))


def test_as_many_directions_as_rows_have_a_finite_evidence():
    # F = I: β⁻¹ + α⁻¹ is one variance, ‖y‖²/n = ½ at best
    assert logme(np.eye(4), np.array([0, 0, 1, 1])) == pytest.approx(-0.5 * np.log(np.pi * np.e), abs=1e-8)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="finite features"):
        logme(np.array([[np.nan], [1.0]]), np.array([0, 1]))
    with pytest.raises(ValueError, match="n labels"):
        logme(np.ones((3, 1)), np.array([0, 1]))
