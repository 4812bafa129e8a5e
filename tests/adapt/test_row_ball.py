"""The product of balls: certificate, range and minimiser against slow references, and against the ball around it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

from limen.adapt.ball import Rows, minimise
from limen.adapt.losses import loss_range, per_example_loss
from limen.adapt.row_ball import certify_rows, minimise_rows, row_loss_range
from limen.data.worlds.gaussian_classes import gaussian_classes


def rows(classes=4, dimension=3, n=120, seed=0):
    world = gaussian_classes(classes, dimension, n, separation=2.0, label_noise=0.1, seed=seed)
    return Rows(np.hstack([world.features, np.ones((n, 1))]), world.labels, classes)


def slow_minimum(sample, radius):
    """SLSQP with one constraint a class."""
    shape = (sample.features.shape[1], sample.classes)

    def loss(flat):
        return per_example_loss(sample.features @ flat.reshape(shape), sample.labels, "log").mean()

    inside = {"type": "ineq", "fun": lambda flat: radius**2 - (flat.reshape(shape) ** 2).sum(axis=0)}
    start = 0.1 * np.random.default_rng(1).normal(size=shape).ravel()
    found = scipy.optimize.minimize(
        loss, start, method="SLSQP", constraints=[inside], options={"ftol": 1e-12, "maxiter": 500}
    )
    return found.fun


@pytest.mark.parametrize("radius", [0.3, 1.5, 40.0])
def test_the_minimum_is_that_of_a_slow_reference_and_proven(radius):
    sample = rows()
    fit = minimise_rows(sample, radius, tolerance=1e-5)
    assert fit.gap <= 1e-5
    assert np.linalg.norm(fit.weights, axis=0).max() <= radius * (1 + 1e-12)
    assert fit.loss == pytest.approx(slow_minimum(sample, radius), abs=1e-5)
    assert fit.minimum == pytest.approx(fit.loss - fit.gap, abs=1e-12)  # dual form and gap, each computed on its own


def test_a_class_inside_its_ball_is_found_there():
    """A class whose rows are drawn from all others stays short where those are at their spheres."""
    sample, rng = rows(classes=3, n=400), np.random.default_rng(3)
    labels = np.where(rng.random(400) < 0.2, 3, sample.labels)
    fit = minimise_rows(Rows(sample.features, labels, 4), 1.0, tolerance=1e-6)
    norms = np.linalg.norm(fit.weights, axis=0)
    assert fit.gap <= 1e-6
    assert norms[3] < 1 - 1e-3
    assert norms[:3] == pytest.approx(1.0)


def test_the_certificate_is_below_the_loss_of_every_adapter_of_the_class():
    sample, rng = rows(), np.random.default_rng(2)
    at = certify_rows(sample, rng.normal(size=(4, 4)), 2.0)
    for _ in range(50):
        other = rng.normal(size=(4, 4))
        other *= 2.0 / np.linalg.norm(other, axis=0)
        assert at.minimum <= per_example_loss(sample.features @ other, sample.labels, "log").mean()


def test_one_ball_holds_the_product_and_the_other_way_round():
    sample, radius = rows(), 2.0
    inner = minimise_rows(sample, radius / 2, tolerance=1e-6)  # K = 4: ‖W‖_F ≤ radius
    ball = minimise(sample, radius, tolerance=1e-6)
    outer = minimise_rows(sample, radius, tolerance=1e-6)
    assert outer.loss < ball.loss < inner.loss


def test_two_classes_lose_and_gain_nothing():
    sample = rows(classes=2)
    radius = 1.2
    half = minimise_rows(sample, radius / np.sqrt(2), tolerance=1e-7)
    assert half.loss == pytest.approx(minimise(sample, radius, tolerance=1e-7).loss, abs=1e-6)
    assert row_loss_range(2, radius / np.sqrt(2), 3.0) == pytest.approx(loss_range("log", 2, radius, 3.0))


@pytest.mark.parametrize("classes", [3, 10, 77])
def test_the_range_is_attained_and_smaller_by_the_root_of_half_the_classes(classes):
    radius, bound = 2.0, 1.5
    x = np.array([[bound, 0.0]])
    weights = np.zeros((2, classes))
    weights[0] = radius
    weights[0, 0] = -radius
    worst = per_example_loss(x @ weights, np.array([0]), "log")[0]
    assert worst == pytest.approx(row_loss_range(classes, radius, bound))
    ball = loss_range("log", classes, 1e4, bound)
    assert ball / row_loss_range(classes, 1e4 / np.sqrt(classes), bound) == pytest.approx(
        np.sqrt(classes / 2), rel=1e-2
    )


def test_bad_input_has_its_error():
    sample = rows()
    for radius in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="radius_row must be positive and finite"):
            minimise_rows(sample, radius)
    squared = Rows(sample.features, sample.labels, 4, "squared")
    with pytest.raises(ValueError, match="loss: expected log, got squared"):
        minimise_rows(squared, 1.0)
    with pytest.raises(ValueError, match="loss: expected log, got squared"):
        certify_rows(squared, np.zeros((4, 4)), 1.0)
