"""Reshuffled sampling in closed form beside sums in extended precision: all kinds of roots, flat and critical ones."""

from __future__ import annotations

import numpy as np
import pytest

from limen.theory.sgd import Modes, epoch
from limen.theory.sgd.complex_log import log_of
from limen.theory.sgd.epoch_roots import covariance, settled, slow_moments
from limen.theory.sgd.recursion import Recursion
from limen.theory.sgd.root_powers import Powers, Root

Long = np.longdouble


def impulses(a: np.ndarray, b: float, last: int) -> np.ndarray:
    """U_{t−1} at t = 0, …, last [T, L]."""
    u = np.zeros((last + 1, len(a)), Long)
    u[1] = 1
    for t in range(1, last):
        u[t + 1] = (1 + Long(b) - a) * u[t] - Long(b) * u[t - 1]
    return u


def regimes(beta: float) -> np.ndarray:
    critical = (1 - np.sqrt(beta)) ** 2
    near = critical * (1 + np.array([-1e-2, -1e-3, -1e-5, -1e-9, 0, 1e-9, 1e-5, 1e-3, 1e-2])) if beta else [1.0, 1.01]
    return np.unique(np.concatenate([[0.0], np.geomspace(1e-12, 1.95 * (1 + beta), 24), near]))


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("m", [2, 13, 150])
def test_displacements_are_sums_over_lags_and_epochs_in_extended_precision(beta: float, m: int) -> None:
    a, t = regimes(beta), np.unique(np.concatenate([np.arange(1, 20), [m - 1, m, m + 1, 2 * m + 3, 777, 2500]]))
    t, b, share = t[t > 0], Long(beta), m / Long(m - 1)
    u = impulses(a.astype(Long), beta, int(t.max()) + m)
    response, energy, j = np.cumsum(u, axis=0), np.cumsum(u * u, axis=0), np.arange(-(m - 1), m)
    e, weights = response - b / (1 + b) * u, (m - np.abs(j)) / Long(m) ** 2
    mobility = (1 + b) / ((1 - b) * (2 * (1 + b) - a))
    moved = np.array([e[at] + weights @ (e[np.abs(j)] - e[np.abs(at - j)]) for at in t])
    law = epoch(Modes(a, np.ones(len(a)), 1.0, beta), m)
    stationary = law.mode_displacement(t)
    assert np.abs(stationary / (2 * share * mobility * moved) - 1).max() < 1e-10
    fixed = []
    for at in t:
        edges = np.append(np.arange(at, 0, -m), 0)
        fixed.append(share * (energy[at] - (np.diff(response[edges], axis=0) ** 2).sum(axis=0) / m))
    found = law.mode_displacement(t, "fixed")
    # the sums themselves lose 1e-13 where the epochs of a nearly flat mode leave nothing
    assert (np.abs(found - fixed) <= 1e-10 * np.array(fixed) + 1e-12).all()


def test_slow_modes_without_momentum_keep_their_digits_after_whole_epochs() -> None:
    """(1 − a)ʲ summed over an epoch, less its mean: what is left is of the order a²M³/12."""
    a, m, epochs = np.array([1e-9, 1e-12]), 50, 4
    found = epoch(Modes(a, np.ones(2), 1.0, 0.0), m).mode_displacement([m * epochs], "fixed")[0]
    assert found == pytest.approx(a**2 * epochs * m**2 * (m + 1) / 12, rel=1e-6)


def test_a_million_steps_end_at_twice_the_variance() -> None:
    modes = Modes(regimes(0.9)[6:], np.ones(len(regimes(0.9)) - 6), 1.0, 0.9)
    law = epoch(modes, 500)
    settled = law.relaxation_steps < 2e4
    assert settled.sum() > 10
    found = law.mode_displacement([10**6])[0]
    assert found[settled] == pytest.approx(2 * law.position_variance[settled], rel=1e-10)


def test_order_and_grid_of_steps_do_not_matter() -> None:
    modes, t = Modes(regimes(0.9), np.ones(len(regimes(0.9))), 1.0, 0.9), np.array([0, 70, 3, 1200, 49, 50, 51, 7, 100])
    law = epoch(modes, 50)
    for start in ("stationary", "fixed"):
        every = law.mode_displacement(np.arange(1201), start)  # type: ignore[arg-type]
        some = law.mode_displacement(t, start)  # type: ignore[arg-type]
        assert some == pytest.approx(every[t], rel=1e-10, abs=1e-13)
        assert (some[0] == 0).all()


def test_series_of_slow_roots_are_the_sums_they_stand_for() -> None:
    m, g = 9, 0.01
    r, t = 1 - g, np.array([1, 4, 8])
    total = (1 - r**t) / g
    once, rest = (t - total) / g, (1 - r ** (m + 1 - t)) / g
    twice = ((t + 1) * t / 2 - (t + 1 - (1 - r ** (t + 1)) / g) / g) / g
    expected = total - (once * (t + total) + rest * total**2 - 2 * twice) / m**2
    assert slow_moments(t, m) @ (-g) ** np.arange(20) == pytest.approx(expected, rel=1e-8)


def test_powers_of_complex_roots_are_powers_and_covariances_sums() -> None:
    value = 0.99 * np.exp(1j * np.array([0.003, 0.4, 2.0]))
    root = Root(value, 1 - value, log_of(value, 1 - value))
    steps, weight = np.array([0, 1, 63, 64, 65, 1000, 3000]), np.array([1 + 2j, 1j, -1.0])
    found = np.zeros((len(steps), 3))
    Powers(root, weight, steps).add_to(found, steps)
    assert found == pytest.approx((weight * value ** steps[:, None]).real, rel=1e-10, abs=1e-13)
    powers = value ** np.arange(20)[:, None]
    assert covariance(root, root, 20) == pytest.approx((powers**2).sum(axis=0) - powers.sum(axis=0) ** 2 / 20, rel=1e-9)
    slow = Root(np.array([1 - 1e-9]), np.array([1e-9]), np.log1p(np.array([-1e-9])))
    assert covariance(slow, slow, 20) == pytest.approx([1e-18 * 20 * 399 / 12], rel=1e-7)


@pytest.mark.parametrize("m", [2, 40])
def test_the_loss_averaged_over_an_epoch_is_the_sum_over_its_lags(m: int) -> None:
    a, b = regimes(0.99), 0.99
    j = np.arange(-(m - 1), m)
    u = impulses(a.astype(Long), b, m)
    e = np.cumsum(u, axis=0) - Long(b) / (1 + Long(b)) * u
    expected = ((m - np.abs(j)) / Long(m) ** 2) @ e[np.abs(j)]
    assert np.abs(settled(Recursion(a, np.full(len(a), b)), m) / expected - 1).max() < 1e-10
