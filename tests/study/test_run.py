"""A study from file to report: cached cells stay, a kill loses nothing, another question runs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from limen.adapt import fit as fit_module
from limen.data.fingerprint import content_hash
from limen.records.errors import BadInput
from limen.study.run import Options, RunResult, open_study, report_of, run_study
from limen.study.stages import STAGES, VERSIONS, run_stage

PLAIN: dict[str, Any] = {
    "name": "small",
    "encoder": {
        "words": {"source": "bag-of-words", "dimension": 8},
        "random": {"source": "random-features", "input": "text", "dimension": 8},
    },
    "task": {"notes": {"train": "notes.csv", "input": "text", "encoders": ["words", "random"]}},
    "adapt": {"methods": ["linear-probe", "mean-classifier"], "labels": [32, 64], "seeds": 2,
              "linear-probe": {"radius": [2.0, 4.0]}},
}  # fmt: skip
CELLS = 2 + 2 * 3
QUIET = Options(quiet=True)


def write(folder: Path, plain: dict[str, Any]) -> Path:
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps(plain), encoding="utf-8")
    rows = "".join(f"{'yes' if i % 3 else 'no'} word{i} other{i * 7 % 31},{i % 3 == 0}\n" for i in range(240))
    (folder / "notes.csv").write_text(f"text,label\n{rows}")
    return path


def numbers(result: RunResult) -> str:
    return json.dumps([result.to_json()[key] for key in ("budgets", "comparisons")], sort_keys=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    path = write(tmp_path_factory.mktemp("study"), PLAIN)
    return path, run_study(path, QUIET)


def test_everything_runs_once(finished: tuple[Path, RunResult], capsys: pytest.CaptureFixture[str]) -> None:
    path, first = finished
    assert (first.cached, first.run, first.failed, first.exit_code) == (0, CELLS, 0, 0)
    assert first.line() == f"0 cached / {CELLS} run"
    start = time.perf_counter()
    second = run_study(path, Options(stream=sys.stdout))
    assert time.perf_counter() - start < 5
    assert capsys.readouterr().out == ""
    assert second.line() == f"{CELLS} cached / 0 run"
    assert numbers(second) == numbers(first)
    assert {cell.outcome for cell in second.report.cells} == {"cached"}


def test_the_document(finished: tuple[Path, RunResult]) -> None:
    plain = finished[1].to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) >= {"schema", "cached", "run", "failed", "cells", "budgets", "comparisons"}
    assert len(plain["cells"]) == CELLS
    assert plain["recipe"]["study"] == finished[0].read_text()
    assert plain["recipe"]["seconds_to_reproduce"] > 0
    assert plain["recipe"]["environment"]["threads"] == 1, "of the workers, whatever this process has"


def test_several_radii_share_the_confidence(finished: tuple[Path, RunResult]) -> None:
    budgets = finished[1].report.budgets
    probes = [b for b in budgets if b.method == "linear-probe"]
    assert [(b.encoder, b.radius) for b in probes] == [
        ("words", 2.0), ("words", 4.0), ("random", 2.0), ("random", 4.0),
    ]  # fmt: skip
    assert {round(b.confidence, 9) for b in probes} == {0.975}
    assert {b.confidence for b in budgets if b.method != "linear-probe"} == {0.95}


def test_encoders_are_compared_pair_by_pair(finished: tuple[Path, RunResult]) -> None:
    found = finished[1].report.comparisons
    assert len(found) == 3  # one pair, two radii and one more method
    assert all("words" in c.a and "random" in c.b and c.task == "notes" for c in found)


def test_scores_are_ranked_beside_the_measured_loss(finished: tuple[Path, RunResult]) -> None:
    report = finished[1].report
    assert [ranking.score for ranking in report.rankings] == ["logme", "h_score", "h_score_shrunk"]
    losses = {b.encoder: b.terms["adaptation_loss"].value for b in report.budgets if b.radius == 4.0}
    for ranking in report.rankings:
        assert ranking.task == "notes"
        assert list(ranking.by_loss) == sorted(losses, key=lambda name: losses[name])
        assert set(ranking.by_score) == set(losses)
        assert ranking.tau.value in (1.0, -1.0)
    assert finished[1].to_json()["rankings"] == [ranking.to_json() for ranking in report.rankings]


def test_another_question_or_name_runs_nothing(finished: tuple[Path, RunResult]) -> None:
    path, first = finished
    other = json.loads(json.dumps(PLAIN)) | {"name": "other", "confidence": 0.8, "advice": {"target": {"loss": 0.1}}}
    other["encoder"]["plain"] = other["encoder"].pop("words")
    other["task"]["numbers"] = other["task"].pop("notes") | {"encoders": ["random", "plain"]}
    changed = path.with_name("other.toml")
    changed.write_text(tomli_w.dumps(other))
    result = run_study(changed, Options(quiet=True, store=path.with_suffix(".limen")))
    assert (result.cached, result.run) == (CELLS, 0)
    assert {(b.encoder, b.task) for b in result.report.budgets} == {("plain", "numbers"), ("random", "numbers")}
    by_name = {(b.encoder, b.method, b.radius): b for b in result.report.budgets}
    for budget in first.report.budgets:
        name = budget.encoder.replace("words", "plain")
        again = by_name[name, budget.method, budget.radius]
        before, after = budget.terms["error"], again.terms["error"]
        assert after.value == before.value
        assert after.confidence is not None
        assert before.confidence is not None
        assert after.confidence < before.confidence
    assert {("plain" in c.a) != ("plain" in c.b) for c in result.report.comparisons} == {True}


def test_a_killed_run_continues_and_gives_the_same_numbers(finished: tuple[Path, RunResult], tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN)
    code = "import sys; from limen.study.run import *; run_study(sys.argv[1], Options(quiet=True))"
    runs = tmp_path / "study.limen" / "runs"
    for wanted in (1, 4):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], start_new_session=True)
        while process.poll() is None and len([p for p in runs.glob("*") if len(p.name) == 64]) < wanted:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    result = run_study(path, QUIET)
    assert result.cached >= 4
    assert result.cached + result.run == CELLS
    assert result.exit_code == 0
    assert numbers(result) == numbers(finished[1])


def test_a_cell_that_fails_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    for name, word in (("good", "word{}"), ("collapsed", "word")):  # one text: constant features, which no check sees
        rows = "".join(f"{word.format(i)},{i % 2}\n" for i in range(200))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}")
    plain = {
        "name": "mixed",
        "encoder": {"bow": {"source": "bag-of-words", "dimension": 16}},
        "task": {name: {"train": f"{name}.csv", "input": "text"} for name in ("good", "collapsed")},
        "adapt": {"methods": ["mean-classifier"], "labels": [20], "seeds": 1},
    }
    result = run_study(write(tmp_path, plain), QUIET)
    assert (result.run, result.failed, result.exit_code) == (3, 1, 1)
    assert [budget.task for budget in result.report.budgets] == ["good"]
    (failed,) = [cell for cell in result.report.cells if cell.outcome == "failed"]
    assert failed.label == "bow · collapsed · mean-classifier"
    assert "collapsed.csv" in failed.reason
    assert "Traceback" not in failed.reason
    assert result.line() == "0 cached / 3 run / 1 failed"


def test_nothing_runs_to_look_at_a_study(finished: tuple[Path, RunResult], tmp_path: Path) -> None:
    opened = open_study(write(tmp_path, PLAIN))
    report = report_of(opened)
    assert report.budgets == ()
    assert {cell.outcome for cell in report.cells} == {"waiting"}
    assert not opened.store.root.exists()
    there = report_of(open_study(finished[0]))
    assert there.budgets == finished[1].report.budgets


def test_looking_needs_no_library_and_reads_no_row(
    finished: tuple[Path, RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, PLAIN)
    (tmp_path / "notes.csv").write_text("text,label\n" + "word,1\n" * 240)  # one class
    assert report_of(open_study(path)).budgets == ()
    with pytest.raises(BadInput, match="at least two classes"):
        open_study(path, running=True)
    own = json.loads(json.dumps(PLAIN))
    own["encoder"]["own"] = {"source": "pretrain", "data": "digits:train", "steps": 20, "batch_size": 32}
    own["task"]["digits"] = {"train": "digits:test", "input": "image"}
    path = write(tmp_path, own)
    monkeypatch.setattr("limen.study.check.find_spec", lambda name: None)
    open_study(path)
    with pytest.raises(BadInput, match="needs the library torch"):
        open_study(path, running=True)


def test_the_recipe_names_data_as_the_study_does(finished: tuple[Path, RunResult]) -> None:
    path, result = finished
    recipe = result.report.recipe
    assert recipe["data"] == {"notes.csv": content_hash(path.with_name("notes.csv"))}
    assert str(path.parent) not in json.dumps(recipe["data"])


def test_bad_studies_stop_before_the_store_is_made(tmp_path: Path) -> None:
    plain = json.loads(json.dumps(PLAIN))
    plain["adapt"]["labels"] = [10_000]
    with pytest.raises(BadInput, match="10,000 labels are asked for"):
        run_study(write(tmp_path, plain), QUIET)
    plain["adapt"] |= {"labels": [32], "seeds": 10**9}
    with pytest.raises(BadInput, match="--yes"):
        run_study(write(tmp_path, plain), QUIET)
    with pytest.raises(BadInput, match="expected local, got 'moon'"):
        run_study(write(tmp_path, PLAIN), Options(executor="moon"))
    assert not (tmp_path / "study.limen").exists()


def test_stages_are_known_by_name_and_version() -> None:
    assert set(STAGES) == set(VERSIONS)
    assert VERSIONS["fit"] == fit_module.VERSION
    with pytest.raises(KeyError):
        run_stage("predict", {}, {})
    record = run_stage("features", {"encoder": {"source": "pixels"}, "data": "digits:test", "column": "image",
                                    "input": "image"}, {})  # fmt: skip
    assert (record.kind, record.version, record.arrays["features"].shape) == ("features", 1, (450, 64))


@pytest.mark.torch
def test_a_pretrained_encoder_along_its_checkpoints(tmp_path: Path) -> None:
    pretrain = pytest.importorskip("limen.pretrain.run", reason="needs the torch extra", exc_type=ImportError)
    assert VERSIONS["pretrain"] == pretrain.VERSION
    plain = {
        "name": "own",
        "encoder": {"scratch": {"source": "pretrain", "data": "digits:train", "heldout": 0.1, "steps": 6,
                                "batch_size": 32, "checkpoints": [0, 3, 6],
                                "architecture": {"name": "conv", "width": 4}}},
        "task": {"digits": {"train": "digits:test", "input": "image"}},
        "adapt": {"labels": [64], "seeds": 1, "linear-probe": {"radius": 2.0}},
    }  # fmt: skip
    result = run_study(write(tmp_path, plain), QUIET)
    assert result.exit_code == 0
    assert [budget.encoder for budget in result.report.budgets] == ["scratch@0", "scratch@3", "scratch"]
    (found,) = result.report.interfaces
    assert [checkpoint.step for checkpoint in found.checkpoints] == [0, 3, 6]
    for checkpoint, budget in zip(found.checkpoints, result.report.budgets, strict=True):
        assert checkpoint.floors["digits"] == budget.terms["minimal_adaptation_loss"]
        assert checkpoint.errors["digits"] == budget.terms["error"]
        assert "pretraining-overlap" not in {check.name for check in budget.population_checks}


@pytest.mark.torch
def test_an_encoder_pretrained_on_the_rows_of_its_task_says_so(tmp_path: Path) -> None:
    pytest.importorskip("limen.pretrain.run", reason="needs the torch extra", exc_type=ImportError)
    plain = {
        "name": "seen",
        "encoder": {"pixels": {"source": "pixels"},
                    "scratch": {"source": "pretrain", "data": "digits:test", "heldout": 0.2, "steps": 6,
                                "batch_size": 32, "checkpoints": [0, 3, 6],
                                "architecture": {"name": "conv", "width": 4}}},
        "task": {"digits": {"train": "digits:test", "input": "image"}},
        "adapt": {"labels": [64], "seeds": 1, "linear-probe": {"radius": 2.0}},
    }  # fmt: skip
    report = run_study(write(tmp_path, plain), QUIET).report
    for budget in report.budgets:
        outcomes = [check.outcome for check in budget.population_checks if check.name == "pretraining-overlap"]
        assert outcomes == ([] if budget.encoder == "pixels" else ["rejected"])
        assert budget.terms["error"].grade == ("certified" if budget.encoder == "pixels" else "statistical")
    (duel,) = report.comparisons
    assert "an encoder was pretrained on these rows, without their labels" in duel.error_difference.assumptions


@pytest.mark.torch
def test_a_supervised_run_continued_from_its_checkpoint_under_three_orders(tmp_path: Path) -> None:
    pytest.importorskip("limen.pretrain.run", reason="needs the torch extra", exc_type=ImportError)
    own: dict[str, Any] = {
        "source": "pretrain", "data": "digits:train", "heldout": 0.2, "steps": 20, "batch_size": 100,
        "objective": "supervised", "architecture": {"name": "resnet18", "width": 2}, "checkpoints": [0, 20],
        "evaluation": {"draws": 1, "training_batches": 2},
    }  # fmt: skip
    orders = ("iid", "reshuffle", "same-order")
    more = {f"from-{order}": own | {"start": "own@20", "sampling": order, "steps": 14, "checkpoints": [0, 14]}
            for order in orders}  # fmt: skip
    plain = {
        "name": "continued",
        "encoder": {"own": own, **more},
        "task": {"digits": {"train": "digits:test", "input": "image", "encoders": [*more, "own"]}},
        "adapt": {"methods": ["mean-classifier"], "labels": [64], "seeds": 1},
    }  # fmt: skip
    path = write(tmp_path, plain)
    result = run_study(path, QUIET)
    assert (result.exit_code, result.failed) == (0, 0)
    opened = open_study(path)
    runs = {str(reference): opened.store.load(key) for reference, key in opened.plan.pretrained.items()}
    last = {name: array for name, array in runs["own"].arrays.items() if name.startswith("step-000020/")}
    for order in orders:
        begun = runs[f"from-{order}"].arrays
        assert all(np.array_equal(array, begun[name.replace("000020", "000000")]) for name, array in last.items())
        assert begun["step-000000/encoder.stem.1.num_batches_tracked"].shape == ()
    ends = [runs[f"from-{order}"].arrays["step-000014/head.weight"] for order in orders]
    assert not any(np.array_equal(a, b) for a, b in combinations(ends, 2))
    assert {f.loss_name for f in result.report.interfaces} == {"cross-entropy, 10 classes, no augmentation"}
    assert run_study(path, QUIET).line() == f"{result.run} cached / 0 run"
