"""The correlator against every pair written out, its errors against independent runs, its state against itself."""

from __future__ import annotations

import numpy as np
import pytest

from limen.measure.recorder.correlator import Blocked, Correlator


def _walk(steps, seed, memory=0.8, dimension=4):
    """Velocities with autocorrelation memory^lag and the positions they sum to."""
    rng = np.random.default_rng(seed)
    velocity, velocities = np.zeros(dimension), []
    for noise in rng.standard_normal((steps, dimension)):
        velocity = memory * velocity + noise
        velocities.append(velocity)
    return np.cumsum(velocities, axis=0), np.array(velocities)


def _run(positions, velocities, start=0):
    correlator = Correlator(start, positions.shape[1])
    for position, velocity in zip(positions, velocities, strict=True):
        correlator.add(position, velocity)
    return correlator


def test_every_lag_is_the_mean_over_all_its_decimated_pairs():
    positions, velocities = _walk(3500, 0)
    result = _run(positions, velocities).result()
    assert result.lag.tolist()[:19] == [*range(1, 17), 18, 20, 22]
    assert len(set(result.lag.tolist())) == len(result.lag)
    level = np.maximum(0, np.ceil(np.log2(result.lag / 16)).astype(int))
    for index, (lag, m) in enumerate(zip(result.lag, level, strict=True)):
        ends = np.arange(16 * 2**m, 3500, 2**m)
        assert result.origins[index] == len(ends)
        apart = positions[ends] - positions[ends - lag]
        assert result.displacement[index] == pytest.approx(np.mean(np.sum(apart**2, 1)))
        assert result.velocity[index] == pytest.approx(np.mean(np.sum(velocities[ends] * velocities[ends - lag], 1)))


def test_displacements_are_decimated_and_not_averaged():
    """Straight motion: ‖Δ‖² = lag² exactly at every level; block averages would not agree for a walk."""
    positions = np.arange(3500.0)[:, None] * np.ones(1)
    result = _run(positions, np.ones((3500, 1))).result()
    np.testing.assert_allclose(result.displacement, result.lag.astype(float) ** 2)
    np.testing.assert_allclose(result.velocity, 1)


def test_standard_errors_hold_the_truth():
    """Over 40 runs the z-scores of correlated velocities have the size of a standard normal (16 … 31 blocks)."""
    truth = 4 * 0.8 ** np.arange(1, 17) / (1 - 0.64)
    scores = []
    for seed in range(40):
        result = _run(*_walk(2048, seed)).result()
        scores.append((result.velocity[:16] - truth) / result.velocity_error[:16])
    assert 0.8 < np.sqrt(np.mean(np.square(scores))) < 1.3


def test_too_few_blocks_have_no_error_and_too_few_updates_no_result():
    positions, velocities = _walk(24, 0)
    assert _run(positions[:16], velocities[:16]).result() is None
    result = _run(positions, velocities).result()
    assert np.isfinite(result.displacement).all()
    assert np.isnan(result.displacement_error).all()
    assert np.isnan(Blocked(2).mean()).all()


def test_a_saved_correlator_goes_on_as_if_nothing_had_happened():
    positions, velocities = _walk(3100, 2)
    whole = _run(positions, velocities, start=7).result()
    half = Correlator.from_state(_run(positions[:411], velocities[:411], start=7).state())
    for position, velocity in zip(positions[411:], velocities[411:], strict=True):
        half.add(position, velocity)
    for name in ("lag", "origins", "displacement", "displacement_error", "velocity", "velocity_error"):
        np.testing.assert_array_equal(getattr(half.result(), name), getattr(whole, name))
    assert half.result().start == 7


def test_the_error_is_of_the_values_that_the_mean_is_of():
    """Weighted blocks written out; three last values that carry the mean cannot be left out of its error."""
    rng = np.random.default_rng(3)
    for length in (16, 17, 31, 32, 99, 131):
        values = rng.standard_normal((length, 2))
        values[-3:] += 1e6
        blocked = Blocked(2)
        for value in values:
            blocked.add(value)
        size = 1 << int(np.log2(length / 16))
        blocks = [values[i : i + size] for i in range(0, length, size)]
        scatter = sum(len(b) * (b.mean(axis=0) - values.mean(axis=0)) ** 2 for b in blocks)
        np.testing.assert_allclose(blocked.error(), np.sqrt(scatter / (len(blocks) - 1) / length), rtol=1e-6)
        assert (blocked.error() > 0.5 * blocked.mean()).all()
