"""Loss against size: parameters as torch counts them, runs of one loss only; ranks of features cut to k directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.fit import fit_task
from limen.data.digits import digits
from limen.measure.budget import measure_budget
from limen.measure.model_complexity import floor_by_radius, loss_by_radius, loss_by_rank, loss_by_size, parameters
from limen.records.errors import BadInput
from limen.records.estimate import Estimate
from limen.records.task import FitSpec, LabelledFeatures, Question, Task

RUN = {
    "data": "digits:train",
    "heldout": 0.2,
    "objective": "supervised",
    "steps": 30,
    "batch_size": 32,
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "checkpoints": 2,
    "evaluation": {"draws": 1, "training_batches": 3},
}


@pytest.mark.torch
def test_two_widths_of_a_small_net_on_digits():
    from limen.models.architectures.registry import build
    from limen.pretrain.run import pretrain

    records = {f"w{width}": pretrain(RUN | {"architecture": {"name": "conv", "width": width}}) for width in (16, 4)}
    floor = Estimate(0.3, 0.2, 0.4, confidence=0.95, grade="statistical")
    found = loss_by_size(records, {"w4": floor})
    assert [p.label for p in found.points] == ["w4@30", "w16@30"]
    for name, record in records.items():
        counted = sum(p.numel() for p in build(record.data["architecture"]).parameters())
        assert parameters(record) == counted, name
    assert found.points[0].losses["minimal_adaptation_loss"] == floor
    assert "minimal_adaptation_loss" not in found.points[1].losses
    assert found.points[1].losses["pretraining_loss"].value < found.points[0].losses["pretraining_loss"].value
    other = replace(records["w4"], data={**records["w4"].data, "loss_name": "another"})
    with pytest.raises(BadInput, match="one pretraining loss"):
        loss_by_size({"a": records["w16"], "b": other})


def test_digits_cut_to_their_first_directions():
    images, labels = digits("digits:train")
    x = images.reshape(len(images), -1).astype(np.float64)
    turned = (x - x.mean(axis=0)) @ np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2].T
    classes = tuple(map(str, range(10)))
    spec = FitSpec(labels=("all",), seeds=1, radius=6.0, rich_head=False)
    budgets = {
        k: measure_budget(fit_task(Task("digits", "pixels", LabelledFeatures(turned[:, :k], labels, classes)), spec),
                          Question())
        for k in (12, 3)
    }  # fmt: skip
    found = loss_by_rank(budgets)
    assert [p.complexity for p in found.points] == [3, 12]
    low, high = (p.losses["adaptation_loss"] for p in found.points)
    assert low.value > high.value
    assert low.low > high.value
    without = replace(budgets[3], floor_path=(), radius=None)
    with pytest.raises(BadInput, match="no lower side"):
        floor_by_radius(without)
    with pytest.raises(BadInput, match="no radius"):
        loss_by_radius([without])
    with pytest.raises(BadInput, match="2 kinds"):
        loss_by_rank({1: budgets[3], 2: replace(budgets[12], task="other")})
