"""From a description to its objective: every option arrives, every one changes the name of the loss or the module."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from limen.pretrain.examples import Examples
from limen.pretrain.objectives.make import MAKERS, make_objective
from limen.pretrain.options import COMPARING, OBJECTIVES
from limen.pretrain.spec import PretrainSpec
from limen.pretrain.views.strengths import KINDS, usual_views

pytestmark = pytest.mark.torch
OTHER = {
    "temperature": 0.3, "projection": 7, "loss": "squared", "pairs": "label", "negatives": 3, "block": 2,
    "surrogate": "hinge", "radius": 2.0, "share": 0.25, "noise": 0.75,
}  # fmt: skip


def _examples(kind):
    shape = {"image": (4, 8, 8, 3), "text": (4, 9), "audio": (4, 40, 101)}[kind]
    return Examples(np.zeros(shape), np.array([0, 1, 2, 0]), ("a", "b", "c"), kind)


def _made(kind="image", **objective):
    run = PretrainSpec.parse({"data": "x", "steps": 8, "batch_size": 2, "input": kind, "objective": objective})
    return make_objective(run, _examples(kind))


def test_every_objective_can_be_made():
    assert set(MAKERS) | {"supervised"} == set(OBJECTIVES)


@pytest.mark.parametrize("kind", ["image", "text", "audio"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_views_are_the_usual_ones_where_they_are_compared_and_none_elsewhere(kind, name):
    expected = usual_views(kind, 3) if name in COMPARING else KINDS[kind]()
    assert _made(kind, name=name).views == expected
    assert _made(kind, name=name, augmentation="none").views == KINDS[kind]()
    assert _made(kind, name=name, augmentation={"noise" if kind != "text" else "drop": 0.25}).views != KINDS[kind]()


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, key) for name, options in OBJECTIVES.items() for key in options if key not in ("augmentation", "label")],
)
def test_every_option_arrives(name, option):
    assert getattr(_made(name=name, **{option: OTHER[option]}), option) == OTHER[option]


def test_classes_are_those_of_the_examples():
    assert _made(name="supervised").classes == 3
