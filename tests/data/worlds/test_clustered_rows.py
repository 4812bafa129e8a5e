"""Clustered rows: one row alone is a Gaussian-class row; together they are worth the stated number of units."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from limen.data.worlds.clustered_rows import ClusteredRows
from limen.data.worlds.gaussian_classes import GaussianClasses
from limen.data.worlds.imbalance import long_tail
from limen.data.worlds.world import LinearScores, expected_loss

LAW = GaussianClasses(np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]]), long_tail(3, 3.0))
RULE = LinearScores(np.array([[2.0, -1.0, 0.0], [1.0, 0.0, -2.0]]), np.array([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("weight", [0.3, 2.0])
def test_the_correlation_of_a_squared_loss_is_its_closed_form(shared, weight):
    """Equal means, z = (ωx, 0): κ = (2ω⁴ρ² + ω²ρ)/(2ω⁴ + 2ω²), from Gaussian moments."""
    world = ClusteredRows(GaussianClasses(np.zeros((2, 1))), size=2, shared=shared)
    found = world.correlation(LinearScores(np.array([[weight, 0.0]]), np.zeros(2)), "squared")
    known = (2 * weight**4 * shared**2 + weight**2 * shared) / (2 * weight**4 + 2 * weight**2)
    assert abs(found.value - known) < 5.4 * found.error
    assert found.error < 0.01


@pytest.mark.parametrize("loss", ["log", "zero-one"])
def test_the_variance_of_a_mean_loss_is_that_of_the_effective_units(loss):
    """13 rows in groups of 5, 5, 3; 6,000 samples; 4.5 standard errors of a variance, and far from 13 units."""
    world, rng = ClusteredRows(LAW, size=5, shared=0.9), np.random.default_rng(0)
    rows = world.sample(15 * 6000, rng)
    lost = expected_loss(RULE(rows.features), np.eye(3)[rows.labels], loss).reshape(6000, 15)[:, :13]
    ratio = lost.var() / lost.mean(axis=1).var(ddof=1)
    error = ratio * np.sqrt((scipy.stats.kurtosis(lost.mean(axis=1)) + 2) / 6000)
    assert abs(world.effective_units(13, RULE, loss) - ratio) < 4.5 * error
    assert ratio + 4.5 * error < 12


def test_the_noise_of_two_rows_of_a_group_has_correlation_rho_and_of_two_groups_none():
    world = ClusteredRows(LAW, size=2, shared=0.4)
    rows = world.sample(40_000, np.random.default_rng(1))
    noise = (rows.features - LAW.means[rows.labels])[:, 0]
    within = np.corrcoef(noise[::2], noise[1::2])[0, 1]
    between = np.corrcoef(noise[1:-1:2], noise[2::2])[0, 1]
    assert abs(within - 0.4) < 4.5 * 0.84 / np.sqrt(20_000)
    assert abs(between) < 4.5 / np.sqrt(20_000)
    assert scipy.stats.kstest(noise[::2], "norm").pvalue > 1e-4
    assert (rows.groups[::2] == rows.groups[1::2]).all()
    assert len(np.unique(rows.groups)) == 20_000


def test_effective_units_lie_between_groups_and_rows_and_fall_with_the_shared_part():
    units = [ClusteredRows(LAW, 10, shared).effective_units(100, RULE) for shared in (0.0, 0.3, 0.6, 1.0)]
    assert units[0] == pytest.approx(100, rel=0.02)
    assert units == sorted(units, reverse=True)
    assert units[-1] > 10
    assert ClusteredRows(LAW, 10, 0.6).effective_units(100, RULE) < ClusteredRows(LAW, 5, 0.6).effective_units(
        100, RULE
    )


def test_losses_and_bayes_risk_do_not_see_the_groups():
    world = ClusteredRows(LAW, size=7, shared=0.8)
    assert world.bayes_risk == LAW.bayes_risk
    assert world.population_integral(RULE) == LAW.population_integral(RULE)


def test_a_constant_loss_has_no_correlation():
    flat = LinearScores(np.zeros((2, 3)), np.zeros(3))
    assert ClusteredRows(LAW, 5, 0.9).correlation(flat).value == 0
    assert ClusteredRows(LAW, 5, 0.9).effective_units(20, flat) == 20


def test_no_rows_have_no_groups():
    rows = ClusteredRows(LAW, 5, 0.5).sample(0, np.random.default_rng(0))
    assert (len(rows), rows.features.shape, rows.groups.tolist()) == (0, (0, 2), [])


@pytest.mark.parametrize(
    ("size", "shared", "message"),
    [
        (0, 0.5, r"size: expected a whole number of at least 1, got 0"),
        (2, 1.5, r"shared: expected a number from 0 to 1, got 1.5"),
        (2, -0.1, r"shared: expected a number from 0 to 1, got -0.1"),
    ],
)
def test_groups_that_are_none_are_refused(size, shared, message):
    with pytest.raises(ValueError, match=message):
        ClusteredRows(LAW, size, shared)
