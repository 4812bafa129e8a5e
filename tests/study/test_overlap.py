"""Rows that an encoder was pretrained on: found by content, named in the budget, no guarantee that rests on them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from limen.adapt.fit import fit_task
from limen.data.digits import digits
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.records.budget import Advice, Budget
from limen.records.comparison import Comparison
from limen.records.estimate import Estimate
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, LabelledFeatures, Question, Task
from limen.study.files import Files
from limen.study.overlap import HOLDOUT_TERMS, POOL_TERMS, Overlap, note_comparison, note_overlap, overlap_of
from limen.study.plan import plan
from limen.study.spec import Study
from limen.verdict import conclude

CLEAN = Overlap(("train",), ("train",), "test", 0.9, 100)
SEEN = Overlap(("train",), ("train",), "train", 0.9, 100)


def overlaps(folder: Path, pretrain: dict[str, Any], task: dict[str, Any]) -> dict[str, Overlap]:
    """Encoder → overlap of one study with an encoder of its own and pixels."""
    own = {"source": "pretrain", "steps": 20, "batch_size": 32, "checkpoints": [0, 20], **pretrain}
    plain = {
        "name": "overlap",
        "encoder": {"own": own, "pixels": {"source": "pixels"}},
        "task": {"t": {"input": "image", **task}},
    }
    found = plan(Study.from_plain(plain), Files(folder))
    return {str(fit.encoder): overlap_of(found.cells, fit.key) for fit in found.fits if fit.method == "linear-probe"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images, labels = digits("digits:train")
    np.savez(tmp_path / "a.npz", image=images[:400], label=labels[:400])
    np.savez(tmp_path / "b.npz", image=images[400:800], label=labels[400:800])
    shutil.copy(tmp_path / "a.npz", tmp_path / "copy.npz")
    return tmp_path


def test_a_copy_under_another_name_is_the_same_rows(folder: Path) -> None:
    found = overlaps(folder, {"data": "copy.npz", "heldout": 0.25}, {"train": "a.npz", "test": "b.npz"})
    assert found["own"] == Overlap(("train",), ("train",), "train", 0.75, 20)
    assert found["own"].holdout_seen
    assert found["own@0"] == replace(found["own"], step=0)
    assert found["pixels"] == Overlap(holdout="train")


def test_a_supervised_run_saw_the_labels_too(folder: Path) -> None:
    found = overlaps(folder, {"data": "a.npz", "objective": "supervised"}, {"train": "a.npz"})
    assert found["own"].labels
    assert found["own"].assumption() == "the encoder was pretrained on these rows, with their labels"
    assert found["own@0"].assumption().endswith("without their labels")
    assert not overlaps(folder, {"data": "a.npz"}, {"train": "a.npz"})["own"].labels


def test_pairs_of_one_label_saw_the_labels_too(folder: Path) -> None:
    own = {"data": "a.npz", "objective": "contrastive"}
    assert overlaps(folder, own | {"pairs": "label"}, {"train": "a.npz"})["own"].labels
    assert not overlaps(folder, own, {"train": "a.npz"})["own"].labels


@pytest.mark.parametrize("kind", ["text", "audio"])
def test_rows_of_texts_and_sounds_are_known_by_content_too(tmp_path: Path, kind: str) -> None:
    for name in ("a", "b"):
        rows = [f"{name} {i}" if kind == "text" else f"{name} {i}".encode() for i in range(400)]
        table = pyarrow.table({kind: rows, "label": [i % 2 for i in range(400)], "who": [i % 3 for i in range(400)]})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    shutil.copy(tmp_path / "a.parquet", tmp_path / "copy.parquet")
    own = {"source": "pretrain", "input": kind, "data": "copy.parquet", "heldout": 0.25, "steps": 20, "batch_size": 32,
           "checkpoints": [20]}  # fmt: skip
    tasks = {
        "seen": {"train": "a.parquet", "test": "b.parquet"},
        "shift": {"train": "b.parquet", "shift": {"far": "a.parquet"}},
        "apart": {"train": "b.parquet"},
    }
    plain = {"name": "o", "encoder": {"own": own}, "task": {k: {"input": kind, **t} for k, t in tasks.items()}}
    found = plan(Study.from_plain(plain), Files(tmp_path))
    seen = {fit.task: overlap_of(found.cells, fit.key) for fit in found.fits}
    assert {task: overlap.trained for task, overlap in seen.items()} == {
        "seen": ("train",), "shift": ("far",), "apart": (),
    }  # fmt: skip
    assert [seen[task].holdout_seen for task in tasks] == [True, False, False]


def test_single_rows_of_another_file_are_known_from_the_record(folder: Path) -> None:
    own = {"source": "pretrain", "steps": 20, "batch_size": 32, "checkpoints": [20], "data": "b.npz"}
    task = {"input": "image", "train": "a.npz", "shift": {"far": "b.npz"}}
    found = plan(Study.from_plain({"name": "o", "encoder": {"own": own}, "task": {"t": task}}), Files(folder))
    (fit,) = found.fits
    record = StageRecord("fit", 0, {"seen": {"train": [3, 400], "far": [400, 400]}}, {})
    assert overlap_of(found.cells, fit.key).trained == ("far",)
    known = overlap_of(found.cells, fit.key, record)
    assert (known.trained, known.near, known.scored) == (("train", "far"), (("train", 3, 400),), ("far",))
    assert known.holdout_seen
    assert overlap_of(found.cells, fit.key, replace(record, data={})) == overlap_of(found.cells, fit.key)


def test_near_duplicates_are_named_and_cost_the_guarantee(budget: Budget) -> None:
    near = replace(SEEN, near=(("train", 3, 600),))
    noted = note_overlap(budget, near)
    (check,) = (c for c in noted.population_checks if c.name == "pretraining-overlap")
    said = "the encoder was pretrained on near-duplicates of 3 of the 600 rows of 'train', without their labels"
    assert check.finding.startswith(f"{said}; some of the held-out rows come from there")
    assert check.numbers["near_duplicates.train"] == 3
    for name in HOLDOUT_TERMS:
        assert said in noted.terms[name].assumptions
        assert noted.terms[name].grade != "certified"


def test_updates_before_a_start_count(folder: Path) -> None:
    own = {"source": "pretrain", "steps": 20, "batch_size": 32, "checkpoints": [0, 20], "data": "a.npz"}
    plain = {
        "name": "overlap",
        "encoder": {"own": own, "more": own | {"start": "own"}, "last": own | {"start": "more@0"}},
        "task": {"t": {"input": "image", "train": "a.npz"}},
    }
    found = plan(Study.from_plain(plain), Files(folder))
    steps = {str(fit.encoder): overlap_of(found.cells, fit.key).step for fit in found.fits}
    assert steps == {"own@0": 0, "own": 20, "more@0": 20, "more": 40, "last@0": 20, "last": 40}


def test_other_rows_are_no_overlap(folder: Path) -> None:
    assert overlaps(folder, {"data": "b.npz"}, {"train": "a.npz"})["own"].trained == ()


def test_what_is_held_out_decides(folder: Path) -> None:
    task = {"train": "a.npz", "test": "b.npz", "same_population": True}
    fit_only = overlaps(folder, {"data": "a.npz"}, task)["own"]
    assert (fit_only.holdout, fit_only.holdout_seen, fit_only.pool_seen) == ("test", False, True)
    holdout_only = overlaps(folder, {"data": "b.npz"}, task)["own"]
    assert (holdout_only.trained, holdout_only.holdout_seen) == (("test",), True)
    shift = overlaps(folder, {"data": "b.npz"}, {"train": "a.npz", "test": "b.npz"})["own"]
    assert (shift.trained, shift.pool_seen) == (("test",), False)


def test_held_out_images_of_a_file_of_their_own_are_scored_not_trained_on(folder: Path) -> None:
    found = overlaps(folder, {"data": "b.npz", "heldout": "a.npz"}, {"train": "a.npz"})["own"]
    assert (found.trained, found.scored, found.pool_scored) == ((), ("train",), True)


@pytest.mark.parametrize(
    ("data", "train", "seen"),
    [("digits", "digits:test", True), ("digits:train", "digits", True), ("digits:train", "digits:test", False)],
)
def test_bundled_digits_hold_their_parts(tmp_path: Path, data: str, train: str, seen: bool) -> None:
    assert overlaps(tmp_path, {"data": data}, {"train": train})["own"].holdout_seen is seen


@pytest.fixture(scope="module")
def budget() -> Budget:
    world = gaussian_classes(3, 4, 900, separation=1.0, label_noise=0.05, seed=7)
    classes = ("a", "b", "c")
    rows = LabelledFeatures(world.features[:600], world.labels[:600], classes, slices={"half": ("x", "y") * 300})
    other = LabelledFeatures(world.features[600:], world.labels[600:], classes)
    task = Task("t", "e", rows, {"far": other})
    found = conclude(fit_task(task, FitSpec(labels=(100, "all"), seeds=1, radius=2.0)), Question(target_loss=0.01))
    sure = Advice("stop-labelling", "no", ("floor_path[-1].low",), "certified")
    solver = Advice("tune-solver", "no", ("terms.optimization_gap.high",), "certified")
    return replace(found, advice=(sure, solver, Advice("target-met", "yes", ("terms.error.high",), "certified")))


def numbers(estimate: Estimate) -> tuple[float | None, ...]:
    return (estimate.value, estimate.low, estimate.high, estimate.confidence)


def marked(estimate: Estimate) -> bool:
    return any("pretrained on" in assumption for assumption in estimate.assumptions)


def test_without_overlap_nothing_changes(budget: Budget) -> None:
    assert note_overlap(budget, Overlap()) is budget


@pytest.mark.parametrize("overlap", [CLEAN, SEEN])
def test_numbers_stay_and_the_document_survives(budget: Budget, overlap: Overlap) -> None:
    noted = note_overlap(budget, overlap)
    assert {k: numbers(v) for k, v in noted.terms.items()} == {k: numbers(v) for k, v in budget.terms.items()}
    assert Budget.from_json(noted.to_json()).to_json() == noted.to_json()


def test_seen_held_out_rows_leave_nothing_certified_but_the_solver(budget: Budget) -> None:
    noted = note_overlap(budget, SEEN)
    assert budget.terms["error"].grade == "certified"
    certified = {name for name, term in noted.terms.items() if term.grade == "certified"}
    assert certified == {"optimization_gap"}  # a statement about these rows, whatever the encoder saw
    affected = {name for name, term in noted.terms.items() if marked(term)}
    assert affected == {*HOLDOUT_TERMS, *POOL_TERMS} & set(noted.terms)
    assert noted.sides is not None
    for side in (noted.sides.certified, noted.sides.statistical, noted.sides.midpoint):
        assert side.grade == "statistical"
        assert side.assumptions[-1] == "the encoder was pretrained on these rows, without their labels"
    for part in noted.slices["half"].values():
        assert marked(part.error)
        assert part.error.grade != "certified"
    assert marked(noted.shift["far"]["shift_gap"])
    assert noted.shift["far"]["error"] == budget.shift["far"]["error"]  # these rows were not seen
    assert [advice.grade for advice in noted.advice] == ["statistical", "certified", "statistical"]
    check = noted.population_checks[-1]
    assert (check.name, check.outcome) == ("pretraining-overlap", "rejected")
    assert check.numbers == {"populations": "train", "share": 0.9, "step": 100}


def test_clean_held_out_rows_keep_their_guarantee_and_the_floor_does_not(budget: Budget) -> None:
    noted = note_overlap(budget, CLEAN)
    assert {name: noted.terms[name] for name in HOLDOUT_TERMS} == {name: budget.terms[name] for name in HOLDOUT_TERMS}
    assert noted.sides is not None
    assert noted.sides.certified.grade == "statistical"
    assert "the encoder was pretrained on the fit rows, without their labels" in noted.sides.certified.assumptions
    assert (noted.slices, noted.shift, noted.controls) == (budget.slices, budget.shift, budget.controls)
    assert [advice.grade for advice in noted.advice] == ["statistical", "certified", "certified"]
    check = noted.population_checks[-1]
    assert check.outcome == "noted"
    assert "'test', which it has not seen" in check.finding


def test_a_seen_shift_set_touches_itself_alone(budget: Budget) -> None:
    noted = note_overlap(budget, Overlap(("far",), ("far",), "train", 1.0, 5))
    assert (noted.terms, noted.sides, noted.advice) == (budget.terms, budget.sides, budget.advice)
    assert all(marked(value) and value.grade != "certified" for value in noted.shift["far"].values())
    assert noted.population_checks[-1].outcome == "noted"


def test_an_untrained_encoder_took_its_normalisation_from_the_rows(budget: Budget) -> None:
    check = note_overlap(budget, replace(SEEN, step=0)).population_checks[-1]
    assert "took the normalisation of its input from rows of 'train'" in check.finding
    assert "pretrained on rows" not in check.finding


def test_comparisons_name_it_too() -> None:
    plain = Estimate(0.1, 0.0, 0.2, 0.95, "statistical")
    duel = Comparison("a", "b", "t", 100, plain, plain, plain, 0.04, False, None)
    assert note_comparison(duel, Overlap(), Overlap()) is duel
    seen = note_comparison(duel, Overlap(), SEEN)
    assert marked(seen.error_difference)
    assert marked(seen.loss_difference)
    clean = note_comparison(duel, CLEAN, Overlap())
    assert marked(clean.floor_difference)
    assert clean.error_difference == plain
