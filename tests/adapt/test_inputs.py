"""Where raw inputs are known they, not the features, decide what recurs and what stays together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.prepare import prepare
from limen.records.errors import BadInput
from limen.records.task import FitSpec, LabelledFeatures, Task

SPEC = FitSpec(method="mean-classifier")
COUNT = 200


def rows(seed: int, count: int) -> LabelledFeatures:
    rng = np.random.default_rng(seed)
    return LabelledFeatures(rng.normal(size=(count, 3)), rng.integers(0, 2, count), ("no", "yes"))


def colliding() -> Task:
    """An encoder that maps each of 100 inputs to the point of another one, and half of the test rows to train rows."""
    train, test = rows(0, COUNT), rows(1, 40)
    train.features[100:] = train.features[:100]
    test.features[:20] = train.features[:20]
    inputs = {"train": np.arange(COUNT), "test": COUNT + np.arange(40)}
    return Task("t", "e", train, {"test": test}, inputs=inputs)


def test_different_inputs_at_one_point_are_different_examples() -> None:
    task = colliding()
    with pytest.raises(BadInput, match=r"20 of the 40 rows of 'test' \(50.0%\) are also in the train file"):
        prepare(replace(task, inputs=None), SPEC)
    prepared = prepare(task, SPEC)
    assert len(prepared.rows["fit"]) + len(prepared.rows["holdout"]) == 190
    assert not {check.name for check in prepared.checks} & {"duplicates", "recurring-rows"}


def test_every_encoder_has_the_same_split() -> None:
    one = colliding()
    other = replace(one, train=rows(7, COUNT), populations={"test": rows(8, 40)})
    for part in ("fit", "holdout"):
        assert np.array_equal(prepare(one, SPEC).rows[part], prepare(other, SPEC).rows[part])


def test_equal_inputs_stay_together_and_recur_whatever_their_features() -> None:
    task = Task("t", "e", rows(0, COUNT), {"test": rows(1, 200)}, inputs={
        "train": np.repeat(np.arange(COUNT // 2), 2), "test": np.append(3, COUNT + np.arange(199)),
    })  # fmt: skip
    prepared = prepare(task, SPEC)
    fit, holdout = (set((prepared.rows[part] // 2).tolist()) for part in ("fit", "holdout"))
    assert not fit & holdout
    found = {check.name: check for check in prepared.checks}
    assert found["recurring-rows"].numbers == {"dropped": 2, "recurring": 1}
    assert found["duplicates"].finding.startswith("99 rows repeat the input of an earlier row")
    assert {6, 7} & set(np.concatenate([prepared.rows["fit"], prepared.rows["holdout"]]).tolist()) == set()
    task.inputs["test"][:40] = np.arange(40)  # type: ignore[index]
    with pytest.raises(BadInput, match="40 of the 200 rows"):
        prepare(task, SPEC)
