"""Laws of the noise statistics: errors that cover, known tails, known correlations of sampling orders."""

from __future__ import annotations

import numpy as np
import pytest

from limen.measure.noise import statistics


def test_errors_of_variances_are_their_spread_over_samples():
    rng, n = np.random.default_rng(0), 200
    for draw in (rng.normal, lambda size: rng.exponential(size=size), lambda size: rng.uniform(-1, 1, size)):
        rows = [draw(size=(n, 1)) for _ in range(400)]
        spread = np.std([statistics.covariance(r)[0, 0] for r in rows])
        stated = np.mean([statistics.variance_errors(r)[0] for r in rows])
        assert stated == pytest.approx(spread, rel=0.15)


def test_the_trace_interval_covers():
    rng, dim, size, count, inside = np.random.default_rng(1), 20, 4, 40, 0
    for _ in range(300):
        g = rng.normal(size=(count, size, dim)).mean(axis=1)
        found = statistics.trace(((g - g.mean(axis=0)) ** 2).sum(axis=1), size, 0.95)
        inside += found.low <= dim <= found.high
    assert 0.91 < inside / 300 < 0.98


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7])
def test_the_slope_interval_covers_a_power_law_with_scatter(power):
    rng, inside = np.random.default_rng(2), 0
    curvature = np.geomspace(0.01, 10, 10)
    for _ in range(300):
        found = statistics.slope(curvature, curvature**power * np.exp(0.3 * rng.normal(size=10)), 0.9)
        inside += found.low <= power <= found.high
    assert 0.85 < inside / 300 < 0.95


def test_a_slope_needs_modes():
    for curvature in ([1.0, 2.0, 3.0, -1.0], [1.0, 1.0, 1.0, 1.0]):
        found = statistics.slope(np.array(curvature), np.ones(4), 0.95)
        assert found.state == "not_identified"
        assert "4 modes" in found.reason


def test_coherence_is_zero_for_noise_diagonal_in_the_modes_and_the_floor_says_how_zero_reads():
    rng, curvature = np.random.default_rng(3), np.array([5.0, 3.0, 1.0, 0.2])
    seen = [statistics.coherence(curvature, rng.normal(size=(500, 4)) * curvature**0.5, 0.95) for _ in range(40)]
    values, floors = np.array([s[0].value for s in seen]), np.array([s[1] for s in seen])
    assert np.sqrt((values**2).mean()) == pytest.approx(floors.mean(), rel=0.15)


def test_coherence_of_a_turned_covariance_is_the_matrix_formula():
    rng, curvature = np.random.default_rng(4), np.array([3.0, 1.0, 0.5])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rows = rng.normal(size=(4000, 3)) * [2.0, 1.0, 0.3] @ turn
    found, floor = statistics.coherence(curvature, rows, 0.95)
    h, sigma = np.diag(curvature), turn.T @ np.diag([4.0, 1.0, 0.09]) @ turn
    true = np.linalg.norm(h @ sigma - sigma @ h) / (2 * np.linalg.norm(h) * np.linalg.norm(sigma))
    assert found.low <= true <= found.high
    assert true > 3 * floor
    assert found.high - found.low < 0.2 * true


@pytest.mark.parametrize("index", [1.5, 3.0])
def test_hill_finds_the_index_of_a_power_law_within_its_interval(index):
    rng, inside = np.random.default_rng(5), 0
    for _ in range(200):
        found = statistics.hill(rng.pareto(index, 1000) + 1, 0.95)
        inside += found.low <= index <= found.high
    assert 0.90 < inside / 200 <= 1.0


def test_hill_needs_values_that_differ():
    assert statistics.hill(np.ones(50), 0.95).reason.startswith("needs 100")
    assert statistics.hill(np.ones(200), 0.95).state == "not_identified"


def test_autocorrelation_of_a_moving_average():
    rng = np.random.default_rng(6)
    white = [rng.normal(size=(4001, 2)) * [1.0, 100.0] for _ in range(8)]
    values, errors = statistics.autocorrelation([w[1:] + w[:-1] for w in white], np.array([1, 2]))
    assert np.abs(values - [0.5, 0.0]).max() < 4 * errors.max() < 0.1
