"""Bad inputs in a study: named, or left out of features, labels, groups and ids alike, and told in every budget."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
from PIL import Image

from limen.data.tables import read_table
from limen.records.budget import Budget
from limen.records.stage import StageRecord
from limen.study.check import check
from limen.study.run import Options, RunResult, open_study, run_study

BAD = {"train": (3, 40, 41), "test": (0, 9)}
"""Population → rows whose input is broken."""
OTHERS = ("label", "who", "part", "name")
ROWS = {"train": 240, "test": 60}
RUN = {"source": "pretrain", "steps": 4, "checkpoints": [4], "batch_size": 8, "heldout": 0.2,
       "evaluation": {"draws": 1, "training_batches": 2}}  # fmt: skip

SMALL: dict[str, dict[str, Any]] = {
    "image": {"architecture": {"width": 8}},
    "audio": {"architecture": {"width": 8, "stages": 2}, "sound": {"seconds": 0.2, "bands": 20}},
    "text": {"architecture": {"width": 16, "depth": 1}, "tokens": {"vocabulary": 300, "length": 16}},
}
"""Kind → encoders that train in a moment."""


def png(pixels: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def wav(samples: Any, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as clip:
        clip.setparams((1, 2, rate, 0, "NONE", ""))
        clip.writeframes(np.asarray(samples).astype("<i2").tobytes())
    return content.getvalue()


def inputs(kind: str, population: str) -> list[Any]:
    """Inputs of two classes, told apart by most encoders."""
    rng = np.random.default_rng(ROWS[population])
    labels = np.arange(ROWS[population]) % 2
    if kind == "image":
        return [png(rng.integers(0, 120, (8, 8), dtype=np.uint8) + np.uint8(60 * label)) for label in labels]
    if kind == "audio":
        times = np.arange(1600) / 8000
        hertz = rng.uniform(300, 500, len(labels)) * (1 + labels)
        return [wav(8000 * np.sin(2 * np.pi * f * times) + rng.normal(0, 99, 1600)) for f in hertz]
    words = np.array(["red", "blue", "left", "right", "up", "down"])
    return [f"{' '.join(rng.choice(words, 5))} {rng.integers(10**6)} {'yes' if one else 'no'}" for one in labels]


BROKEN: dict[str, Any] = {"image": b"\x89PNG no image", "audio": b"RIFF", "text": " "}


def tables(folder: Path, kind: str, bad: bool) -> None:
    """Train and test tables with broken rows, or without these rows."""
    folder.mkdir(exist_ok=True)
    for population, rows in BAD.items():
        values: list[Any] = inputs(kind, population)
        count = len(values)
        columns: dict[str, list[Any]] = {
            kind: [BROKEN[kind] if row in rows else value for row, value in enumerate(values)],
            "label": ["no" if row % 2 == 0 else "yes" for row in range(count)],
            "who": [f"{population} {row // 2}" for row in range(count)],
            "part": [str(row % 3) for row in range(count)],
            "name": [f"{population} {row}" for row in range(count)],
        }
        kept = [row for row in range(count) if bad or row not in rows]
        table = pa.table({name: [column[row] for row in kept] for name, column in columns.items()})
        pq.write_table(table, folder / f"{population}.parquet")


def study(folder: Path, kind: str, on_bad: str, encoders: dict[str, Any]) -> Path:
    task = {"train": "train.parquet", "test": "test.parquet", "input": kind, "on_bad": on_bad, "group": "who",
            "id": "name", "slices": ["part"]}  # fmt: skip
    plain = {"name": "bad", "encoder": encoders, "task": {"t": task},
             "adapt": {"labels": ["all"], "seeds": 1, "linear-probe": {"radius": 4.0, "rich_head": False}}}  # fmt: skip
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps(plain), encoding="utf-8")
    return path


def ran(path: Path) -> RunResult:
    return run_study(path, Options(quiet=True))


def of_stage(path: Path, stage: str) -> list[StageRecord]:
    opened = open_study(path)
    return [opened.store.load(key) for key, cell in opened.plan.cells.items() if cell.stage == stage]


def told(budget: Budget) -> list[str]:
    return [check.finding for check in budget.population_checks if check.name == "reading"]


def numbers(result: RunResult) -> Any:
    (budget,) = result.report.budgets
    return {name: (term.value, term.low, term.high) for name, term in budget.terms.items()}


SOURCES = {"image": {"source": "pixels"}, "text": {"source": "bag-of-words", "dimension": 64, "input": "text"}}


@pytest.mark.parametrize("kind", SOURCES)
def test_skipped_rows_leave_everything_alike(tmp_path: Path, kind: str) -> None:
    """The budget is that of tables which never had the bad rows, and says what was left out of each."""
    results = {}
    for name, bad in (("bad", True), ("clean", False)):
        tables(tmp_path / name, kind, bad)
        path = study(tmp_path / name, kind, "skip", {"e": SOURCES[kind]})
        assert check(path).errors == ()
        results[name] = ran(path)
        assert results[name].exit_code == 0, results[name].report.cells
    assert numbers(results["bad"]) == numbers(results["clean"])
    (budget,), (clean,) = (results[name].report.budgets for name in ("bad", "clean"))
    assert [finding.split(" skipped")[0] for finding in told(budget)] == [
        "train: 3 of 240 rows", "test: 2 of 60 rows",
    ]  # fmt: skip
    assert "(rows 3, 40, 41)" in told(budget)[0]
    assert told(clean) == []
    records = of_stage(tmp_path / "bad" / "study.toml", "features")
    assert sorted((record.data["rows"], [row for row, _ in record.data["skipped"]]) for record in records) == [
        (58, [0, 9]), (237, [3, 40, 41]),
    ]  # fmt: skip


def test_a_corrupt_image_stops_its_cell_by_default_and_is_named(tmp_path: Path) -> None:
    tables(tmp_path, "image", True)
    result = ran(study(tmp_path, "image", "stop", {"e": {"source": "pixels"}}))
    assert result.exit_code == 1
    reasons = [cell.reason for cell in result.report.cells if cell.outcome == "failed"]
    assert len(reasons) == 2
    assert "3 rows (rows 3, 40, 41) cannot be used" in str(reasons)
    assert "2 rows (rows 0, 9) cannot be used" in str(reasons)
    assert 'on_bad = "skip"' in str(reasons)


def test_empty_texts_are_named_before_anything_runs(tmp_path: Path) -> None:
    tables(tmp_path, "text", True)
    errors = check(study(tmp_path, "text", "stop", {"e": SOURCES["text"]})).errors
    assert [error.what.split("; ")[1].split(" cannot")[0] for error in errors] == [
        "3 rows (rows 3, 40, 41)", "2 rows (rows 0, 9)",
    ]  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["image", "audio", "text"])
def test_pretraining_leaves_bad_rows_out_before_the_split_and_counts_them(tmp_path: Path, kind: str) -> None:
    records = {}
    for name, bad in (("bad", True), ("clean", False)):
        tables(tmp_path / name, kind, bad)
        run = {**RUN, "data": "train.parquet", "input": kind, "on_bad": "skip", "objective": "autoencoder",
               "noise": 0.2, **SMALL[kind]}  # fmt: skip
        path = study(tmp_path / name, kind, "skip", {"e": run})
        result = ran(path)
        assert result.exit_code == 0, result.report.cells
        (records[name],) = of_stage(path, "pretrain")
    bad_record, clean = records["bad"], records["clean"]
    assert [row for row, _ in bad_record.data["skipped_examples"]["data"]] == [3, 40, 41]
    assert "skipped_examples" not in clean.data
    assert bad_record.data["training_examples"] + bad_record.data["heldout_examples"] == 237
    assert bad_record.data["checkpoints"] == clean.data["checkpoints"]
    assert all(np.array_equal(array, clean.arrays[key]) for key, array in bad_record.arrays.items())


@pytest.mark.torch
def test_sounds_of_other_rates_are_resampled_and_told(tmp_path: Path) -> None:
    tables(tmp_path, "audio", False)
    train = read_table(tmp_path / "train.parquet", ["audio", *OTHERS])
    columns = {name: values.tolist() for name, values in train.columns.items()}
    columns["audio"][:20] = [wav([k + 1] * 400, 4000) for k in range(20)]
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    run = {**RUN, "data": "train.parquet", "input": "audio", "objective": "autoencoder", **SMALL["audio"]}
    path = study(tmp_path, "audio", "stop", {"e": run})
    (budget,) = ran(path).report.budgets
    several, low = told(budget)
    count = len(columns["audio"])
    assert several.endswith(f"resampled to 8,000 samples a second: 4,000 (20 sounds), 8,000 ({count - 20} sounds)")
    assert f"20 of {count} sounds have fewer samples a second (4,000)" in low
    (record,) = of_stage(path, "pretrain")
    assert any("fewer samples a second (4,000)" in note for note in record.data["notes"])


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["text", "audio"])
def test_near_duplicates_of_the_pretraining_rows_are_named_in_the_budget(tmp_path: Path, kind: str) -> None:
    """Texts in other letters and sounds behind silence, in another file, among empty ones that are left out."""
    tables(tmp_path, kind, True)
    seen = [value for row, value in enumerate(inputs(kind, "train")) if row % 20 == 5]
    changed = [f"  {text.upper()}!!" for text in seen] if kind == "text" else [silent(sound) for sound in seen]
    test = read_table(tmp_path / "test.parquet", [kind, *OTHERS])
    columns = {name: values.tolist() for name, values in test.columns.items()}
    columns[kind][20 : 20 + len(changed)] = changed
    pq.write_table(pa.table(columns), tmp_path / "test.parquet")
    run = {**RUN, "data": "train.parquet", "input": kind, "on_bad": "skip", "objective": "autoencoder", "noise": 0.2,
           **SMALL[kind]}  # fmt: skip
    (budget,) = ran(study(tmp_path, kind, "skip", {"e": run})).report.budgets
    (overlap,) = (check for check in budget.population_checks if check.name == "pretraining-overlap")
    assert "near-duplicates of 12 of the 58 rows of 'test'" in overlap.finding
    assert "near-duplicates of 12 of the 58 rows" in str(budget.shift["test"]["error"].assumptions)


def silent(content: bytes) -> bytes:
    """The same sound between two silences."""
    with wave.open(io.BytesIO(content), "rb") as clip:
        samples = np.frombuffer(clip.readframes(clip.getnframes()), dtype="<i2")
    return wav(np.concatenate([np.zeros(100), samples, np.zeros(50)]))


@pytest.mark.torch
def test_a_model_that_does_not_fit_into_memory_fails_its_cell_with_what_to_do(tmp_path: Path) -> None:
    """Three trillion weights; that a batch which does not fit is named is the law of tests/pretrain/test_memory.py."""
    tables(tmp_path, "image", False)
    run = {**RUN, "data": "train.parquet", "architecture": {"name": "resnet18", "width": 32768}}
    result = run_study(study(tmp_path, "image", "stop", {"e": run}), Options(quiet=True, yes=True))
    (failed,) = (cell for cell in result.report.cells if cell.outcome == "failed")
    assert "expected a smaller model" in failed.reason
    assert "take a smaller width" in failed.reason
