"""A finite class: its losses in closed form, its floor, and the sandwich around it."""

from __future__ import annotations

import numpy as np
import pytest

from limen.data.worlds.class_world import ClassWorld
from limen.data.worlds.finite_class import FiniteClass, finite_class
from limen.data.worlds.world import LinearScores

WORLD = finite_class(50, 5, flip=0.2, seed=1)


def test_losses_are_the_frequencies_of_mistakes():
    """All 50 within 4.5 standard errors of 100,000 rows."""
    rows = WORLD.sample(100_000, np.random.default_rng(0))
    found = WORLD.mistakes(rows.features, rows.labels).mean(axis=0)
    assert (abs(found - WORLD.losses) < 4.5 * np.sqrt(WORLD.losses * (1 - WORLD.losses) / 100_000)).all()


def test_a_classifier_as_linear_scores_has_its_loss():
    for w, loss in zip(WORLD.candidates, WORLD.losses, strict=True):
        rule = LinearScores(np.stack([np.zeros(5), w], axis=1), np.zeros(2))
        assert WORLD.population_loss(rule, "zero-one") == pytest.approx(loss, abs=1e-14)


@pytest.mark.parametrize(("angle", "loss"), [(0.0, 0.1), (1e-9, 0.1 + 0.8e-9 / np.pi), (np.pi / 2, 0.5), (np.pi, 0.9)])
def test_the_loss_grows_linearly_with_the_angle(angle, loss):
    world = FiniteClass(np.array([2.0, 0.0]), 5 * np.array([[np.cos(angle), np.sin(angle)]]), 0.1)
    assert world.losses[0] == pytest.approx(loss, abs=1e-16)


def test_losses_ignore_rotations_and_lengths():
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    turned = FiniteClass(3 * WORLD.normal @ turn, 0.01 * WORLD.candidates @ turn, WORLD.flip)
    assert np.allclose(turned.losses, WORLD.losses, atol=1e-14)


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_closed_forms_of_linear_scores_agree_with_the_nodes(loss):
    rng = np.random.default_rng(3)
    for scale in (0.0, 0.5, 2.0):
        rule = LinearScores(
            scale * rng.normal(size=(5, 2)) + scale * WORLD.normal[:, None] * [-1, 1], rng.normal(size=2)
        )
        exact, nodes = WORLD.population_integral(rule, loss), ClassWorld.population_integral(WORLD, rule, loss)
        assert exact.error == 0
        assert abs(exact.value - nodes.value) < 5.4 * nodes.error + 1e-12


def test_the_least_training_error_lies_below_the_floor_and_rises_to_it():
    """E min L̂_n ≤ floor ≤ E L(ĝ_n), both monotone here: 400 samples a size, by 3 standard errors."""
    rng, least, chosen = np.random.default_rng(4), [], []
    for n in (20, 80, 320):
        rows = WORLD.sample(400 * n, rng)
        errors = WORLD.mistakes(rows.features, rows.labels).reshape(400, n, -1).mean(axis=1)
        least.append(errors.min(axis=1))
        chosen.append(WORLD.losses[errors.argmin(axis=1)])
    for low, high in zip(least, chosen, strict=True):
        assert low.mean() + 3 * low.std() / 20 < WORLD.floor
        assert high.mean() - 3 * high.std() / 20 > WORLD.floor
    assert least[0].mean() < least[1].mean() < least[2].mean()
    assert chosen[0].mean() > chosen[1].mean() > chosen[2].mean()


@pytest.mark.parametrize(
    ("normal", "candidates", "flip", "message"),
    [
        (np.ones(2), np.ones((3, 4)), 0.1, r"expected normal \[d\] and candidates \[M, d\] .* got \(2,\) and \(3, 4\)"),
        (np.ones(2), np.ones((0, 2)), 0.1, r"with M ≥ 1"),
        (np.ones(2), np.zeros((1, 2)), 0.1, r"of positive length, got a zero vector"),
        (np.ones(2), np.ones((1, 2)), 0.6, r"flip: expected a number from 0 to 1/2, got 0.6"),
    ],
)
def test_classes_that_are_none_are_refused(normal, candidates, flip, message):
    with pytest.raises(ValueError, match=message):
        FiniteClass(normal, candidates, flip)
