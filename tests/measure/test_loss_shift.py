"""Pretraining loss on other inputs: the run's own held-out examples give no shift, inverted digits do."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.data.digits import digits
from limen.measure.loss_shift import loss_shift, loss_shifts, losses_on_inputs
from limen.records.errors import BadInput

RUN = {
    "data": "digits:train",
    "heldout": 0.2,
    "objective": "autoencoder",
    "architecture": {"name": "conv", "width": 8},
    "steps": 40,
    "batch_size": 32,
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "checkpoints": 2,
    "evaluation": {"draws": 2, "training_batches": 2},
}


def test_coverage_of_welch():
    inside = []
    for key in range(1000):
        rng = stream("loss shift", key)
        found = loss_shift(2 + rng.standard_normal(8), 1 + 0.2 * rng.standard_normal(20))
        inside.append(found.low <= 1 <= found.high)
    assert 0.93 <= np.mean(inside) <= 0.97
    assert loss_shift([1.0], [1.0, 2.0]).state == "not_identified"


@pytest.mark.torch
def test_digits_against_their_negatives():
    from limen.pretrain.run import pretrain

    record = pretrain(RUN)
    images = digits("digits:test")[0]
    same, negative = (losses_on_inputs(RUN, record, x) for x in (images, 1 - images))
    assert sorted(same) == [0, 40]
    assert same[40].shape == (14,)
    last = {name: loss_shifts(record, losses)[40] for name, losses in (("same", same), ("negative", negative))}
    assert last["same"].low <= 0 <= last["same"].high
    assert last["negative"].low > 10 * abs(last["same"].value)
    with pytest.raises(BadInput, match="got 7"):
        loss_shifts(record, {7: [1.0, 2.0]})
    with pytest.raises(BadInput, match="2 batches of 32"):
        losses_on_inputs(RUN, record, images[:40])
    with pytest.raises(BadInput, match="looks at labels"):
        losses_on_inputs(RUN | {"objective": "supervised"}, record, images)
