"""A file that is replaced while a study runs fails its cells and is never published under the hash of the old one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limen.data.fingerprint import content_hash, folder_hash
from limen.records.errors import BadInput
from limen.records.stage import StageRecord
from limen.study import stages
from limen.study.plan import plan
from limen.study.run import Opened, Options, open_study, report_of, run_study
from limen.study.stages import run_stage
from limen.study.unchanged import unchanged

STUDY = """
name = "swapped"
[encoder.words]
source = "bag-of-words"
dimension = 8
[task.notes]
train = "train.csv"
test = "test.csv"
input = "text"
[adapt]
methods = ["mean-classifier"]
labels = [32]
seeds = 1
"""


def rows(word: str) -> str:
    return "text,label\n" + "".join(f"{word}{i} {'a' if i % 2 else 'b'},{i % 2}\n" for i in range(100))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(STUDY)
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(rows(name))
    return tmp_path / "study.toml"


def records(opened: Opened) -> Iterator[tuple[str, Callable[[], StageRecord]]]:
    """Stage, and what computes it, of every cell of a plan, with the records of those before it."""
    done: dict[str, StageRecord] = {}
    for key, cell in opened.plan.cells.items():
        inputs = {name: done[need] for name, need in cell.needs.items()}

        def compute(cell=cell, inputs=inputs) -> StageRecord:  # type: ignore[no-untyped-def]
            return run_stage(cell.stage, cell.spec, inputs)

        yield cell.stage, compute
        done[key] = compute()


@pytest.mark.parametrize("stage", ["features", "fit"])
def test_a_file_that_was_replaced_before_a_stage_reads_it(study: Path, stage: str) -> None:
    opened = open_study(study)
    for name, compute in records(opened):
        if name != stage:
            continue
        whole = study.with_name("train.csv").read_text()
        study.with_name("train.csv").write_text(whole.replace("train7 ", "train8 "))
        with pytest.raises(BadInput, match=r"train\.csv: error: the file changed while the study ran") as caught:
            compute()
        assert "run again" in caught.value.problems[0].fix
        study.with_name("train.csv").write_text(whole)
        break


def test_a_file_that_is_replaced_while_a_stage_reads_it(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_study(study)
    cell = next(cell for cell in opened.plan.cells.values() if cell.spec["data"].endswith("train.csv"))
    real = stages.STAGES["features"]

    def swapped(spec, inputs):  # type: ignore[no-untyped-def]
        record = real(spec, inputs)
        study.with_name("train.csv").write_text(rows("other"))
        return record

    monkeypatch.setitem(stages.STAGES, "features", swapped)
    with pytest.raises(BadInput, match="the file changed while the study ran"):
        run_stage(cell.stage, cell.spec, {})


def test_a_run_publishes_nothing_for_the_replaced_file_and_heals_when_run_again(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_study(study)
    real = plan

    def swap_after_planning(*given):  # type: ignore[no-untyped-def]
        found = real(*given)
        study.with_name("train.csv").write_text(rows("other"))
        return found

    with monkeypatch.context() as patch:
        patch.setattr("limen.study.run.plan", swap_after_planning)
        result = run_study(study, Options(quiet=True))
    assert (result.exit_code, result.failed) == (1, 2)  # features of train, and the fit that needs them
    assert any("the file changed while the study ran" in cell.reason for cell in result.report.cells)
    train = next(cell for cell in before.plan.cells.values() if cell.spec.get("data", "").endswith("train.csv"))
    assert not before.store.has(train.key)
    again = run_study(study, Options(quiet=True))
    assert (again.exit_code, again.cached, again.run) == (0, 1, 2)
    assert report_of(open_study(study)).budgets == again.report.budgets


def test_hashes_are_expected_but_mean_nothing(study: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("moved")
    shutil.copytree(study.parent, other, dirs_exist_ok=True)
    here, there = open_study(study).plan.cells, open_study(other / "study.toml").plan.cells
    assert list(here) == list(there)
    for cell in here.values():
        assert set(cell.spec["files"].values()) == {content_hash(path) for path in cell.spec["files"]}
        assert cell.spec["files"]


def test_folders_of_weights_and_all_problems_at_once(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    weights, table = tmp_path / "model" / "model.safetensors", tmp_path / "t.csv"
    weights.write_bytes(b"a")
    table.write_text("x\n1\n")
    expected = {str(tmp_path / "model"): folder_hash(tmp_path / "model"), str(table): content_hash(table)}
    unchanged(expected)
    time.sleep(0.01)  # another time of change than before
    weights.write_bytes(b"b")
    table.unlink()
    with pytest.raises(BadInput) as caught:
        unchanged(expected)
    folder, gone = caught.value.problems
    assert folder.where == str(tmp_path / "model")
    assert "it is gone" in gone.what
