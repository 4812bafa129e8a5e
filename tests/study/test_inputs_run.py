"""Studies on real texts and real sounds, end to end: encoders of several objectives, layers, a start, two tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import tomli_w
from pyarrow import parquet

from limen.data.tables import read_table
from limen.records.budget import Budget
from limen.records.cell import Cell
from limen.records.stage import StageRecord
from limen.study.check import check
from limen.study.cost import pretrain_cost
from limen.study.encoders import Pretrain
from limen.study.run import Options, RunResult, open_study, run_study

pytestmark = pytest.mark.torch
KEYS = ("text", "label")
SMALL = {"steps": 12, "checkpoints": [0, 12], "batch_size": 16, "evaluation": {"draws": 1, "training_batches": 2},
         "optimizer": {"name": "adam"}}  # fmt: skip


def write(folder: Path, encoders: dict[str, Any], tasks: dict[str, Any]) -> Path:
    plain = {
        "name": "inputs",
        "encoder": {name: {"source": "pretrain", **SMALL, **own} for name, own in encoders.items()},
        "task": tasks,
        "adapt": {"labels": ["all"], "seeds": 1, "linear-probe": {"radius": 4.0}},
    }
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps(plain), encoding="utf-8")
    return path


def ran(path: Path, data: Path) -> tuple[RunResult, list[tuple[Cell, StageRecord]]]:
    assert check(path, data).errors == ()
    options = Options(data=data, quiet=True)
    result = run_study(path, options)
    assert result.exit_code == 0, result.line()
    opened = open_study(path, options)
    for reference, key in opened.plan.pretrained.items():  # what it keeps is forecast within a factor 3
        encoder = opened.study.encoder[reference.name]
        assert isinstance(encoder, Pretrain)
        kept = sum(array.nbytes for array in opened.store.load(key).arrays.values())
        assert 1 / 3 < pretrain_cost(encoder, opened.files.describe(encoder.data).rows).disk / kept < 3
    return result, [(cell, opened.store.load(key)) for key, cell in opened.plan.cells.items()]


def by_name(result: RunResult) -> dict[tuple[str, str], Budget]:
    return {(budget.encoder, budget.task): budget for budget in result.report.budgets}


def test_encoders_of_text(shared_data: Path, tmp_path: Path) -> None:
    """Next-token, contrastive by label and masked, of one column; a layer, and a run that starts from another."""
    irony = "tweet-irony/val.parquet"
    text = {"input": "text", "data": irony, "heldout": 0.2, "tokens": {"vocabulary": 400, "length": 16},
            "architecture": {"width": 16, "depth": 2, "heads": 2}}  # fmt: skip
    encoders = {
        "next": {**text, "objective": "next-token"},
        "more": {**text, "objective": "next-token", "start": "next@12", "steps": 13, "checkpoints": [13]},
        "latent": {**text, "objective": "contrastive", "pairs": "label", "negatives": 2, "block": 2},
        "masked": {**text, "objective": "masked", "share": 0.2, "augmentation": {"drop": 0.1}},
    }
    texts, labels = (read_table(str(shared_data / "tweet-irony/test.parquet"), [key]).columns[key] for key in KEYS)
    known = read_table(str(shared_data / irony), ["text"]).columns["text"][:10]
    mixed = {"text": [*texts[:390], *(f" {text.upper()}!" for text in known)], "label": labels[:400].tolist()}
    parquet.write_table(pyarrow.table(mixed), tmp_path / "mixed.parquet")
    task = {"train": "mixed.parquet", "input": "text", "shift": {"seen": irony},
            "encoders": ["next@12", "next:block1", "more", "latent@12", "masked@12"]}  # fmt: skip
    result, cells = ran(write(tmp_path, encoders, {"irony": task}), shared_data)
    runs = {cell.label: record for cell, record in cells if cell.stage == "pretrain"}
    assert {label: record.data["objective"] for label, record in runs.items()} == {
        "next": "next-token", "more": "next-token", "latent": "contrastive", "masked": "masked",
    }  # fmt: skip
    assert runs["next"].data["architecture"] == {
        "name": "transformer", "width": 16, "depth": 2, "heads": 2, "vocabulary": 400, "length": 16, "causal": True,
    }  # fmt: skip
    assert "2 negatives, blocks of 2, radius 1, pairs of the same class" in runs["latent"].data["loss_name"]
    assert "drop 0.1" in runs["masked"].data["loss_name"]
    before, after = (np.mean(c["heldout_losses"]) for c in runs["next"].data["checkpoints"])
    assert after < before
    assert np.mean(runs["more"].data["checkpoints"][0]["heldout_losses"]) < after
    budgets = by_name(result)
    assert {name for name, _ in budgets} == {"next", "next:block1", "more", "latent", "masked"}
    for budget in budgets.values():
        (noted,) = (c for c in budget.population_checks if c.name == "pretraining-overlap")
        assert "seen" in str(noted.numbers["populations"])
    fits = [record for cell, record in cells if cell.stage == "fit"]
    assert [record.data["seen"] for record in fits] == [
        {"train": [10, 400]}
    ] * 5  # copied in capitals into another file
    with_labels = {name: str(budget.population_checks) for (name, _), budget in budgets.items()}
    assert "with their labels" in with_labels["latent"]
    assert "without their labels" in with_labels["masked"]


def test_two_tasks_of_one_encoder_of_sound(shared_data: Path, tmp_path: Path) -> None:
    """Digit and speaker from the same features: encoded once, and both measured."""
    spoken = "spoken-digits/test.parquet"
    sound = {"input": "audio", "data": spoken, "heldout": 0.2, "sound": {"bands": 20, "seconds": 0.5},
             "architecture": {"width": 8, "stages": 2}}  # fmt: skip
    encoders = {
        "views": {**sound, "objective": "nt-xent", "temperature": 0.2, "projection": 16},
        "speaker": {**sound, "objective": "supervised", "label": "speaker"},
    }
    tasks = {name: {"train": spoken, "input": "audio", "label": name, "encoders": ["views@12", "speaker@12"]}
             for name in ("digit", "speaker")}  # fmt: skip
    result, cells = ran(write(tmp_path, encoders, tasks), shared_data)
    stages = [cell.stage for cell, _ in cells]
    assert (stages.count("pretrain"), stages.count("features"), stages.count("fit")) == (2, 2, 4)
    runs = {cell.label: record.data for cell, record in cells if cell.stage == "pretrain"}
    assert runs["views"]["architecture"] == {"name": "sound", "width": 8, "stages": 2, "bands": 20, "frames": 51}
    assert runs["speaker"]["classes"] == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert {record.data["dimension"] for cell, record in cells if cell.stage == "features"} == {16}
    budgets = by_name(result)
    assert set(budgets) == {(name, task) for name in encoders for task in tasks}
    for budget in budgets.values():
        assert "was pretrained on these rows" in str(budget.terms["adaptation_loss"].assumptions)
