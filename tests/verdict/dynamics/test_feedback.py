"""Noise that grows with distance: the closed form of Gaussian least squares, and a simulation of it."""

from __future__ import annotations

import numpy as np
import pytest

from limen.theory.sgd import Modes, discrete, gaussian_regression
from limen.verdict.dynamics.feedback import multiplicative_ratio


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_under_independent_batches_it_is_the_law_of_gaussian_regression(momentum: float) -> None:
    rho = np.array([3.0, 1.0, 0.3])
    modes = Modes(rho, 2.0 * rho, 0.03, momentum, 8)
    known = gaussian_regression(modes, 2.0)
    assert multiplicative_ratio(discrete(modes)) == pytest.approx(1 / known.additive_ratio, rel=1e-12)
    assert (multiplicative_ratio(discrete(modes)) > 1).all()


def test_without_second_moments_it_is_infinite_and_flat_modes_have_none() -> None:
    wide = Modes([1.0, 0.0], [1.0, 1.0], 0.7)
    found = multiplicative_ratio(discrete(wide))
    assert np.isposinf(found[0])
    assert np.isnan(found[1])


def test_reshuffled_least_squares_is_hotter_than_its_law_mostly_by_this() -> None:
    """Many replicas on Gaussian data: more than half of what they are hotter than the epoch law, and not more."""
    from limen.theory.sgd import epoch

    rng = np.random.default_rng(0)
    n, size, replicas = 256, 8, 60
    x = rng.standard_normal((n, 3)) * np.array([2.0, 1.4, 1.0])
    x = x @ np.linalg.eigh(x.T @ x)[1][:, ::-1]  # axes are the modes
    y = rng.standard_normal(n)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    rho, noise = (x**2).mean(axis=0), ((x * (y - x @ best)[:, None]) ** 2).mean(axis=0)
    modes = Modes(rho, noise * n / (n - 1), 0.04, 0.8, size, examples=n)
    law = epoch(modes, n // size)
    theta, v, total, seen = np.tile(best, (replicas, 1)), np.zeros((replicas, 3)), np.zeros(3), 0
    for turn in range(60):
        order = np.argsort(rng.random((replicas, n)), axis=1)
        for step in range(n // size):
            rows = order[:, step * size : (step + 1) * size]
            wrong = np.einsum("rsd,rd->rs", x[rows], theta) - y[rows]
            v = 0.8 * v - np.einsum("rsd,rs->rd", x[rows], wrong) / size
            theta = theta + 0.04 * v
            if turn >= 10:
                total, seen = total + ((theta - best) ** 2).mean(axis=0), seen + 1
    ratio = total / seen / law.position_variance
    assert ratio.mean() > 1.1
    assert 0.5 < (multiplicative_ratio(law).mean() - 1) / (ratio.mean() - 1) < 1.1
