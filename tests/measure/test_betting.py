"""The betting bound: by hand, against the kl bound, at its nominal level, and for losses of changing probes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from limen.arrays.intervals import clopper_pearson_upper, kl_upper
from limen.measure.betting import betting_upper


def wealth(x, m, scale):
    """Π by hand, in the order of the definition."""
    bets = [2.0**-j for j in range(2 + math.ceil(math.log2(len(x)) / 2))]
    weights = [bet / 2 for bet in bets]
    weights[-1] *= 2
    assert sum(weights) == pytest.approx(1.0)
    return sum(
        w * math.prod(1 + bet * (m - value) / (scale - m) for value in x) for w, bet in zip(weights, bets, strict=True)
    )


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_wealth_at_the_bound_is_the_inverse_of_delta(scale):
    x = scale * np.random.default_rng(0).beta(1, 20, size=200)
    assert wealth(x, betting_upper(x, 0.02, scale), scale) == pytest.approx(1 / 0.02, rel=1e-6)


def test_the_order_does_not_matter_and_more_confidence_costs_more():
    x = np.random.default_rng(1).random(50)
    assert betting_upper(x, 0.05) == pytest.approx(betting_upper(x[::-1], 0.05), abs=1e-12)
    assert x.mean() < betting_upper(x, 0.1) < betting_upper(x, 0.01) <= 1


def test_small_deviations_gain_against_kl_and_two_points_do_not():
    narrow = 0.5 + 0.02 * np.random.default_rng(2).random(400)
    assert betting_upper(narrow, 0.05) - narrow.mean() < (kl_upper(narrow.mean(), 400, 0.05) - narrow.mean()) / 2
    coin = np.repeat([0.0, 1.0], [90, 10])
    assert clopper_pearson_upper(10, 100, 0.05) < kl_upper(0.1, 100, 0.05) < betting_upper(coin, 0.05)


def test_it_misses_at_most_as_often_as_it_says():
    """Bernoulli and heavy losses; 400 draws at δ = .1: more than 58 misses have probability below .1 %."""
    rng = np.random.default_rng(3)
    for draw, mean in ((lambda: (rng.random(60) < 0.3).astype(float), 0.3), (lambda: rng.beta(0.2, 1.8, 60), 0.1)):
        assert sum(betting_upper(draw(), 0.1) < mean for _ in range(400)) <= 58


def test_means_that_stay_above_the_floor_are_as_good_as_equal_ones():
    """Conditional means fall from .5 to the floor .2, as those of probes of ever more rows."""
    rng, means = np.random.default_rng(4), np.linspace(0.5, 0.2, 80)
    missed = sum(betting_upper((rng.random(80) < means).astype(float), 0.1) < 0.2 for _ in range(200))
    assert missed <= 5


def test_bad_input_has_its_error():
    for bad in ([-0.1, 0.5], [0.5, 1.1]):
        with pytest.raises(ValueError, match="losses: expected values in"):
            betting_upper(bad, 0.05)
    with pytest.raises(ValueError, match="scale"):
        betting_upper([0.1], 0.05, 0.0)
    with pytest.raises(ValueError, match="delta"):
        betting_upper([0.1], 1.0)
