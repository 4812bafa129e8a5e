"""Examples with labels: coded by the classes of the training file, refused where they are no classes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.data.digits import digits  # noqa: E402
from limen.pretrain.examples import load_examples  # noqa: E402
from limen.pretrain.run import pretrain  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = {
    "data": "digits:train",
    "heldout": 0.25,
    "objective": "supervised",
    "architecture": "linear",
    "steps": 5,
    "batch_size": 32,
    "checkpoints": [0, 5],
}


def test_labels_are_read_only_when_asked_for():
    assert load_examples("digits:test", None).labels is None
    examples = load_examples("digits:test", "label")
    part = examples.take(np.array([7, 2]))
    _, labels = digits("digits:test")
    assert examples.labels.tolist() == labels.tolist()
    assert (part.labels.tolist(), part.classes) == ([labels[7], labels[2]], examples.classes)
    assert np.array_equal(part.inputs[0], examples.inputs[7])


def test_how_a_batch_lies_in_memory_is_not_what_it_holds():
    examples = load_examples("digits:test", "label")
    rows = np.array([5, 3, 8])
    one, two = examples.batch(rows), examples.batch(rows, channels_last=True)
    assert torch.equal(one.inputs, two.inputs)
    assert two.inputs.is_contiguous(memory_format=torch.channels_last)
    assert one.labels.tolist() == two.labels.tolist() == examples.labels[rows].tolist()


def _npz(path, images, labels, name="label"):
    np.savez(path, image=images, **{name: labels})
    return str(path)


def test_another_column_and_names_of_classes(tmp_path):
    images, labels = digits("digits:train")
    words = np.array([f"d{y}" for y in labels])
    data = _npz(tmp_path / "a.npz", images, words, "digit")
    record = pretrain({**QUICK, "data": data, "objective": {"name": "supervised", "label": "digit"}})
    assert record.data["classes"] == [f"d{c}" for c in range(10)]
    plain = pretrain(QUICK)
    assert np.array_equal(record.arrays["step-000005/head.weight"], plain.arrays["step-000005/head.weight"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(300, np.int64), "at least two classes"),
        (np.linspace(0, 1, 300), "continuous"),
        (np.arange(300), "class of its own"),
        (np.array([""] * 300), "missing"),
        (np.zeros((300, 2)), "one label a row"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, message):
    images, _ = digits("digits:train")
    data = _npz(tmp_path / "a.npz", images[:300], labels)
    with pytest.raises(BadInput, match=message):
        pretrain({**QUICK, "data": data})


def test_a_missing_label_column_and_unknown_held_out_classes_are_named(tmp_path):
    images, labels = digits("digits:train")
    with pytest.raises(BadInput, match="labl"):
        pretrain({**QUICK, "objective": {"name": "supervised", "label": "labl"}})
    fewer = _npz(tmp_path / "fewer.npz", images[labels < 5], labels[labels < 5])
    with pytest.raises(BadInput, match="do not occur in the train rows"):
        pretrain({**QUICK, "data": fewer, "heldout": "digits:test"})
    pretrain({**QUICK, "heldout": fewer, "steps": 1, "checkpoints": [1]})
