"""Micro-batches, processes, precision and what is not finite, as a study says them."""

from __future__ import annotations

import pytest

from limen.records.errors import BadInput
from limen.study.files import Files
from limen.study.parse import read_study
from limen.study.plan import plan

STUDY = """
name = "s"
[encoder.scratch]
source = "pretrain"
data = "digits:train"
steps = 4
checkpoints = 2
batch_size = 32
accumulation = 4
[task.digits]
train = "digits:test"
input = "image"
"""


def _run(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    study, _ = read_study(path)
    cells = plan(study, Files(tmp_path)).cells
    return next((key, cell) for key, cell in cells.items() if cell.stage == "pretrain")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("processes = 2", "processes", 2),
        ('precision = "bfloat16"', "precision", "bfloat16"),
        ('on_nan = "skip"', "on_nan", "skip"),
    ],
)
def test_each_key_reaches_the_run_and_is_part_of_what_it_means(tmp_path, line, name, value):
    key, _ = _run(tmp_path, STUDY)
    other, cell = _run(tmp_path, STUDY.replace("steps = 4", f"steps = 4\n{line}", 1))
    assert key != other
    assert cell.spec[name] == value
    assert cell.spec["accumulation"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("accumulation = 4", "accumulation = 5"), "accumulation = 5 does not cut batches of 32"),
        (("accumulation = 4", "accumulation = 32"), "accumulation = 32 does not cut batches of 32"),
        (("accumulation = 4", "accumulation = 4\nprocesses = 3"), "processes = 3 cannot share 4 micro-batches"),
        (("accumulation = 4", 'accumulation = 2\nprocesses = 2\narchitecture = "resnet18"'), "resnet18 has batch"),
        (("accumulation = 4", 'accumulation = 2\nprocesses = 2\nrecord = "dynamics"'), "made by one process"),
        (("accumulation = 4", 'accumulation = 4\nobjective = "contrastive"\nnegatives = 8'), "not of 32/4"),
    ],
)
def test_shares_that_do_not_come_out_even_are_named(tmp_path, change, message):
    text = STUDY.replace(*change).replace('architecture = "resnet18"', 'architecture = { name = "resnet18" }')
    with pytest.raises(BadInput) as caught:
        _run(tmp_path, text)
    assert message in str(caught.value)
