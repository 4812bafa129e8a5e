"""A specification is read whole or refused with every problem."""

from __future__ import annotations

import subprocess
import sys

import pytest

from limen.pretrain.schedule import Schedule
from limen.pretrain.spec import PretrainSpec
from limen.records.errors import BadInput

LEAST = {"data": "digits", "steps": 10, "batch_size": 4}


def test_short_forms_mean_their_long_forms():
    short = PretrainSpec.parse({**LEAST, "objective": "nt-xent", "optimizer": "sgd", "schedule": "cosine"})
    long = PretrainSpec.parse({
        **LEAST,
        "objective": {"name": "nt-xent"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0, "decoupled": False},
        "schedule": {"name": "cosine", "warmup": 0},
    })  # fmt: skip
    assert short == long
    assert short.schedule == Schedule("cosine", 0)
    assert PretrainSpec.parse(LEAST).optimizer == short.optimizer


def test_no_augmentation_is_an_empty_table():
    one, two = (
        PretrainSpec.parse({**LEAST, "objective": {"name": "nt-xent", "augmentation": a}}) for a in ("none", {})
    )
    assert one == two


def test_what_is_recorded_is_carried():
    assert PretrainSpec.parse({**LEAST, "record": "dynamics"}).record == "dynamics"
    assert PretrainSpec.parse(LEAST).record is None


def test_a_list_of_checkpoints_is_a_set():
    assert PretrainSpec.parse({**LEAST, "checkpoints": [10, 0, 3, 3]}).checkpoints == (0, 3, 10)


def test_reading_a_specification_imports_no_torch():
    code = "import sys; from limen.pretrain.spec import PretrainSpec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"step": 3}, "step"),
        ({"data": None}, "data"),
        ({"data": 3}, "data"),
        ({"steps": 0}, "steps"),
        ({"steps": True}, "steps"),
        ({"steps": "10"}, "steps"),
        ({"batch_size": 1}, "batch_size"),
        ({"threads": 0}, "threads"),
        ({"seed": -1}, "seed"),
        ({"heldout": 1.5}, "heldout"),
        ({"heldout": 0}, "heldout"),
        ({"sampling": "shuffle"}, "sampling"),
        ({"schedule": "linear"}, "schedule.name"),
        ({"schedule": {"name": "cosine", "warmup": 10}}, "schedule.warmup"),
        ({"schedule": {"name": "cosine", "warm": 1}}, "schedule.warm"),
        ({"schedule": 3}, "schedule"),
        ({"optimizer": "lbfgs"}, "optimizer.name"),
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, "optimizer.lr"),
        ({"optimizer": {"name": "sgd", "learning_rate": -1}}, "optimizer.learning_rate"),
        ({"optimizer": {"name": "sgd", "learning_rate": float("nan")}}, "optimizer.learning_rate"),
        ({"optimizer": {"name": "sgd", "momentum": 1.0}}, "optimizer.momentum"),
        ({"optimizer": {"name": "adam", "momentum": 0.9}}, "optimizer.momentum"),
        ({"objective": "masking"}, "objective.name"),
        ({"objective": {"name": "supervised", "temperature": 0.5}}, "objective.temperature"),
        ({"objective": {"name": "supervised", "loss": "hinge"}}, "objective.loss"),
        ({"objective": {"name": "supervised", "label": 3}}, "objective.label"),
        ({"objective": {"name": "nt-xent", "label": "y"}}, "objective.label"),
        ({"optimizer": {"name": "sgd", "dampening": 1.0}}, "optimizer.dampening"),
        ({"optimizer": {"name": "sgd", "nesterov": 1}}, "optimizer.nesterov"),
        ({"optimizer": {"name": "sgd", "nesterov": True, "momentum": 0.0}}, "optimizer.nesterov"),
        ({"optimizer": {"name": "sgd", "nesterov": True, "dampening": 0.1}}, "optimizer.nesterov"),
        ({"optimizer": {"name": "adamw", "decoupled": True}}, "optimizer.decoupled"),
        ({"start": -1}, "start"),
        ({"start": "scratch@3"}, "start"),
        ({"record": "everything"}, "record"),
        ({"objective": {"name": "nt-xent", "temperature": 0}}, "objective.temperature"),
        ({"objective": {"name": "nt-xent", "temp": 1}}, "objective.temp"),
        ({"objective": {"name": "nt-xent", "projection": 0}}, "objective.projection"),
        ({"objective": {"name": "nt-xent", "augmentation": {"crop": 2}}}, "objective.augmentation.crop"),
        ({"objective": {"name": "nt-xent", "augmentation": {"blur": 1}}}, "objective.augmentation.blur"),
        ({"objective": {"name": "nt-xent", "augmentation": {"flip": 1}}}, "objective.augmentation.flip"),
        ({"objective": {"name": "nt-xent", "augmentation": "strong"}}, "objective.augmentation"),
        ({"architecture": 3}, "architecture"),
        ({"checkpoints": 1}, "checkpoints"),
        ({"checkpoints": 12}, "checkpoints"),
        ({"checkpoints": [0, 11]}, "checkpoints"),
        ({"checkpoints": []}, "checkpoints"),
        ({"evaluation": {"draws": 0}}, "evaluation.draws"),
        ({"evaluation": {"draw": 2}}, "evaluation.draw"),
        ({"evaluation": 2}, "evaluation"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(change, where):
    with pytest.raises(BadInput) as caught:
        PretrainSpec.parse({**LEAST, **change})
    assert [p.where for p in caught.value.problems] == [where]


def test_all_problems_are_told_at_once():
    with pytest.raises(BadInput) as caught:
        PretrainSpec.parse({"steps": 0, "sampling": "x", "optimizer": {"name": "sgd", "lr": 1}})
    assert {p.where for p in caught.value.problems} == {"data", "batch_size", "steps", "sampling", "optimizer.lr"}
