"""The floor formulas on least squares with Gaussian rows, where both expectations are known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from limen.theory.squared_floor import floor_from_both, floor_from_training

NOISE = 1.7


def fits(n, d, repetitions, make_rows, seed=0):
    """Training and test loss of least squares: [repetitions, 2]; Σ = I."""
    rng = np.random.default_rng(seed)
    theta, losses = rng.normal(size=d), []
    for _ in range(repetitions):
        x = make_rows(rng, n, d)
        y = x @ theta + math.sqrt(NOISE) * rng.normal(size=n)
        w = np.linalg.lstsq(x, y, rcond=None)[0]
        losses.append((((x @ w - y) ** 2).mean(), ((w - theta) ** 2).sum() + NOISE))
    return np.array(losses)


def gaussian(rng, n, d):
    return rng.normal(size=(n, d))


def heavy(rng, n, d):
    return np.hstack([rng.standard_t(2.5, size=(n, d - 1)), np.ones((n, 1))])


@pytest.mark.parametrize("make_rows", [gaussian, heavy])
def test_training_formula_is_unbiased_whatever_the_features(make_rows):
    losses = fits(30, 20, 3000, make_rows)[:, 0]
    floors = np.array([floor_from_training(float(loss), 30, 20).value for loss in losses])
    assert abs(floors.mean() - NOISE) < 4 * floors.std() / math.sqrt(len(floors))
    assert losses.mean() < 0.5 * NOISE  # what it corrects is large


def test_both_sides_of_gaussian_rows_have_their_exact_expectations():
    n, d = 30, 15
    losses = fits(n, d, 6_000, gaussian)
    mean, error = losses.mean(axis=0), losses.std(axis=0) / math.sqrt(len(losses))
    exact = NOISE * np.array([1 - d / n, (n - 1) / (n - d - 1)])
    assert (np.abs(mean - exact) < 4 * error).all()
    # the root of the product is too high by d/(2n(n − d − 1)), not 0
    excess = floor_from_both(*exact.tolist()).value / NOISE - 1
    assert excess == pytest.approx(d / (2 * n * (n - d - 1)), rel=0.02)


def test_the_geometric_mean_holds_at_a_fixed_ratio_where_the_midpoint_does_not():
    n, d = 400, 300
    train, test = fits(n, d, 20, gaussian).mean(axis=0)
    assert floor_from_both(float(train), float(test)).value == pytest.approx(NOISE, rel=0.03)
    gamma = d / n
    assert (train + test) / 2 == pytest.approx(NOISE * (1 + gamma**2 / (2 * (1 - gamma))), rel=0.05)


def test_the_gaussian_assumption_is_listed_where_it_is_needed_only():
    assert set(floor_from_training(1.0, 4, 2).assumptions) < set(floor_from_both(1.0, 1.0).assumptions)


def test_least_squares_without_residuals_is_refused():
    with pytest.raises(ValueError, match="more rows than the rank 20"):
        floor_from_training(0.0, 20, 20)
    with pytest.raises(ValueError, match="test_loss"):
        floor_from_both(1.0, -1.0)
    with pytest.raises(ValueError, match="training_loss"):
        floor_from_training(math.nan, 20, 2)
