"""The sketch is a CountSketch: its plain reading, exact lengths on average, the stated error on hostile vectors."""

from __future__ import annotations

import numpy as np
import pytest

from limen.measure.recorder.sketch import CountSketch

SIZES = [40_000, 300, 9 * 64, 3]
D = 64


def _split(vector):
    return np.split(vector, np.cumsum(SIZES)[:-1])


def _hostile(kind):
    n = sum(SIZES)
    index = np.arange(n)
    rng = np.random.default_rng(0)
    vectors = {
        "constant": np.ones(n),
        "period 9": (index % 9 == 4) + 0.1,
        "period d": (index % D < 3).astype(float),
        "period 2d": np.sin(2 * np.pi * index / (2 * D)),
        "one tensor": np.where((index >= 40_000) & (index < 40_300), 1.0, 0.0),
        "few": np.where(index % 4001 == 0, 1.0, 0.0),
        "gaussian": rng.standard_normal(n),
    }
    return vectors[kind]


def test_the_fast_map_is_the_plain_one_in_both_precisions():
    sketch = CountSketch(SIZES, D, seed=3)
    vector = np.random.default_rng(1).standard_normal(sum(SIZES))
    plain = np.zeros(D)
    for part, buckets, signs in zip(_split(vector), *sketch.buckets_and_signs(), strict=True):
        assert set(np.unique(signs)) <= {-1.0, 1.0}
        np.add.at(plain, buckets.astype(int), signs * part)
    np.testing.assert_allclose(sketch.of(_split(vector)), plain, rtol=0, atol=1e-12 * len(vector))
    np.testing.assert_allclose(sketch.of(_split(vector.astype(np.float32))), plain, rtol=0, atol=1e-3)


def test_every_number_has_its_place_and_seeds_differ():
    one, other = CountSketch(SIZES, D, 0), CountSketch(SIZES, D, 1)
    stops = [[s.stop for s in one.stretches if s.parameter == i] for i in range(len(SIZES))]
    starts = [[s.start for s in one.stretches if s.parameter == i] for i in range(len(SIZES))]
    for size, begin, end in zip(SIZES, starts, stops, strict=True):
        assert begin == [0, *end[:-1]]
        assert end[-1] == size
    vector = _split(_hostile("gaussian"))
    assert not np.allclose(one.of(vector), other.of(vector))
    np.testing.assert_array_equal(one.of(vector), CountSketch(SIZES, D, 0).of(vector))


@pytest.mark.parametrize("kind", ["constant", "period 9", "period d", "period 2d", "one tensor", "few", "gaussian"])
def test_squared_lengths_are_unbiased_with_relative_variance_two_over_d(kind):
    vector = _hostile(kind)
    sketched = [CountSketch(SIZES, D, seed).of(_split(vector)) for seed in range(400)]
    ratios = np.sum(np.square(sketched), 1) / np.sum(vector**2)
    assert np.mean(ratios) == pytest.approx(1, abs=4 * np.sqrt(2 / D / 400))
    assert np.var(ratios) < 2 / D * (1 + 5 * np.sqrt(2 / 400))  # five standard errors of a variance


def test_the_error_of_a_mean_square_displacement_shrinks_with_the_participation_ratio():
    """95 % intervals from √(2/(d r)) hold 95 % of the time over draws of the sketch."""
    n, r, draws = sum(SIZES), 32, 300
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((n, r)))[0].T  # equal variances: tr C = r, participation r
    inside = 0
    for seed in range(draws):
        sketch = CountSketch(SIZES, D, seed)
        sketched = np.array([sketch.of(_split(direction)) for direction in basis])
        inside += abs(np.sum(sketched**2) / r - 1) < 1.96 * np.sqrt(2 / (D * r))
    assert 0.95 - 4 * np.sqrt(0.05 * 0.95 / draws) < inside / draws
