"""Every bad input of a study is found before anything runs; the forecast counts what the plan builds."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import tomli_w
from pyarrow import parquet

from limen.records.errors import BadInput
from limen.records.units import duration
from limen.study import check as check_module
from limen.study.check import CheckReport, check
from limen.study.cost import START_TORCH, dimension_of, pretrain_cost
from limen.study.encoders import Pretrain
from limen.study.files import Files
from limen.study.forecast import Forecast, approve, forecast
from limen.study.plan import plan
from limen.study.run import Options, run_study
from limen.study.spec import Study
from limen.study.starter import STARTER, write_starter

PLAIN: dict[str, Any] = {
    "name": "one",
    "encoder": {
        "bow": {"source": "bag-of-words", "dimension": 64},
        "pixels": {"source": "pixels"},
        "given": {"source": "embeddings"},
        "scratch": {"source": "pretrain", "data": "digits:train", "heldout": 0.1, "steps": 20, "batch_size": 32,
                    "checkpoints": [0, 10, 20], "seeds": 2},
    },
    "task": {
        "notes": {"train": "train.csv", "test": "test.csv", "input": "text"},
        "digits": {"train": "digits:train", "test": "digits:test", "input": "image"},
        "vectors": {"train": "vectors.npz", "input": "features"},
    },
    "adapt": {"methods": ["linear-probe", "knn"], "labels": [10, "all"], "seeds": 2},
}  # fmt: skip


SUPERVISED = {**PLAIN["encoder"]["scratch"], "objective": "supervised"}
WORDS = {"source": "pretrain", "input": "text", "data": "train.csv", "heldout": 0.5, "steps": 20, "batch_size": 8}
VOICES = WORDS | {"input": "audio", "data": "clips.parquet"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(f"{name} {i},{i % 2}\n" for i in range(40)))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "vectors.npz", X=rng.normal(size=(40, 3)), y=np.arange(40) % 2)
    np.savez(tmp_path / "images.npz", image=np.zeros((400, 8, 8, 1), np.uint8))
    return tmp_path


def checked(plain: dict[str, Any], folder: Path, data: Path | None = None) -> CheckReport:
    (folder / "study.toml").write_text(tomli_w.dumps(plain), encoding="utf-8")
    return check(folder / "study.toml", data)


def changed(path: str, value: Any) -> dict[str, Any]:
    plain = copy.deepcopy(PLAIN)
    node = plain
    *parents, last = path.split(".")
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = value
    return plain


def test_a_sound_study_has_no_errors_and_the_forecast_counts_its_cells(folder: Path) -> None:
    report = checked(PLAIN, folder)
    assert report.errors == ()
    study = Study.from_plain(PLAIN)
    cells = plan(study, Files(folder)).cells
    found = report.forecast
    assert found is not None
    assert found.cells == len(cells)
    assert found.seconds == pytest.approx(START_TORCH + sum(cell.seconds for cell in cells.values()))
    assert found.models == (1 + 1 + 6 + 1) * 2 * (2 + 1)
    assert report.skipped == 8
    plain = report.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["schema"] == "limen.check/1"
    assert {"errors", "cells", "minutes", "disk_bytes", "memory_bytes"} <= set(plain)
    assert 0 < plain["minutes"]["low"] < plain["minutes"]["high"]


def test_some_references_count_as_the_plan_builds_them(folder: Path) -> None:
    for chosen in (["scratch"], ["scratch#1"], ["scratch", "scratch#1:stem@10"], ["scratch@0", "scratch#0@20"]):
        study = Study.from_plain(changed("task.digits.encoders", [*chosen, "pixels"]))
        assert forecast(study, Files(folder)).cells == len(plan(study, Files(folder)).cells)


@pytest.mark.parametrize(
    ("path", "value", "what", "fix"),
    [
        ("task.notes.train", "trian.csv", "trian.csv", "train.csv"),
        ("task.notes.test", "train.csv", "train and test are the same table", ""),
        ("task.notes.label", "lable", 'there is no column "lable"', 'did you mean "label"?'),
        ("task.notes.column", "label", 'column "label" holds number, expected text', "column = "),
        ("task.notes.group", "who", 'there is no column "who"', "known here: text, label"),
        ("task.notes.slices", ["who"], 'there is no column "who"', ""),
        ("task.notes.id", "who", 'there is no column "who"', ""),
        ("task.notes.shift", {"typos": "typos.csv"}, "typos.csv", ""),
        ("task.notes.train", "vectors.npz", 'there is no column "text"', ""),
        ("task.notes.train", "study.toml", "expected a .parquet, .csv or .npz file", ""),
        ("adapt.labels", [31], "31 labels are asked for, and train.csv has 40 rows, of which 75 % = 30", '"all"'),
        ("adapt.labels", [41], "41 labels are asked for, and train.csv has 40 rows", ""),
        ("encoder.scratch.data", "train.csv", 'there is no column "image"', ""),
        ("encoder.scratch.heldout", 0.01, "needs two batches of 32, and 13 examples are held out", "hold out more"),
        ("encoder.scratch.batch_size", 2000, "more than the 1,212 training examples", ""),
        ("encoder.scratch", SUPERVISED | {"label": "digit"}, 'there is no column "digit"', "known here: image, label"),
        ("encoder.scratch", SUPERVISED | {"data": "images.npz"}, 'there is no column "label"', "known here: image"),
        ("encoder.scratch", SUPERVISED | {"heldout": "images.npz"}, 'there is no column "label"', ""),
        ("encoder.scratch.architecture", {"name": "vit", "patch": 3},
         "patch = 3 does not divide the 8 pixels of the images of digits:train", "1, 2, 4 or 8"),
        ("encoder.scratch.column", "pixels", 'there is no column "pixels"', "known here: image, label"),
        ("encoder.scratch.column", "label", 'column "label" holds', "column = "),
        ("encoder.words", WORDS | {"column": "words"}, 'there is no column "words"', "known here: text, label"),
        ("encoder.words", WORDS | {"column": "label"}, 'column "label" holds number, expected text', "column = "),
        ("encoder.words", WORDS | {"objective": "contrastive", "pairs": "label", "label": "y"},
         'there is no column "y"', "known here: text, label"),
        ("encoder.words", WORDS | {"heldout": "vectors.npz"}, 'there is no column "text"', ""),
        ("encoder.words", WORDS | {"batch_size": 16, "heldout": 0.2}, "needs two batches of 16, and 8 examples", ""),
        ("encoder.bow", {"source": "transformers", "path": "models/none/x"}, "there is no such file or folder", ""),
        ("encoder.bow", {"source": "sentence-transformers", "path": "org/name"}, "pinned revision", "revision ="),
        ("encoder.bow", {"source": "sentence-transformers", "path": "org/name", "revision": "a" * 40},
         "the weights are not on this machine", f"hf download org/name --revision {'a' * 40}"),
        ("encoder.pixels", {"source": "torch", "path": "train.csv", "architecture": {"width": 8}}, "got .csv", ""),
    ],
)  # fmt: skip
def test_what_a_study_names_is_looked_at(folder: Path, path: str, value: Any, what: str, fix: str) -> None:
    start = time.perf_counter()
    report = checked(changed(path, value), folder)
    assert time.perf_counter() - start < 5
    assert report.forecast is None
    found = [problem for problem in report.errors if what in problem.what and fix in problem.fix]
    assert found, [str(problem) for problem in report.errors]
    assert found[0].where.startswith("study.toml:")
    assert "^" in found[0].context
    plain = report.to_json()
    assert plain["cells"] is None
    assert isinstance(plain["errors"][0]["line"], int)


def test_labels_beyond_the_rows_show_the_list_and_the_table(folder: Path) -> None:
    (found,) = checked(changed("adapt.labels", [10, 35, "all"]), folder).errors[:1]
    assert found.context.count("^") > 2
    assert 'train = "train.csv"' in found.context


SPOILT: dict[str, tuple[list[object], str]] = {
    "one class": (["a"] * 40, "expected at least two classes, got one"),
    "continuous": ([i / 7 for i in range(40)], "expected classes, got continuous values"),
    "missing": (["a", "b", ""] * 13 + ["a"], "labels are missing"),
    "ids": (list(range(40)), "every one of the 40 rows has a class of its own"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("population", ["train", "test", "shift"])
def test_labels_that_no_fit_takes_are_found_before_anything_runs(folder: Path, population: str, spoilt: str) -> None:
    labels, what = SPOILT[spoilt]
    rows = "".join(f"other {i},{label}\n" for i, label in enumerate(labels))
    (folder / "spoilt.csv").write_text(f"text,label\n{rows}")
    value = {"typos": "spoilt.csv"} if population == "shift" else "spoilt.csv"
    report = checked(changed(f"task.notes.{population}", value), folder)
    found = [str(problem) for problem in report.errors]
    if population != "train" and spoilt in ("one class", "ids"):
        what = "1 class does not occur" if spoilt == "one class" else "classes do not occur in the train rows"
    assert any(what in text and "spoilt.csv: label" in text and "^" in text for text in found), found
    assert len(found) == 1
    with pytest.raises(BadInput, match=what):
        run_study(folder / "study.toml", Options(quiet=True))
    assert not (folder / "study.limen").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("population", ["train", "test"])
def test_vectors_that_are_not_finite_are_found(folder: Path, value: float, population: str) -> None:
    vectors = np.random.default_rng(1).normal(size=(40, 3))
    vectors[7, 1] = value
    np.savez(folder / "spoilt.npz", X=vectors, y=np.arange(40) % 2)
    (found,) = checked(changed(f"task.vectors.{population}", "spoilt.npz"), folder).errors
    assert "expected finite features, got 1 NaN or infinite values in 1 row (row 7)" in found.what
    assert "drop them" in found.fix


def test_vectors_of_another_width_and_repeated_ids_are_found(folder: Path) -> None:
    np.savez(folder / "narrow.npz", X=np.random.default_rng(1).normal(size=(40, 2)), y=np.arange(40) % 2)
    assert len(checked(changed("task.vectors.test", "narrow.npz"), folder).errors) == 1
    plain = changed("task.notes.id", "text")
    (folder / "train.csv").write_text("text,label\n" + "".join(f"train {i % 9},{i % 2}\n" for i in range(40)))
    (found,) = checked(plain, folder).errors
    assert "train.csv: text: expected unique ids" in found.what


def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limen.study.check.find_spec", lambda name: None if name == "torch" else object())
    (found,) = checked(PLAIN, folder).errors
    assert "needs the library torch" in found.what
    assert found.fix == "pip install '.[torch]'"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"column": "speaker"}, ['voices.column: column "speaker" holds text, expected bytes']),
        ({"column": "sound"}, ['voices.column: there is no column "sound"']),
        ({"objective": "spectral", "pairs": "label"}, ['voices.data: there is no column "label"']),
        ({"objective": "spectral", "pairs": "label", "label": "speaker"}, []),
        ({"objective": "supervised", "label": "digit"}, ['voices.label: there is no column "digit"']),
        ({"heldout": "train.csv"}, ['voices.heldout: there is no column "audio"']),
    ],
)
def test_columns_of_a_run_on_sounds_are_looked_at(folder: Path, change: dict[str, Any], expected: list[str]) -> None:
    rows = {"audio": [b"RIFF"] * 40, "speaker": ["a", "b"] * 20}
    parquet.write_table(pyarrow.table(rows), folder / "clips.parquet")
    plain = changed("encoder.voices", VOICES | change)
    plain["task"]["spoken"] = {"train": "clips.parquet", "input": "audio", "label": "speaker"}
    said = [problem.what for problem in checked(plain, folder).errors]
    assert said == [f"encoder.{what}" for what in expected]


@pytest.mark.parametrize(
    ("spoilt", "where"),
    [("corpus.csv", "encoder.words.data"), ("train.csv", "task.notes.train"), ("test.csv", "task.notes.test")],
)
def test_empty_texts_are_found_before_anything_runs(folder: Path, spoilt: str, where: str) -> None:
    plain = changed("encoder.words", WORDS | {"data": "corpus.csv"})
    rows = [f"word {i},{i % 2}\n" for i in range(40)]
    (folder / "corpus.csv").write_text("text,label\n" + "".join(rows))
    assert checked(plain, folder).errors == ()
    (folder / spoilt).write_text("text,label\n" + "".join([*rows[:3], "  ,0\n", *rows[4:]]))
    (found,) = checked(plain, folder).errors
    assert found.what.startswith(f"{where}: {spoilt}: text: expected texts that hold something; 1 row (row 3)")
    plain["encoder"]["words"]["on_bad"] = "skip"
    assert (checked(plain, folder).errors == ()) is (spoilt == "corpus.csv")


@pytest.mark.parametrize(("encoder", "library"), [(WORDS, "tokenizers"), (VOICES, "transformers")])
def test_a_library_that_prepares_inputs_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, encoder: dict[str, Any], library: str
) -> None:
    parquet.write_table(pyarrow.table({"audio": [b"RIFF"] * 40, "label": ["a", "b"] * 20}), folder / "clips.parquet")
    plain = changed("encoder.own", encoder)
    plain["task"]["spoken"] = {"train": "clips.parquet", "input": "audio", "encoders": ["own"]}
    if encoder is WORDS:
        del plain["task"]["spoken"]
    monkeypatch.setattr(check_module, "find_spec", lambda name: None if name == library else find_spec(name))
    (found,) = checked(plain, folder).errors
    assert f"need the library {library}, which is not installed" in found.what
    assert found.fix == "pip install '.[hf]'"


def test_syntax_and_type_errors_arrive_in_the_report(folder: Path) -> None:
    (folder / "study.toml").write_text("name = \n")
    report = check(folder / "study.toml")
    assert report.to_json()["errors"][0] | {"context": ""} == {
        "file": "study.toml", "line": 1, "column": 8, "message": "this is no TOML: invalid value", "cause": "",
        "fix": 'text needs quotes: key = "value"', "context": "",
    }  # fmt: skip
    assert check(folder / "none.toml").errors


def test_the_data_folder_comes_first(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("data")
    for name in ("train.csv", "test.csv", "vectors.npz"):
        shutil.move(folder / name, data / name)
    assert checked(PLAIN, folder).errors
    assert not checked(PLAIN, folder, data).errors


def test_repeated_values_are_merged_and_noted(folder: Path) -> None:
    plain = changed("adapt.labels", [10, "all", 10])
    plain["task"]["notes"]["encoders"] = ["bow", "bow"]
    report = checked(plain, folder)
    assert not report.errors
    assert "adapt.labels: 10 is repeated and counts once" in report.notes
    assert "task.notes.encoders: bow is repeated and counts once" in report.notes
    assert report.forecast == checked(PLAIN, folder).forecast


def test_ten_million_cells_are_forecast_at_once_and_need_a_yes(folder: Path) -> None:
    plain = changed("encoder.scratch.seeds", 1_000_000)
    start = time.perf_counter()
    report = checked(plain, folder)
    assert time.perf_counter() - start < 5
    assert report.forecast is not None
    # a million runs, three checkpoints each on two tables and with two methods, and eleven other cells
    assert report.forecast.cells == 1_000_000 * (1 + 3 * 2 + 3 * 2) + 11
    with pytest.raises(BadInput) as caught:
        approve(report.forecast, yes=False)
    text = str(caught.value)
    assert "13,000,011 cells" in text
    assert "days" in text
    assert "TB on disk" in text or "GB on disk" in text
    assert "--yes" in text
    approve(report.forecast, yes=True)


def test_long_studies_need_a_yes_too() -> None:
    short, long = (Forecast(10, 10, hours * 3600, 0, 0) for hours in (1, 100))
    approve(short, yes=False)
    with pytest.raises(BadInput, match="this study is large"):
        approve(long, yes=False)
    approve(Forecast(10, 10, 100 * 3600, 0, 0, workers=16), yes=False)
    assert duration(6e7) == "694 days"


def test_a_supervised_run_is_sound_and_an_npz_may_call_its_labels_y(folder: Path) -> None:
    images = np.arange(400 * 64, dtype=np.uint16).reshape(400, 8, 8, 1).astype(np.uint8)
    np.savez(folder / "labelled.npz", image=images, y=np.arange(400) % 3)
    for data in ("digits:train", "labelled.npz"):
        plain = changed("encoder.scratch", SUPERVISED | {"data": data, "heldout": 0.2})
        assert checked(plain, folder).errors == ()
    run = next(cell for cell in plan(Study.from_plain(plain), Files(folder)).cells.values() if cell.stage == "pretrain")
    assert run.spec["objective"]["label"] == "y"


def test_a_record_that_cannot_be_made_is_an_error_of_the_check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = changed("encoder.scratch.record", "dynamics")
    monkeypatch.setattr(check_module, "RECORDERS", {})
    (problem,) = checked(plain, folder).errors
    assert (problem.what, problem.fix) == ("encoder.scratch.record: not available in this version", "remove it")
    monkeypatch.setattr(check_module, "RECORDERS", {"dynamics": lambda spec: None})
    assert checked(plain, folder).errors == ()


@pytest.mark.parametrize(
    "architecture",
    [{"name": "resnet18", "width": 4}, {"name": "mlp", "hidden": [300, 20]}, {"name": "linear"}],
    ids=lambda a: a["name"],
)
def test_what_an_architecture_costs_grows_with_it(folder: Path, architecture: dict[str, Any]) -> None:
    study = Study.from_plain(changed("encoder.scratch", SUPERVISED | {"architecture": architecture}))
    encoder, files = study.encoder["scratch"], Files(folder)
    assert isinstance(encoder, Pretrain)
    width = {"resnet18": 32, "mlp": 20, "linear": 64}[architecture["name"]]
    assert dimension_of(encoder, files, "digits:train") == width
    longer = encoder.model_copy(update={"steps": 2000})
    assert pretrain_cost(longer, 1000).seconds > 2 * pretrain_cost(encoder, 1000).seconds
    contrastive = Study.from_plain(
        changed("encoder.scratch", PLAIN["encoder"]["scratch"] | {"architecture": architecture})
    ).encoder["scratch"]
    assert isinstance(contrastive, Pretrain)
    assert pretrain_cost(contrastive, 1000).seconds > pretrain_cost(encoder, 1000).seconds


def test_one_pretraining_run_keeps_one_worker_busy_and_its_threads_help(folder: Path) -> None:
    plain = changed("encoder.scratch.seeds", 1)
    study, files = Study.from_plain(plain), Files(folder)
    one, four = (forecast(study, files, workers) for workers in (1, 4))
    rest = one.seconds - one.pretraining
    assert 0 < one.pretraining < rest
    assert sum(one.minutes) / 2.5 == pytest.approx(one.seconds / 60)
    assert sum(four.minutes) / 2.5 == pytest.approx((four.pretraining + (four.seconds - four.pretraining) / 4) / 60)
    plain["encoder"]["scratch"]["threads"] = 2
    threaded = forecast(Study.from_plain(plain), files)
    assert one.pretraining / 2 < threaded.pretraining < one.pretraining
    plain["encoder"]["scratch"]["seeds"] = 4
    runs = forecast(Study.from_plain(plain), files, workers=4)
    assert (runs.runs, runs.pretraining) == (4, pytest.approx(4 * threaded.pretraining))


def test_the_starter_passes_check_without_any_data(tmp_path: Path) -> None:
    study, schema = write_starter(tmp_path)
    report = check(study)
    assert report.errors == ()
    assert report.notes == ()
    assert report.forecast is not None
    assert json.loads(schema.read_text())["title"] == "Limen study"
    with pytest.raises(BadInput, match="exists already"):
        write_starter(tmp_path)


def test_everything_the_starter_offers_in_comments_is_sound(tmp_path: Path) -> None:
    sections = (
        "encoder.scratch",
        "encoder.mine",
        "encoder.minilm",
        "encoder.words",
        "encoder.voices",
        "task.digits.shift",
    )
    lines, on = [], False
    for line in STARTER.splitlines():
        on = any(f"[{name}]" in line for name in sections) or (on and line.startswith("# "))
        lines.append(line.removeprefix("# ") if on else line)
    (tmp_path / "study.toml").write_text("\n".join(lines))
    said = [problem.what for problem in check(tmp_path / "study.toml").errors]
    assert said == [  # every key is sound: only the tasks for text and for vectors are not there
        "encoder.minilm: this encoder has no task: it takes text and no task gives that",
        "encoder.mine: this encoder has no task: it takes features and no task gives that",
        "encoder.words: this encoder has no task: it takes text and no task gives that",
        "encoder.voices: this encoder has no task: it takes audio and no task gives that",
    ]


def test_check_imports_no_torch(folder: Path) -> None:
    (folder / "study.toml").write_text(tomli_w.dumps(PLAIN), encoding="utf-8")
    code = (
        "import sys; from limen.study.check import check; r = check(sys.argv[1]); "
        "assert not r.errors, r.errors; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder / "study.toml")], check=False).returncode == 0
