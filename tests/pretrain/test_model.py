"""A run that begins with another run's checkpoint: the same weights, a fresh optimizer, and named errors."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.pretrain.checkpoints import unpack  # noqa: E402
from limen.pretrain.run import pretrain  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = {
    "data": "digits:train",
    "heldout": 0.1,
    "objective": "supervised",
    "architecture": {"name": "resnet18", "width": 2},
    "steps": 4,
    "batch_size": 32,
    "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "checkpoints": [0, 2, 4],
    "evaluation": {"draws": 1, "training_batches": 2},
}


@pytest.fixture(scope="module")
def base():
    return pretrain(QUICK)


def test_step_0_is_the_checkpoint_with_its_statistics_and_losses(base):
    run = pretrain({**QUICK, "start": 2, "seed": 3}, start=base)
    one, two = unpack(run.arrays, 0), unpack(base.arrays, 2)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert run.data["checkpoints"][0] == {**base.data["checkpoints"][1], "step": 0}
    assert run.data["start"] == 2


def test_the_first_loss_is_that_of_an_encoder_with_settled_statistics(base):
    assert np.mean(base.data["checkpoints"][0]["heldout_losses"]) < 4


def test_starting_from_step_0_repeats_the_run_and_from_a_later_step_does_not(base):
    again = pretrain({**QUICK, "start": 0}, start=base)
    assert all(np.array_equal(again.arrays[name], base.arrays[name]) for name in base.arrays)
    later = pretrain({**QUICK, "start": 2}, start=base)
    name = "step-000004/head.weight"
    assert not np.array_equal(later.arrays[name], base.arrays[name])


def test_without_momentum_two_halves_are_the_whole():
    plain = {**QUICK, "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.0}, "sampling": "same-order"}
    plain |= {
        "batch_size": 600,
        "heldout": "digits",
        "architecture": {"name": "mlp", "hidden": [8]},
    }  # 2 batches an epoch
    whole = pretrain(plain)
    second = pretrain({**plain, "steps": 2, "checkpoints": [2], "start": 2}, start=whole)
    for name, array in unpack(second.arrays, 2).items():
        np.testing.assert_array_equal(array, whole.arrays[f"step-000004/{name}"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 3}, "0, 2, 4, got 3"),
        ({"start": 2, "architecture": {"name": "resnet18", "width": 3}}, "expected shape"),
        ({"start": 2, "architecture": {"name": "mlp"}}, "another architecture"),
        ({"start": 2, "objective": "nt-xent"}, "another objective"),
        ({}, "expected the step"),
    ],
)
def test_a_start_that_does_not_fit_is_named(base, change, message):
    with pytest.raises(BadInput, match=message):
        pretrain({**QUICK, **change}, start=base)


def test_a_step_without_a_record_is_named():
    with pytest.raises(BadInput, match="expected the record"):
        pretrain({**QUICK, "start": 2})
