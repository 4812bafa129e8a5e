"""The worst group: simultaneous coverage, the bias of the largest, candidates, slices of a budget."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.measure.worst_group import worst_group, worst_slice
from limen.records.budget import Slice
from limen.records.errors import BadInput
from limen.records.estimate import Estimate

GROUPS = np.repeat(list("abcdefgh"), 60)


@pytest.mark.parametrize("kind", ["error", "loss"])
def test_the_interval_covers_the_largest_and_its_value_is_high_on_average(kind):
    inside, values = [], []
    for key in range(300):
        rng = stream("worst", key)
        rows = rng.uniform(size=480) < 0.3 if kind == "error" else 0.3 + 0.4 * rng.standard_normal(480)
        found = worst_group(rows, GROUPS)
        inside.append(found.worst.low <= 0.3 <= found.worst.high)
        values.append(found.worst.value)
        assert found.worst.grade == ("certified" if kind == "error" else "statistical")
    assert np.mean(inside) >= 0.95
    assert np.mean(values) > 0.35


def test_the_worst_is_named_with_those_that_it_may_be():
    rows = np.concatenate([np.arange(60) < k for k in (40, 38, 2, 3, 2, 1, 0, 2)])
    found = worst_group(rows, GROUPS)
    assert found.named == "a"
    assert found.candidates == ("a", "b")
    assert found.worst.low == found.groups["a"].low
    assert found.worst.high == max(e.high for e in found.groups.values())


def test_units_widen_it_and_a_group_of_one_unit_has_no_interval():
    losses = np.repeat(stream("units").standard_normal(48), 10)
    units = np.repeat(np.arange(48), 10)
    alone, grouped = worst_group(losses, GROUPS).worst, worst_group(losses, GROUPS, units).worst
    assert grouped.high - grouped.low > alone.high - alone.low
    bare = worst_group(losses, GROUPS, np.repeat(np.arange(8), 60)).worst
    assert (bare.low, bare.grade) == (None, "point")
    assert "8 groups" in bare.assumptions[0]


def test_slices_of_a_budget_hold_together_at_what_is_left():
    def part(value):
        error = Estimate(value, value - 0.1, value + 0.1, confidence=0.975, grade="certified")
        return Slice(50, error, error)

    found = worst_slice({"x": part(0.2), "y": part(0.5)})
    assert (found.named, found.worst.low, found.worst.high) == ("y", 0.4, 0.6)
    assert found.worst.confidence == pytest.approx(0.95)
    with pytest.raises(BadInput, match="beauty"):
        worst_slice({"x": part(0.2)}, "beauty")


def test_rows_without_a_group_are_refused():
    with pytest.raises(BadInput, match="each of 3 rows"):
        worst_group(np.zeros(3), ["a", "b"])
