from __future__ import annotations

from itertools import pairwise

import pytest

from limen.pretrain.schedule import Schedule


def test_constant_is_one_everywhere():
    assert {Schedule().factor(k, 100) for k in range(100)} == {1.0}


def test_cosine_falls_from_one_to_nearly_zero_and_averages_one_half():
    factors = [Schedule("cosine").factor(k, 1000) for k in range(1000)]
    assert factors[0] == 1.0
    assert all(a > b for a, b in pairwise(factors))
    assert factors[-1] == pytest.approx(0, abs=1e-5)
    assert sum(factors) / 1000 == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("shape", ["constant", "cosine"])
def test_warm_up_rises_linearly_to_the_start_of_the_shape(shape):
    schedule = Schedule(shape, warmup=10)
    assert [schedule.factor(k, 100) for k in range(10)] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert schedule.factor(10, 100) == 1.0
