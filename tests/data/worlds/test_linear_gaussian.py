"""Linear-Gaussian regression: closed forms against simulation and a general solver."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

from limen.data.worlds.linear_gaussian import LinearGaussian
from limen.data.worlds.world import LinearScores

BETA = np.array([1.0, -2.0, 0.5, 0.0, 1.5])
VARIANCES = np.array([4.0, 1.0, 0.25, 1.0, 0.04])
WORLD = LinearGaussian(BETA, VARIANCES, noise=0.7)


def linear(w: np.ndarray, b: float = 0.0) -> LinearScores:
    return LinearScores(w[:, None], np.array([b]))


def test_the_mean_squared_residual_of_a_sample_is_the_population_loss():
    rows = WORLD.sample(100_000, np.random.default_rng(0))
    for rule in (linear(BETA), linear(np.ones(5), 0.3), lambda x: np.sin(x[:, :1])):
        losses = (rule(rows.features)[:, 0] - rows.targets) ** 2
        exact = WORLD.population_integral(rule)
        assert abs(losses.mean() - exact.value) < 4.5 * np.hypot(losses.std() / np.sqrt(len(rows)), exact.error)
        assert exact.error < 0.01 * exact.value


def test_the_closed_form_of_a_linear_rule_agrees_with_quadrature():
    rule = linear(np.ones(5), 0.3)
    nodes = WORLD.population_integral(lambda x: rule(x))
    assert WORLD.population_integral(rule).error == 0
    assert abs(nodes.value - WORLD.population_loss(rule)) < 5.4 * nodes.error
    assert WORLD.population_loss(linear(BETA)) == pytest.approx(WORLD.bayes_risk) == 0.7**2


@pytest.mark.parametrize("n", [8, 12, 60])
def test_least_squares_has_the_train_and_population_loss_of_the_closed_form(n):
    """4.5 standard errors of 6,000 samples; n − d − 1 ≥ 2 so that the mean exists, ≥ 5 that a variance does."""
    rng, repetitions = np.random.default_rng(n), 6000
    rows = WORLD.sample(repetitions * n, rng)
    x, y = rows.features.reshape(repetitions, n, 5), rows.targets.reshape(repetitions, n)
    w = np.linalg.solve(np.einsum("rni,rnj->rij", x, x), np.einsum("rni,rn->ri", x, y)[..., None])[..., 0]
    train = ((np.einsum("rni,ri->rn", x, w) - y) ** 2).mean(axis=1)
    assert abs(train.mean() - WORLD.least_squares_train_loss(n)) < 4.5 * train.std() / np.sqrt(repetitions)
    population = (VARIANCES * (w - BETA) ** 2).sum(axis=1) + WORLD.bayes_risk
    if n >= 12:
        known = WORLD.least_squares_population_loss(n)
        assert abs(population.mean() - known) < 4.5 * population.std() / np.sqrt(repetitions)


def test_the_proportional_limit_is_that_of_gamma():
    d, n = 2000, 8000
    world = LinearGaussian(np.zeros(d), noise=1.5)
    assert world.least_squares_train_loss(n) == pytest.approx(1.5**2 * (1 - d / n))
    assert world.least_squares_population_loss(n) == pytest.approx(1.5**2 / (1 - d / n), rel=2e-4)


@pytest.mark.parametrize("radius", [0.05, 0.5, 1.5, 2.5])
def test_the_floor_is_what_a_general_solver_finds(radius):
    found = scipy.optimize.minimize(
        lambda w: VARIANCES @ (w - BETA) ** 2,
        np.full(5, 0.01),
        constraints={"type": "ineq", "fun": lambda w: radius**2 - w @ w},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert WORLD.floor(radius) == pytest.approx(found.fun + WORLD.bayes_risk, rel=1e-6)


@pytest.mark.parametrize("radius", [0.5, 2.0, 10.0])
def test_the_floor_of_isotropic_features_is_the_distance_to_the_ball(radius):
    gap = max(np.linalg.norm(BETA) - radius, 0.0)
    assert LinearGaussian(BETA, noise=0.5).floor(radius) == pytest.approx(gap**2 + 0.25, rel=1e-12)


def test_the_floor_falls_with_the_radius_to_the_bayes_risk():
    floors = [WORLD.floor(r) for r in (0.01, 0.1, 1.0, 2.0, 2.7, 2.75)]
    assert sorted(floors, reverse=True) == floors
    assert floors[-1] == pytest.approx(WORLD.bayes_risk)
    assert floors[-2] > WORLD.bayes_risk


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearGaussian(np.ones((2, 2))), r"coefficients: expected finite \[d\], got shape \(2, 2\)"),
        (
            lambda: LinearGaussian(np.ones(2), np.array([1.0, 0.0])),
            r"variances: expected 2 finite numbers above 0, got",
        ),
        (lambda: LinearGaussian(np.ones(2), noise=0.0), r"noise: expected a finite number above 0, got 0.0"),
        (lambda: WORLD.floor(0.0), r"radius: expected a finite number above 0, got 0.0"),
        (lambda: WORLD.least_squares_train_loss(4), r"n: expected a whole number of at least 5, got 4"),
        (lambda: WORLD.least_squares_population_loss(6), r"n: expected a whole number of at least 7, got 6"),
        (lambda: WORLD.population_loss(linear(BETA), "log"), r"loss: expected squared, got 'log'"),
        (lambda: WORLD.population_loss(lambda x: x), r"scores: expected shape \(2048, 1\), got \(2048, 5\)"),
    ],
)
def test_misuse_says_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
