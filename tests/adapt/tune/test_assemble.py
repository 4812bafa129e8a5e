"""Tuned cells as a fit record: budgets with an upper side only, and the low end of what tuning gains over a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from limen.adapt.fit import fit_task
from limen.adapt.prepare import Prepared
from limen.adapt.split import subset_order
from limen.adapt.tune.assemble import assemble, with_tuned
from limen.adapt.tune.rows import Raw, design_rows, tune_rows
from limen.adapt.tune.spec import TuneSpec
from limen.adapt.tune.tune import tune, tuned_record
from limen.models.trainable.trainable import Trainable
from limen.records.errors import BadInput
from limen.records.stage import StageRecord
from limen.records.task import Question, Task
from limen.verdict import conclude

pytestmark = pytest.mark.torch
SPEC = TuneSpec("fine-tune", epochs=2, learning_rate=3e-3)
Setting = tuple[Task, Raw, Prepared]


@pytest.fixture(scope="module")
def cells(setting: Setting, encoder: Trainable) -> list[StageRecord]:
    task, raw, prepared = setting
    asked = [(60, 0), (60, 1), (120, 0), (120, 1), (len(prepared.fit), 0)]
    return [
        tuned_record(tune(encoder, tune_rows(task, prepared, raw, n, seed), replace(SPEC, seed=seed)))
        for n, seed in asked
    ]


def test_rows_are_those_of_every_other_method(setting: Setting) -> None:
    task, raw, prepared = setting
    rows = tune_rows(task, prepared, raw, 60, 1)
    chosen = prepared.rows["fit"][subset_order(len(prepared.fit), 0, 1)[:60]]
    assert np.array_equal(rows.train.inputs, raw.train.inputs[chosen])
    assert np.array_equal(rows.holdout.labels, prepared.holdout.labels)
    assert np.array_equal(rows.design.labels, prepared.design.labels)
    assert np.array_equal(prepared.phi(task.train.features[design_rows(task, prepared)]), prepared.design.features)
    assert not set(design_rows(task, prepared)) & (set(prepared.rows["fit"]) | set(prepared.rows["holdout"]))
    assert np.array_equal(rows.populations["test"].labels, prepared.populations["test"].labels)
    with pytest.raises(BadInput, match="label count between 2 and the"):
        tune_rows(task, prepared, raw, 10_000, 0)


def test_a_budget_of_a_tuned_encoder_has_an_upper_side_only(setting: Setting, cells: list[StageRecord]) -> None:
    task, _, prepared = setting
    budget = conclude(assemble(task, prepared, cells), Question())
    loss = budget.terms["adaptation_loss"]
    assert budget.radius is None
    assert budget.sides is None
    assert budget.floor_path == ()
    assert not {"minimal_adaptation_loss", "optimism", "estimation_gap"} & set(budget.terms)
    assert loss.value == pytest.approx(cells[-1].arrays["holdout.loss"].mean())
    assert loss.low < loss.value < loss.high
    assert budget.terms["error"].value == pytest.approx(
        (cells[-1].arrays["holdout.prediction"] != cells[-1].arrays["holdout.labels"]).mean()
    )
    assert budget.n_train == len(prepared.fit)
    assert [(point.n, point.seed) for point in budget.curve] == [
        (60, 0), (60, 1), (120, 0), (120, 1), (len(prepared.fit), None),
    ]  # fmt: skip
    assert set(budget.shift) == {"test"}
    assert set(budget.controls) == {"prior"}
    assert budget.to_json()["method"] == "fine-tune"


def test_the_largest_count_may_be_less_than_all(setting: Setting, cells: list[StageRecord]) -> None:
    task, _, prepared = setting
    record = assemble(task, prepared, cells[3::-1])  # in any order
    budget = conclude(record, Question())
    assert (budget.n_train, len(record.arrays["fit_rows"])) == (120, 120)
    assert [(p["n"], p["seed"]) for p in record.data["curve"]] == [(60, 0), (60, 1), (120, None)]
    chosen = prepared.rows["fit"][subset_order(len(prepared.fit), 0, 0)[:120]]
    assert np.array_equal(record.arrays["fit_rows"], chosen)


def test_class_gap_by_the_swap_bound_is_that_of_the_two_records(setting: Setting, cells: list[StageRecord]) -> None:
    task, _, prepared = setting
    probe = fit_task(task, replace(prepared.spec, radius=0.5, labels=("all",), rich_head=False))  # too small a class
    tuned = assemble(task, prepared, cells)
    gap = conclude(with_tuned(probe, tuned), Question()).terms["class_gap"]
    paired = probe.data["holdout_minimum"] - float(cells[-1].arrays["holdout.loss"].mean())
    assert gap.value is None
    assert gap.low is not None
    assert 0 < gap.low < max(paired, probe.data["pool"]["minimum"] - float(cells[-1].arrays["holdout.loss"].mean()))
    assert "class_gap" not in conclude(probe, Question()).terms


def test_records_that_do_not_belong_together_are_named(setting: Setting, cells: list[StageRecord]) -> None:
    task, _, prepared = setting

    def refused(chosen: Sequence[StageRecord], message: str) -> None:
        with pytest.raises(BadInput, match=message):
            assemble(task, prepared, chosen)

    refused([], "got none")
    other = StageRecord("tune", 1, {**cells[0].data, "method": "lora"}, cells[0].arrays)
    refused([other, cells[1]], "cells of one method, got fine-tune, lora")
    refused([cells[0], cells[2], cells[3], cells[4]], "same seeds at every label count")
    short = {**cells[0].arrays, "holdout.labels": cells[0].arrays["holdout.labels"][:-1]}
    refused([StageRecord("tune", 1, cells[0].data, short)], "every held-out row")
    tuned = assemble(task, prepared, cells)
    with pytest.raises(BadInput, match="record of a linear probe"):
        with_tuned(tuned, tuned)


def test_a_fit_that_diverged_is_said(setting: Setting, encoder: Trainable) -> None:
    task, raw, prepared = setting
    wild = replace(SPEC, learning_rate=1e30, warmup=0.0, clip=None)
    cell = tuned_record(tune(encoder, tune_rows(task, prepared, raw, 60, 0), wild))
    checks = conclude(assemble(task, prepared, [cell]), Question()).population_checks
    (found,) = [check for check in checks if check.name == "diverged"]
    assert found.outcome == "rejected"
    assert "60 labels, seed 0: the loss was" in found.finding
