"""Label noise: the noisy posterior, its effect on the Bayes risk, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from limen.data.worlds.clustered_rows import ClusteredRows
from limen.data.worlds.embeddings import embeddings
from limen.data.worlds.gaussian_classes import GaussianClasses
from limen.data.worlds.label_noise import LabelNoise
from limen.data.worlds.world import LinearScores, expected_loss

TWO = GaussianClasses(np.array([[-0.8, 0.0], [0.8, 0.5]]))
FOUR = GaussianClasses(np.random.default_rng(0).normal(size=(4, 2)))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_the_bayes_error_of_two_classes_moves_linearly(share):
    noisy = LabelNoise(TWO, share).bayes_integral("zero-one")
    assert abs(noisy.value - (share + (1 - 2 * share) * TWO.bayes_error)) < 5.4 * noisy.error


def test_no_noise_changes_nothing_and_full_noise_says_nothing():
    x = np.random.default_rng(1).normal(size=(50, 2))
    assert np.array_equal(LabelNoise(FOUR, 0.0).posterior(x), FOUR.posterior(x))
    assert LabelNoise(FOUR, 0.75).bayes_risk == pytest.approx(np.log(4), abs=1e-12)


def test_noise_raises_the_bayes_risk_until_labels_are_uniform():
    risks = [LabelNoise(FOUR, share).bayes_risk for share in (0.0, 0.1, 0.3, 0.6, 0.75)]
    assert sorted(risks) == risks
    assert LabelNoise(FOUR, 0.9).bayes_risk < risks[-1]


def test_noise_upon_noise_is_noise():
    """Shares add as ρ + ρ' − ρρ'·K/(K − 1)."""
    twice, once = LabelNoise(LabelNoise(FOUR, 0.2), 0.1), LabelNoise(FOUR, 0.2 + 0.1 - 0.2 * 0.1 * 4 / 3)
    x = np.random.default_rng(2).normal(size=(50, 2))
    assert np.allclose(twice.posterior(x), once.posterior(x), atol=1e-15)


def test_every_other_class_is_as_likely_and_features_stay():
    rows, clean = (w.sample(40_000, np.random.default_rng(3)) for w in (LabelNoise(FOUR, 0.3), FOUR))
    assert np.array_equal(rows.features, clean.features)
    step = np.bincount((rows.labels - clean.labels) % 4, minlength=4) / 40_000
    assert np.allclose(step, [0.7, 0.1, 0.1, 0.1], atol=4.5 * np.sqrt(0.7 * 0.3 / 40_000))


def test_groups_pass_through():
    rows = LabelNoise(ClusteredRows(TWO, size=2, shared=0.5), 0.3).sample(5, np.random.default_rng(4))
    assert rows.groups.tolist() == [0, 0, 1, 1, 2]


def test_the_noisy_loss_of_a_finite_population_is_a_mean_over_rows_and_labels():
    x, y = np.random.default_rng(5).normal(size=(30, 2)), np.arange(30) % 3
    rule, world = LinearScores(np.ones((2, 3)) * [1, 2, 3], np.zeros(3)), embeddings("e", (x, y))
    log_p = scipy.special.log_softmax(rule(x), axis=1)
    mean = -np.mean([0.8 * log_p[i, y[i]] + 0.1 * np.delete(log_p[i], y[i]).sum() for i in range(30)])
    assert LabelNoise(world, 0.2).population_loss(rule) == pytest.approx(mean, rel=1e-13)
    assert world.population_loss(rule) == pytest.approx(expected_loss(rule(x), np.eye(3)[y], "log").mean())
    assert LabelNoise(world, 0.2).bayes_risk is None


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_shares_that_are_none_are_refused(share):
    with pytest.raises(ValueError, match=r"share: expected a number from 0 to 1, got"):
        LabelNoise(TWO, share)
