"""Supervised pretraining: the losses against slow references, closed forms of the quadratic case, every option."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.arrays.random import stream  # noqa: E402
from limen.data.digits import digits  # noqa: E402
from limen.pretrain.encoder import encode_checkpoint  # noqa: E402
from limen.pretrain.examples import load_examples  # noqa: E402
from limen.pretrain.objectives.supervised import Supervised, supervised_loss  # noqa: E402
from limen.pretrain.run import pretrain  # noqa: E402
from limen.pretrain.views.strengths import Augmentation  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = {
    "data": "digits:train",
    "heldout": 0.1,
    "objective": "supervised",
    "architecture": {"name": "mlp", "hidden": [32]},
    "steps": 40,
    "batch_size": 32,
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "checkpoints": [0, 40],
}
LINEAR = {
    **QUICK,
    "objective": {"name": "supervised", "loss": "squared"},
    "architecture": "linear",
    "optimizer": {"name": "sgd", "learning_rate": 1e-3, "momentum": 0.9},
}


@pytest.fixture(scope="module")
def record():
    return pretrain(QUICK)


def _heldout(record, step=-1):
    return float(np.mean(record.data["checkpoints"][step]["heldout_losses"]))


@pytest.mark.parametrize("classes", [2, 7])
def test_the_losses_are_their_definitions_one_example_at_a_time(classes):
    rng = stream("supervised test", classes)
    scores, labels = rng.standard_normal((5, classes)) * 3, rng.integers(classes, size=5)
    log = [math.log(sum(math.exp(v - row[y]) for v in row)) for row, y in zip(scores, labels, strict=True)]
    half = [
        sum((v - (c == y)) ** 2 for c, v in enumerate(row)) / 2 for row, y in zip(scores, labels, strict=True)
    ]  # fmt: skip
    given = torch.from_numpy(scores), torch.from_numpy(labels)
    assert float(supervised_loss(*given, "log")) == pytest.approx(np.mean(log), rel=1e-12)
    assert float(supervised_loss(*given, "squared")) == pytest.approx(np.mean(half), rel=1e-12)


def test_the_name_says_loss_classes_and_augmentation_and_not_the_batch():
    names = {
        Supervised(c, loss, a).loss_name(b)
        for c in (2, 10)
        for loss in ("log", "squared")
        for a in (Augmentation(), Augmentation(noise=0.1))
        for b in (32, 64)
    }
    assert len(names) == 8


def test_the_held_out_loss_starts_near_the_log_of_the_classes_and_falls(record):
    assert record.data["classes"] == [str(c) for c in range(10)]
    assert _heldout(record, 0) == pytest.approx(math.log(10), abs=1.0)
    assert _heldout(record) < 0.5
    assert record.data["loss_name"] == "cross-entropy, 10 classes, no augmentation"


def test_a_checkpoint_is_an_encoder_without_its_head(record):
    images, labels = digits("digits:test")
    z = encode_checkpoint(record).encode(images)
    assert z.shape == (450, 32)
    head = {k: record.arrays[f"step-000040/head.{k}"] for k in ("weight", "bias")}
    right = (z @ head["weight"].T + head["bias"]).argmax(axis=1) == labels
    assert right.mean() > 0.85


def test_the_linear_squared_run_is_heavy_ball_on_an_exact_quadratic():
    """Two batches in turn: W follows the recursion of the normal equations in float64, and so does the loss."""
    steps, rate, momentum = 30, LINEAR["optimizer"]["learning_rate"], LINEAR["optimizer"]["momentum"]
    examples = load_examples("digits:train", "label")
    halves = {"batch_size": 673, "sampling": "same-order", "heldout": "digits"}
    record = pretrain({**LINEAR, **halves, "steps": steps, "checkpoints": [0, steps]})
    x = examples.inputs.reshape(1347, -1).astype(np.float64)
    mean, std = x.mean(), x.std()
    order = stream("pretrain/epoch", 0, 0).permutation(1347)
    inputs, targets = np.c_[(x - mean) / std, np.ones(1347)], np.eye(10)[examples.labels]
    w = np.c_[record.arrays["step-000000/head.weight"], record.arrays["step-000000/head.bias"]].T.astype(np.float64)
    v, losses = np.zeros_like(w), []
    for step in range(steps):
        rows = order[step % 2 * 673 :][:673]
        error = inputs[rows] @ w - targets[rows]
        losses.append(0.5 * (error**2).sum(axis=1).mean())
        v = momentum * v - inputs[rows].T @ error / 673
        w = w + rate * v
    found = np.c_[record.arrays[f"step-{steps:06d}/head.weight"], record.arrays[f"step-{steps:06d}/head.bias"]].T
    np.testing.assert_allclose(found, w, rtol=0, atol=1e-5)
    np.testing.assert_allclose(record.data["trace"]["loss"], losses, rtol=1e-5)
    assert all(a > b for a, b in pairwise(losses[::10]))


def test_the_hessian_of_the_squared_loss_is_the_second_moment_of_the_inputs_once_a_class():
    from limen.models.architectures.registry import build
    from limen.pretrain.examples import Batch

    encoder, objective = build({"name": "linear", "in_channels": 1, "image_size": 2}), Supervised(3, "squared")
    images, labels = torch.from_numpy(stream("hessian").random((5, 1, 2, 2))), torch.tensor([0, 1, 2, 1, 0])

    def loss(flat):
        def head(z):
            return z @ flat[:, :4].T + flat[:, 4]

        return objective.batch_loss(encoder, head, Batch(images, labels), np.random.default_rng(0))

    for key in range(2):  # the same at any weights
        at = torch.from_numpy(stream("hessian", key).standard_normal((3, 5)))
        found = torch.autograd.functional.hessian(loss, at).reshape(15, 15).numpy()
        inputs = np.c_[images.reshape(5, 4).numpy(), np.ones(5)]
        np.testing.assert_allclose(found, np.kron(np.eye(3), inputs.T @ inputs / 5), atol=1e-12)


def test_the_head_of_a_linear_encoder_is_all_that_is_trained():
    record = pretrain({**LINEAR, "steps": 3, "checkpoints": [0, 3]})
    changed = {
        name.split("/")[1]
        for name in record.arrays
        if not np.array_equal(record.arrays[name], record.arrays["step-000000/" + name.split("/")[1]])
    }
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    "change",
    [
        {"objective": {"name": "supervised", "loss": "squared"}},
        {"objective": {"name": "supervised", "augmentation": {"noise": 0.2}}},
        {"architecture": {"name": "mlp", "hidden": [32], "activation": "tanh"}},
        {"architecture": {"name": "mlp", "hidden": [32], "activation": "relu"}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "dampening": 0.5}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1, "decoupled": True}},
        {"optimizer": {"name": "adamw"}},
        {"sampling": "iid"},
        {"sampling": "replacement"},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_option_changes_the_weights(record, change):
    other = pretrain({**QUICK, **change})
    name = "step-000040/encoder.hidden1.0.weight"
    assert not np.array_equal(other.arrays[name], record.arrays[name])


@pytest.mark.parametrize("none", ["none", {}, None])
def test_no_augmentation_is_the_default_and_can_be_named(record, none):
    other = pretrain({**QUICK, "objective": {"name": "supervised", "augmentation": none}})
    assert np.array_equal(other.arrays["step-000040/head.weight"], record.arrays["step-000040/head.weight"])


@pytest.mark.parametrize("augmentation", ["none", {"noise": 0.1, "crop": 0.8}], ids=["plain", "augmented"])
@pytest.mark.parametrize("sampling", ["reshuffle", "same-order", "iid", "replacement"])
def test_labels_stay_with_their_images_under_every_sampling(sampling, augmentation, monkeypatch):
    """Every batch that the loss sees is made of (image, label) pairs of the file, as the sampler drew them."""
    from limen.pretrain import run as run_module
    from limen.pretrain.samplers import Sampler

    objective = {"name": "supervised", "augmentation": augmentation}
    seen = []
    real = Supervised.batch_loss
    monkeypatch.setattr(
        Supervised, "batch_loss", lambda self, e, h, b, rng: (seen.append(b), real(self, e, h, b, rng))[1]
    )
    monkeypatch.setattr(run_module, "_measure", lambda *a: ({}, None))
    monkeypatch.setattr(run_module, "_check_memory", lambda *a: None)  # it looks at small batches of its own
    pretrain({**QUICK, "objective": objective, "sampling": sampling, "steps": 80, "heldout": "digits:test"})
    examples = load_examples("digits:train", "label")
    rows = Sampler(sampling, len(examples), 32, 0).batches(0, 80)
    for batch, drawn in zip(seen, rows, strict=True):
        assert np.array_equal(batch.labels.numpy(), examples.labels[drawn])
        assert np.array_equal(batch.inputs.numpy()[:, 0], examples.inputs[drawn][..., 0])


def test_same_order_is_the_same_from_epoch_to_epoch_and_reshuffling_is_not():
    kept = {**QUICK, "batch_size": 60, "steps": 40, "checkpoints": [20, 21]}
    one, two = (pretrain({**kept, "sampling": s}) for s in ("reshuffle", "same-order"))
    name = "head.weight"
    assert np.array_equal(one.arrays[f"step-000020/{name}"], two.arrays[f"step-000020/{name}"])
    assert not np.array_equal(one.arrays[f"step-000021/{name}"], two.arrays[f"step-000021/{name}"])


def test_augmentation_is_drawn_anew_at_every_step_and_is_part_of_the_loss(record):
    augmented = pretrain({**QUICK, "objective": {"name": "supervised", "augmentation": {"noise": 0.5}}})
    assert augmented.data["loss_name"].endswith("noise 0.5")
    assert _heldout(augmented) > _heldout(record)
