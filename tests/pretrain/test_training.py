"""Micro-batches, precision, what is not finite, memory: each changes what it says and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.pretrain import memory as memory_module  # noqa: E402
from limen.pretrain.loop import PATIENCE, Training, train  # noqa: E402
from limen.pretrain.run import pretrain  # noqa: E402
from limen.pretrain.spec import PretrainSpec  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = {
    "data": "digits:train",
    "heldout": 0.1,
    "objective": "supervised",
    "architecture": {"name": "conv", "width": 4},
    "steps": 8,
    "batch_size": 32,
    "checkpoints": [0, 8],
    "evaluation": {"draws": 1, "training_batches": 2},
}


def _distance(one, two):
    scale = max(np.abs(a).max() for a in one.arrays.values())
    return max(np.abs(one.arrays[name] - two.arrays[name]).max() for name in one.arrays) / scale


def test_micro_batches_of_a_mean_over_examples_make_the_same_updates():
    whole, parts = pretrain(QUICK), pretrain({**QUICK, "accumulation": 4})
    assert 0 < _distance(whole, parts) < 1e-5
    assert whole.data["loss_name"] == parts.data["loss_name"]


def test_micro_batches_have_their_own_negatives_and_the_name_says_so():
    contrast = {**QUICK, "objective": "nt-xent"}
    whole, parts = pretrain(contrast), pretrain({**contrast, "accumulation": 4})
    assert _distance(whole, parts) > 1e-3
    assert "batch 32" in whole.data["loss_name"]
    assert "batch 8" in parts.data["loss_name"]


def test_low_precision_is_in_the_forward_pass_alone():
    exact, low = pretrain(QUICK), pretrain({**QUICK, "precision": "bfloat16"})
    assert {array.dtype for array in low.arrays.values()} == {np.dtype("float32")}
    assert 1e-5 < _distance(exact, low) < 0.1
    losses = [np.mean(record.data["checkpoints"][-1]["heldout_losses"]) for record in (exact, low)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def _train(values, on_nan):
    x = torch.nn.Parameter(torch.ones(()))
    losses = iter([[lambda v=v: x * v] for v in values])
    return (
        float(x.detach()),
        x,
        train(Training(None, torch.optim.SGD([x], lr=0.1), losses, lambda done: 0.1, len(values), on_nan)),
    )


def test_what_is_not_finite_is_left_out_and_counted_when_asked_for():
    nan = float("nan")
    _, x, outcome = _train([1.0, nan, 2.0, nan, nan], "skip")
    assert (outcome.done, outcome.skipped, outcome.diverged) == (5, (2, 4, 5), None)
    assert float(x.detach()) == pytest.approx(1 - 0.1 * 3)
    assert all(np.isfinite(outcome.losses))
    _, _, stopped = _train([1.0, nan, 2.0], "stop")
    assert (stopped.done, stopped.skipped, stopped.diverged.loss) == (1, (), "nan")


def test_a_gradient_that_is_not_finite_is_left_out_too():
    x = torch.nn.Parameter(torch.zeros(()))
    losses = iter([[lambda: x + 1], [lambda: (x + 0.1).abs().sqrt()], [lambda: x + 1]])
    outcome = train(Training(None, torch.optim.SGD([x], lr=0.1), losses, lambda done: 0.1, 3, "skip"))
    assert outcome.skipped == (2,)
    assert float(x.detach()) == pytest.approx(-0.2)


def test_too_many_in_a_row_end_the_run():
    _, _, outcome = _train([1.0] + [float("inf")] * (PATIENCE + 2), "skip")
    assert outcome.diverged.step == 1 + PATIENCE
    assert outcome.diverged.loss == "inf"


def test_nothing_finite_to_begin_with_is_divergence():
    _, _, outcome = _train([float("nan"), 1.0], "skip")
    assert (outcome.done, outcome.diverged.last_finite_loss) == (0, None)


def test_the_forecast_of_activations_is_what_autograd_keeps():
    x = torch.randn(64, 1000, requires_grad=True)
    assert memory_module.saved_bytes(lambda: x.exp().sum()) == 64 * 1000 * 4  # exp keeps its result
    assert memory_module.saved_bytes(lambda: x.sum()) == 0


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"accumulation": 3}, "accumulation"),
        ({"accumulation": 32}, "accumulation"),
        ({"accumulation": 4, "processes": 3}, "processes"),
        ({"processes": 2}, "processes"),
        ({"precision": "float16"}, "precision"),
        ({"on_nan": "ignore"}, "on_nan"),
    ],
)
def test_a_wrong_share_is_named(change, where):
    with pytest.raises(BadInput) as caught:
        PretrainSpec.parse({**QUICK, **change})
    assert where in {problem.where for problem in caught.value.problems}
