from __future__ import annotations

import numpy as np
import pytest
import torch

from limen.pretrain.checkpoints import CheckpointKeeper, log_spaced, pack, unpack
from limen.records.observer import Step


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 5000, 99_999])
@pytest.mark.parametrize("count", [2, 3, 8, 20, 100])
def test_log_spaced_steps_are_distinct_and_reach_both_ends(steps, count):
    if count > steps + 1:
        with pytest.raises(ValueError, match="checkpoints"):
            log_spaced(count, steps)
        return
    chosen = log_spaced(count, steps)
    assert len(chosen) == count == len(set(chosen))
    assert (chosen[0], chosen[-1]) == (0, steps)
    assert list(chosen) == sorted(chosen)


def test_checkpoints_double_while_that_fits():
    assert log_spaced(8, 6400) == (0, 100, 200, 400, 800, 1600, 3200, 6400)
    assert log_spaced(12, 100)[1] == 1


def test_unpack_is_the_inverse_of_pack():
    checkpoints = {s: {"a.weight": np.arange(3.0) + s, "b": np.array(s)} for s in (0, 10, 100)}
    flat = pack(checkpoints)
    assert "step-000010/a.weight" in flat
    for step, arrays in checkpoints.items():
        assert unpack(flat, step).keys() == arrays.keys()
        assert all(np.array_equal(unpack(flat, step)[k], v) for k, v in arrays.items())
    assert unpack(flat, 1) == {}


def test_the_keeper_copies_weights_at_its_steps_only():
    model = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(model.weight)
    keeper = CheckpointKeeper((0, 2))
    keeper.begin(model, None, 3)
    for done in (1, 2, 3):
        with torch.no_grad():
            model.weight += 1
        keeper.step(Step(done, 3, 0.0, 0.1, 0.0))
    keeper.end()
    assert sorted(keeper.checkpoints) == [0, 2]
    assert np.array_equal(keeper.checkpoints[0]["weight"], [[0, 0]])
    assert np.array_equal(keeper.checkpoints[2]["weight"], [[2, 2]])
