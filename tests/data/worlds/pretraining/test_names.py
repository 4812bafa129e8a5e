"""Worlds by name: read like any table, described without being drawn, misspelt ones named."""

from __future__ import annotations

import numpy as np
import pytest

from limen.data.tables import NAMES, builtin, describe, read_table
from limen.data.worlds.pretraining.names import HELDOUT, SOURCES, WORLDS, world_columns, world_of
from limen.records.errors import BadInput


@pytest.mark.parametrize("source", SOURCES)
def test_a_world_is_a_table(source):
    facts = describe(source)
    table = read_table(source, list(facts.columns))
    assert builtin(source)
    assert len(table) == facts.rows == world_of(source).rows
    assert list(table.columns) == list(facts.columns)
    kinds = {4: "image", 1: "number"}
    for name, values in table.columns.items():
        assert facts.columns[name] == ("text" if values.dtype == object else kinds[values.ndim])
        assert np.array_equal(values, world_of(source).columns(source)[name])


def test_both_tables_of_a_world_are_of_one_population_and_differ():
    for name, world in WORLDS.items():
        assert world_of(name) is world_of(name + HELDOUT) is world
        one, two = (world_columns(source)[world.input] for source in (name, name + HELDOUT))
        assert one.shape == two.shape
        assert not np.array_equal(one, two)


def test_a_misspelt_world_is_named():
    with pytest.raises(BadInput, match="world:markov-chain"):
        describe("world:markov-chian")
    with pytest.raises(BadInput, match="nothing"):
        read_table("world:overlap", ["nothing"])
    with pytest.raises(KeyError):
        world_columns("world:none")
    assert len(set(NAMES)) == len(NAMES)
