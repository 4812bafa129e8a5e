"""The loss under a conditional law is the mean of the adapters' loss of single labels."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.losses import per_example_loss, predictions
from limen.data.worlds.world import LOSSES, LinearScores, expected_loss, unit_directions

RNG = np.random.default_rng(0)
SCORES = 3 * RNG.normal(size=(50, 4))
LABELS = RNG.integers(0, 4, 50)


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_a_certain_label_has_the_loss_of_the_adapters(loss):
    ours, theirs = expected_loss(SCORES, np.eye(4)[LABELS], loss), per_example_loss(SCORES, LABELS, loss)
    assert np.allclose(ours, theirs, rtol=1e-13, atol=1e-13)


def test_zero_one_loss_predicts_as_the_adapters_do():
    tied = np.round(SCORES)
    assert np.array_equal(expected_loss(tied, np.eye(4)[LABELS], "zero-one"), predictions(tied) != LABELS)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_linear_in_the_conditional_law(loss):
    q = RNG.dirichlet(np.ones(4), 50)
    each = np.stack([expected_loss(SCORES, np.eye(4)[np.full(50, c)], loss) for c in range(4)], axis=1)
    assert np.allclose(expected_loss(SCORES, q, loss), (q * each).sum(axis=1), rtol=1e-12)


def test_an_impossible_label_may_have_a_score_of_minus_infinity():
    scores = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    found = expected_loss(scores, np.array([[1.0, 0.0], [0.9, 0.1]]), "log")
    assert found.tolist() == [0.0, np.inf]


def test_linear_scores_are_affine():
    rule = LinearScores(RNG.normal(size=(3, 2)), RNG.normal(size=2))
    x, y = RNG.normal(size=(2, 5, 3))
    assert np.allclose(rule(0.3 * x + 0.7 * y), 0.3 * rule(x) + 0.7 * rule(y))
    assert np.allclose(rule(np.zeros((1, 3))), rule.intercept)


def test_directions_are_uniform_on_the_sphere():
    found = unit_directions(np.random.default_rng(1), 20_000, 3)
    assert np.allclose(found.mean(axis=0), 0, atol=0.02)
    assert np.allclose(found.T @ found / 20_000, np.eye(3) / 3, atol=0.02)
