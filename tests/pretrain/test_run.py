"""A whole run: the same bits again, nothing held out is trained on, losses and divergence as recorded, every switch."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from limen.data.digits import digits
from limen.pretrain import examples as examples_module
from limen.pretrain import model as model_module
from limen.pretrain import run as run_module
from limen.pretrain.encoder import encode_checkpoint, encoder_weights
from limen.pretrain.examples import Raw, load_examples
from limen.pretrain.run import pretrain
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.split import split_examples
from limen.pretrain.views.strengths import Augmentation, usual_views
from limen.records.errors import BadInput

QUICK = {
    "data": "digits:train",
    "heldout": 0.1,
    "architecture": {"name": "conv", "width": 8},
    "steps": 12,
    "batch_size": 32,
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "checkpoints": 3,
    "evaluation": {"draws": 1, "training_batches": 3},
}


def fingerprint(record) -> str:
    """Hash of everything in a record that two equal runs must share bit for bit."""
    digest = hashlib.sha256()
    for name in sorted(record.arrays):
        digest.update(name.encode() + np.ascontiguousarray(record.arrays[name]).tobytes())
    digest.update(repr({k: v for k, v in record.data.items() if k != "seconds"}).encode())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def record():
    return pretrain(QUICK)


def test_a_run_in_another_process_gives_the_same_bits(record):
    code = f"""
import sys; sys.path.insert(0, {str(__file__.rsplit("/", 1)[0])!r})
import torch; torch.manual_seed(99)
from test_run import QUICK, fingerprint, pretrain
print(fingerprint(pretrain(QUICK)))
"""
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert other.stdout.strip() == fingerprint(record)


def test_observers_and_global_generators_change_nothing(record):
    class Nosy:
        def __init__(self):
            self.seen = 0

        def begin(self, model, optimizer, steps):
            torch.manual_seed(1)

        def step(self, step):
            self.seen += 1
            torch.rand(3)
            np.random.default_rng(0).random()

        def end(self):
            pass

    nosy = Nosy()
    assert fingerprint(pretrain(QUICK, [nosy])) == fingerprint(record)
    assert nosy.seen == QUICK["steps"]


def test_torch_is_left_as_it_was():
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    pretrain({**QUICK, "steps": 1, "checkpoints": 2})
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, strict)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"split_seed": 1},
        {"heldout": 0.2},
        {"batch_size": 16},
        {"sampling": "iid"},
        {"sampling": "replacement"},
        {"schedule": "cosine"},
        {"schedule": {"name": "constant", "warmup": 5}},
        {"optimizer": {"name": "adam", "learning_rate": 1e-3}},
        {"optimizer": {"name": "adam", "learning_rate": 3e-3, "weight_decay": 0.1}},
        {"optimizer": {"name": "adamw", "learning_rate": 3e-3}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1}},
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.5}},
        {"objective": {"name": "nt-xent", "temperature": 0.1}},
        {"objective": {"name": "nt-xent", "projection": 16}},
        {"objective": {"name": "nt-xent", "augmentation": {"noise": 0.2}}},
        {"architecture": {"name": "conv", "width": 4}},
    ],
    ids=str,
)
def test_every_field_changes_the_weights(record, change):
    other = pretrain({**QUICK, **change})
    name = "step-000012/encoder.stage2.conv1.weight"
    assert not np.array_equal(other.arrays[name], record.arrays[name])


def test_same_order_differs_from_reshuffling_from_the_second_epoch_on():
    long = {**QUICK, "batch_size": 60, "steps": 40, "checkpoints": [20, 21, 40]}
    one, two = (pretrain({**long, "sampling": s}) for s in ("reshuffle", "same-order"))
    batches = (1347 - round(0.1 * 1347)) // 60
    assert batches == 20
    name = "encoder.stem.0.weight"
    assert np.array_equal(one.arrays[f"step-000020/{name}"], two.arrays[f"step-000020/{name}"])
    assert not np.array_equal(one.arrays[f"step-000021/{name}"], two.arrays[f"step-000021/{name}"])


@pytest.mark.parametrize("evaluation", [{"draws": 2, "training_batches": 3}, {"draws": 1, "training_batches": 5}])
def test_evaluation_changes_the_losses_and_not_the_weights(record, evaluation):
    other = pretrain({**QUICK, "evaluation": evaluation})
    assert all(np.array_equal(other.arrays[name], record.arrays[name]) for name in record.arrays)
    assert other.data["checkpoints"] != record.data["checkpoints"]


def test_threads_are_pinned(monkeypatch):
    seen = []
    measure = run_module._measure
    monkeypatch.setattr(run_module, "_measure", lambda *a: (seen.append(torch.get_num_threads()), measure(*a))[1])
    for threads in (1, 2):
        pretrain({**QUICK, "steps": 1, "checkpoints": 2, "threads": threads})
    assert seen == [1, 2]


def test_nothing_held_out_is_trained_on(monkeypatch):
    trained = set()
    sampled = examples_module.as_tensor

    def spy(images, kind, rows):
        trained.update(image.tobytes() for image in images[rows])
        return sampled(images, kind, rows)

    monkeypatch.setattr(examples_module, "as_tensor", spy)
    monkeypatch.setattr(model_module, "SETTLE", 0)  # it looks at training examples before the first update
    monkeypatch.setattr(run_module, "_measure", lambda *a: ({}, None))  # it looks at held-out examples, as it should
    pretrain({**QUICK, "steps": 100, "checkpoints": [100], "architecture": {"name": "conv", "width": 2}})
    images = load_examples("digits:train", None).inputs
    split = split_examples(Raw(images).digests(), QUICK["heldout"], 0)
    assert trained == {image.tobytes() for image in images[split.training]}
    assert not trained & {image.tobytes() for image in images[split.heldout]}


def test_a_file_of_held_out_examples_is_used(record):
    other = pretrain({**QUICK, "heldout": "digits:test"})
    assert (other.data["training_examples"], other.data["heldout_examples"]) == (1347, 450)


def test_the_record_says_what_was_done(record):
    data = record.data
    assert [c["step"] for c in data["checkpoints"]] == [0, 6, 12]
    heldout = round(0.1 * 1347)
    assert (data["training_examples"], data["heldout_examples"]) == (1347 - heldout, heldout)
    assert {len(c["heldout_losses"]) for c in data["checkpoints"]} == {heldout // 32}
    assert {len(c["training_losses"]) for c in data["checkpoints"]} == {3}
    assert data["trace"]["step"] == list(range(1, 13))
    assert data["diverged"] is None
    assert data["loss_name"].startswith("NT-Xent, batch 32, temperature 0.5, crop")
    assert "flip" not in data["loss_name"]


def test_the_loss_starts_near_its_value_for_equal_embeddings_and_falls(record):
    first, last = (np.mean(record.data["checkpoints"][i]["heldout_losses"]) for i in (0, -1))
    assert first == pytest.approx(math.log(2 * 32 - 1), abs=0.15)
    assert last < first - 0.02


def test_a_diverging_run_keeps_what_came_before_and_says_when():
    wild = {**QUICK, "optimizer": {"name": "sgd", "learning_rate": 1e25, "momentum": 0.0}, "checkpoints": [0, 1, 12]}
    record = pretrain(wild)
    diverged = record.data["diverged"]
    assert diverged["step"] < 12
    assert diverged["learning_rate"] == 1e25
    assert "lower the learning rate" in diverged["reason"]
    assert [c["step"] for c in record.data["checkpoints"]] == [0]
    assert all(np.isfinite(a).all() for a in record.arrays.values())
    with pytest.raises(BadInput, match="lower the learning rate"):
        encode_checkpoint(record, 12)


def test_long_runs_have_a_short_trace():
    outcome = run_module.Outcome(9000, tuple(float(i) for i in range(9000)), 1.0, None)
    trace = run_module._trace(outcome, lambda done: 0.1)
    assert len(trace["step"]) == len(trace["loss"]) == len(trace["learning_rate"]) <= 2000
    assert trace["step"][-1] == 9000
    assert trace["loss"][0] == pytest.approx(np.mean(range(trace["window"])))


def test_every_checkpoint_is_an_encoder(record):
    images, _ = digits("digits:test")
    features = {step: encode_checkpoint(record, step).encode(images) for step in (0, 6, 12)}
    assert {z.shape for z in features.values()} == {(450, 16)}
    assert {z.dtype for z in features.values()} == {np.dtype(np.float32)}
    assert not np.allclose(features[0], features[12])
    assert np.array_equal(encode_checkpoint(record).encode(images), features[12])
    stem = encode_checkpoint(record, 12, "stem")
    assert stem.encode(images).shape == (450, stem.dimension) == (450, 8)


def test_an_encoder_reads_8_bit_and_unit_pixels_alike(record):
    images, _ = digits("digits:test")
    bytes_ = np.round(images * 255).astype(np.uint8)
    encoder = encode_checkpoint(record)
    np.testing.assert_allclose(encoder.encode(bytes_), encoder.encode(bytes_ / np.float32(255)), rtol=1e-5, atol=1e-6)


def test_encoder_weights_rebuild_the_encoder_without_the_head(record):
    from limen.models.architectures.registry import build

    module = build(record.data["architecture"])
    weights = encoder_weights(record, 12)
    assert weights.keys() == module.state_dict().keys()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8)), "shape"),
        (np.zeros((2, 8, 8, 3), np.float32), "as in pretraining"),
        (np.full((2, 8, 8, 1), 16.0), r"\[0, 1\]"),
        (np.full((2, 8, 8, 1), np.nan), r"\[0, 1\]"),
        (np.zeros((2, 8, 8, 1), np.int64), "uint8"),
    ],
)
def test_images_an_encoder_cannot_read_are_refused(record, images, message):
    with pytest.raises(BadInput, match=message):
        encode_checkpoint(record).encode(images)


def test_unknown_steps_and_layers_are_named(record):
    with pytest.raises(BadInput, match="0, 6, 12, got 7"):
        encode_checkpoint(record, 7)
    with pytest.raises(BadInput, match="stem, stage1, stage2"):
        encode_checkpoint(record, 12, "stage3")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"batch_size": 100}, "heldout"),
        ({"batch_size": 1300, "heldout": 0.5}, "batch_size"),
        ({"architecture": {"name": "conv", "in_channels": 3}}, "architecture.in_channels"),
        ({"data": "no-such-file.parquet"}, "no-such-file.parquet"),
    ],
)
def test_a_run_that_does_not_fit_its_images_is_refused(change, where):
    with pytest.raises(BadInput) as caught:
        pretrain({**QUICK, **change})
    assert where in {p.where for p in caught.value.problems}


def _augmentation(change):
    return run_module.make_objective(PretrainSpec.parse({**QUICK, **change}), load_examples("digits:test", None)).views


def test_the_usual_augmentation_is_used_where_none_is_named():
    assert _augmentation({}) == usual_views("image", 1)
    named = {"objective": {"name": "nt-xent", "augmentation": {"noise": 0.2}}}
    assert _augmentation(named) == Augmentation(noise=0.2)
    none = {"objective": {"name": "nt-xent", "augmentation": {}}}
    assert _augmentation(none) == Augmentation()
