"""One flipped bit costs one cell: a run does it again and says so, a report leaves it out and says so."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from limen.study.run import Options, RunResult, open_study, report_of, run_study

STUDY = """
name = "bits"
[encoder.words]
source = "bag-of-words"
dimension = 8
[encoder.random]
source = "random-features"
input = "text"
dimension = 8
[task.notes]
train = "notes.csv"
input = "text"
[adapt]
methods = ["mean-classifier"]
labels = [32]
seeds = 1
"""
CELLS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "study.toml").write_text(STUDY)
    rows = "".join(f"{'yes' if i % 3 else 'no'} word{i},{i % 3 == 0}\n" for i in range(200))
    (folder / "notes.csv").write_text(f"text,label\n{rows}")
    return folder, run_study(folder / "study.toml", Options(quiet=True))


@pytest.fixture
def study(whole: tuple[Path, RunResult], tmp_path: Path) -> Path:
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "study.toml"


def flipped(study: Path, stage: str, file: str) -> str:
    """Flip one bit in the middle of a file of the first cell of a stage; its key."""
    cell = next(cell for cell in open_study(study).plan.cells.values() if cell.stage == stage)
    path = next(iter((study.with_suffix(".limen") / "runs" / cell.key).glob(file)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return cell.key


def budgets(result: RunResult) -> str:
    return json.dumps(result.to_json()["budgets"], sort_keys=True)


@pytest.mark.parametrize("file", ["*.npy", "record.json", "MANIFEST.json"])
def test_a_run_heals_a_damaged_fit(whole: tuple[Path, RunResult], study: Path, file: str) -> None:
    key = flipped(study, "fit", file)
    said = io.StringIO()
    result = run_study(study, Options(stream=said))
    assert "1 damaged result set aside and redone" in said.getvalue()
    assert (result.exit_code, result.cached, result.run) == (0, CELLS - 1, 1)
    assert next(cell.outcome for cell in result.report.cells if cell.key == key) == "run"
    assert budgets(result) == budgets(whole[1])
    assert [path.name for path in (study.with_suffix(".limen") / "quarantine").iterdir()] == [f"{key}-1"]
    again = io.StringIO()
    assert run_study(study, Options(stream=again)).cached == CELLS
    assert again.getvalue() == ""


@pytest.mark.parametrize("file", ["*.npy", "record.json", "MANIFEST.json"])
def test_a_report_leaves_a_damaged_fit_out_and_says_so(whole: tuple[Path, RunResult], study: Path, file: str) -> None:
    key = flipped(study, "fit", file)
    report = report_of(open_study(study))
    assert [budget.encoder for budget in report.budgets] == [whole[1].report.budgets[1].encoder]
    (failed,) = [cell for cell in report.cells if cell.outcome != "cached"]
    assert (failed.key, failed.outcome) == (key, "failed")
    assert "its stored result is damaged" in failed.reason
    assert "limen run study.toml" in failed.reason
    assert str(study.parent) not in failed.reason  # it is on the page
    assert (study.with_suffix(".limen") / "runs" / key).is_dir()  # reading changes nothing
    assert run_study(study, Options(quiet=True)).exit_code == 0
    assert len(report_of(open_study(study)).budgets) == 2


def test_damaged_features_are_redone_where_a_fit_needs_them_and_cost_nothing_elsewhere(study: Path) -> None:
    key = flipped(study, "features", "*.npy")
    assert run_study(study, Options(quiet=True)).cached == CELLS  # no cell needs them now
    opened = open_study(study)
    needing = next(cell.key for cell in opened.plan.cells.values() if key in cell.needs.values())
    shutil.rmtree(study.with_suffix(".limen") / "runs" / needing)
    result = run_study(study, Options(quiet=True))
    assert (result.exit_code, result.run) == (0, 2)
    assert {cell.key for cell in result.report.cells if cell.outcome == "run"} == {key, needing}
