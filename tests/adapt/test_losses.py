"""Losses: derivatives, dual part, and ranges that are never exceeded and sometimes attained."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.adapt.losses import dual_per_example, loss_range, one_hot, per_example_loss, predictions, residuals

LOSSES = ("log", "squared")


@pytest.mark.parametrize("loss", LOSSES)
def test_residuals_are_the_derivative_of_the_loss(loss):
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(7, 4)), rng.integers(0, 4, 7)
    step = 1e-6
    for c in range(4):
        up, down = scores.copy(), scores.copy()
        up[:, c] += step
        down[:, c] -= step
        slope = (per_example_loss(up, labels, loss) - per_example_loss(down, labels, loss)) / (2 * step)
        assert np.allclose(slope, residuals(scores.copy(), labels, loss)[:, c], atol=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_dual_part_is_the_loss_less_its_slope_along_the_scores(loss):
    rng = np.random.default_rng(1)
    scores, labels = 5 * rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
    along = (residuals(scores.copy(), labels, loss) * scores).sum(axis=1)
    direct = per_example_loss(scores, labels, loss) - along
    assert np.allclose(dual_per_example(scores, loss, labels), direct, rtol=1e-12, atol=1e-12)


def test_the_dual_part_of_the_log_loss_is_an_entropy():
    rng = np.random.default_rng(2)
    dual = dual_per_example(30 * rng.normal(size=(200, 5)), "log", np.zeros(200, dtype=np.int64))
    assert dual.min() >= 0
    assert dual.max() <= np.log(5)


def test_huge_scores_give_finite_numbers():
    scores = np.array([[1e4, -1e4], [-1e4, 1e4]])
    labels = np.array([0, 0])
    assert per_example_loss(scores, labels, "log").tolist() == [0.0, 2e4]
    assert np.isfinite(dual_per_example(scores, "log", labels)).all()


@settings(max_examples=200, deadline=None)
@given(
    loss=st.sampled_from(LOSSES),
    classes=st.integers(2, 8),
    radius=st.floats(0.01, 30),
    bound=st.floats(1.0, 5.0),
    seed=st.integers(0, 10_000),
)
def test_no_adapter_in_the_ball_exceeds_the_range(loss, classes, radius, bound, seed):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(3, classes))
    weights *= radius / np.linalg.norm(weights)
    x = rng.normal(size=(20, 3))
    x *= bound / np.linalg.norm(x, axis=1, keepdims=True)
    worst = max(per_example_loss(x @ weights, np.full(20, y), loss).max() for y in range(classes))
    assert worst <= loss_range(loss, classes, radius, bound) * (1 + 1e-12)
    assert per_example_loss(x @ weights, np.zeros(20, dtype=np.int64), loss).min() >= -1e-9


def worst_case(loss, classes, radius, bound):
    """Adversarial search: with x along one axis only the scores z with ‖z‖ ≤ radius·bound matter."""
    size, label = radius * bound, np.zeros(1, dtype=np.int64)

    def negative(raw):
        z = raw * size / max(np.linalg.norm(raw), 1e-12)
        return -float(per_example_loss(z[None], label, loss)[0])

    rng = np.random.default_rng(0)
    starts = [np.eye(classes)[1] - np.eye(classes)[0], -np.eye(classes)[0], *rng.normal(size=(6, classes))]
    return max(-scipy.optimize.minimize(negative, start, method="BFGS").fun for start in starts)


@pytest.mark.parametrize("radius", [0.3, 2.0, 6.0])
@pytest.mark.parametrize(("loss", "classes"), [("log", 2), ("squared", 2), ("squared", 5)])
def test_the_range_is_attained(loss, classes, radius):
    top = loss_range(loss, classes, radius, 1.5)
    assert worst_case(loss, classes, radius, 1.5) == pytest.approx(top, rel=1e-6)


@pytest.mark.parametrize("classes", [3, 10])
def test_the_range_of_the_log_loss_is_loose_by_less_than_the_log_of_the_other_classes(classes):
    worst, top = worst_case("log", classes, 4.0, 1.5), loss_range("log", classes, 4.0, 1.5)
    assert worst <= top <= worst + np.log(classes - 1) + 1e-9


def test_range_of_many_classes_and_large_radius_does_not_overflow():
    assert loss_range("log", 77, 1e4, 10.0) == pytest.approx(np.log(76) + np.sqrt(2) * 1e5)


def test_one_hot_and_predictions():
    assert one_hot(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert predictions(np.array([[0.0, 1.0, 1.0], [2.0, 1.0, 2.0]])).tolist() == [1, 0]  # the lowest label among ties
