"""Subclusters: the density behind the posterior, tails, and what a linear adapter cannot do."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from limen.data.worlds.gaussian_classes import GaussianClasses
from limen.data.worlds.subclusters import Subclusters, subclusters
from limen.data.worlds.world import LinearScores

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(3, 2, 4))


@pytest.mark.parametrize("freedom", [1.0, 6.0, 40.0])
def test_the_posterior_is_that_of_multivariate_t_densities(freedom):
    x = 3 * RNG.normal(size=(40, 4))
    density = np.array(
        [sum(scipy.stats.multivariate_t(c, np.eye(4), df=freedom).pdf(x) for c in own) for own in CENTRES]
    ).T
    ours = Subclusters(CENTRES, freedom).posterior(x)
    assert np.allclose(ours, density / density.sum(axis=1, keepdims=True), atol=1e-12)


def test_the_squared_length_of_the_noise_has_the_law_of_f():
    """‖x − μ‖²/d ~ F(d, ν) for one centre; Kolmogorov–Smirnov at 1e-4."""
    law = Subclusters(np.zeros((2, 1, 4)), 6.0)
    x = law.sample(20_000, np.random.default_rng(1)).features
    assert scipy.stats.kstest((x**2).sum(axis=1) / 4, scipy.stats.f(4, 6).cdf).pvalue > 1e-4


def test_light_tails_and_one_centre_are_gaussian_classes():
    means = CENTRES[:, 0]
    t, normal = Subclusters(means[:, None], 1e7).bayes_integral(), GaussianClasses(means).bayes_integral()
    assert abs(t.value - normal.value) < 5.4 * np.hypot(t.error, normal.error) + 1e-6


def test_opposite_corners_of_one_class_defeat_every_linear_rule_but_not_the_posterior():
    corners = 6 * np.array([[[1.0, 1.0], [-1.0, -1.0]], [[1.0, -1.0], [-1.0, 1.0]]])
    law = Subclusters(corners, 6.0)
    assert law.bayes_error < 0.03
    angles = np.linspace(0, np.pi, 7)
    for angle in angles:
        rule = LinearScores(np.array([[np.cos(angle), 0.0], [np.sin(angle), 0.0]]), np.zeros(2))
        assert law.population_loss(rule, "zero-one") > 0.45


def test_the_population_is_a_draw_of_its_law():
    world = subclusters(3, 5, 20_000, separation=1.5, seed=3)
    exact = world.law.bayes_integral()
    posterior = world.posterior(world.features)
    spread = scipy.stats.entropy(posterior, axis=1).std() / np.sqrt(len(world))
    assert abs(world.bayes_risk - exact.value) < 4.5 * np.hypot(spread, exact.error)
    worst = np.array([0.92, 0.04, 0.04])
    assert world.bayes_risk > scipy.stats.entropy(worst)  # the noise alone


@pytest.mark.parametrize(
    ("centres", "freedom", "message"),
    [
        (CENTRES[:1], 6.0, r"centres: expected finite \[K, m, d\] with K ≥ 2, got shape \(1, 2, 4\)"),
        (CENTRES[0], 6.0, r"centres: expected .* got shape \(2, 4\)"),
        (CENTRES, 0.0, r"freedom: expected a finite number above 0, got 0.0"),
    ],
)
def test_laws_that_are_none_are_refused(centres, freedom, message):
    with pytest.raises(ValueError, match=message):
        Subclusters(centres, freedom)
