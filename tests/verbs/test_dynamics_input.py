"""What a newcomer may type after `limen dynamics`: every wrong word is answered by the right one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limen.records.dynamics import Compared, Dynamics
from limen.records.errors import BadInput, StoreError
from limen.records.estimate import Estimate
from limen.verbs.dynamics import check_page, dynamics, write_page

EMPTY = Dynamics("run", 1, (), (1, 1), "iid", "discrete", "not_identified", "short", None, 0, (), (), {}, (), (), (), 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recording's run.json in `run`, two more below `runs`, a study file and a page of data."""
    for name in ("run", "runs/a", "runs/b", "none"):
        (tmp_path / name).mkdir(parents=True)
        if name != "none":
            (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "study.toml").write_text("")
    (tmp_path / "train.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("run", "what", "fix"),
    [
        ("", "got an empty name", "limen dynamics FOLDER"),
        ("  ", "got an empty name", "limen dynamics FOLDER"),
        ("nowhere", "got no folder", "limen.record(model, optimizer, FOLDER) makes one"),
        ("train.py", "got a file", "limen.record(model, optimizer, FOLDER) makes one"),
        ("run/run.json", "got a file", "limen dynamics run"),
        ("study.toml", "got a study file without an encoder", "limen dynamics study.toml::ENCODER"),
        ("none", "found no run.json in it", "limen.record(model, optimizer, FOLDER) makes one"),
        ("runs", "found no run.json in it", "one of the recordings in it: runs/a, runs/b"),
        ("run::net", "expected a study file before ::, got the folder of a recording", "limen dynamics run"),
    ],
)
def test_what_is_no_recording_is_answered_by_what_is(folder: Path, run: str, what: str, fix: str) -> None:
    with pytest.raises(BadInput) as refused:
        dynamics(run)
    (problem,) = refused.value.problems
    assert problem.where == (run if run.strip() else "RUN")
    assert what in problem.what
    assert fix in problem.fix


def test_many_recordings_are_counted(folder: Path) -> None:
    for i in range(9):
        (folder / f"none/{i}").mkdir()
        (folder / f"none/{i}/run.json").write_text("{}")
    with pytest.raises(BadInput, match=r"none/0, none/1, none/2, none/3, none/4 and 4 more"):
        dynamics("none")


def test_options_of_a_study_are_refused_for_a_folder_all_at_once(folder: Path) -> None:
    with pytest.raises(BadInput) as refused:
        dynamics("nowhere", store="s", data="d")
    assert [problem.where for problem in refused.value.problems] == ["store", "data", "nowhere"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("x.pdf", r"expected a file ending in .html or .json, got .pdf\n.*-o x.html"),
        ("x.md", r"expected a file ending in .html or .json, got .md\n.*-o x.html"),
        ("x", r"expected a file ending in .html or .json, got no suffix\n.*-o x.html"),
        ("nowhere/x.html", "its folder does not exist"),
        ("data.json", "would replace this file, which no limen command wrote"),
        ("data.html", "would replace this file, which no limen command wrote"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_any_work(folder: Path, output: str, said: str) -> None:
    (folder / "data.json").write_text('{"rows": 3}')
    (folder / "data.html").write_text("<p>mine</p>")
    with pytest.raises(BadInput, match=said):
        check_page(Path(output))
    with pytest.raises(BadInput, match=said):
        write_page(EMPTY, Path(output))
    assert (folder / "data.json").read_text() == '{"rows": 3}'


@pytest.mark.parametrize("name", ["verdict.json", "verdict.html"])
def test_a_verdict_replaces_an_earlier_one(folder: Path, name: str) -> None:
    write_page(EMPTY, Path(name))
    write_page(replace(EMPTY, run="second"), Path(name))
    assert "second" in Path(name).read_text()
    assert sorted(path.name for path in folder.glob("*verdict*")) == [name]


def test_a_disk_that_refuses_leaves_the_earlier_verdict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page(EMPTY, Path("verdict.json"))
    before = Path("verdict.json").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        write_page(replace(EMPTY, run="second"), Path("verdict.json"))
    assert Path("verdict.json").read_bytes() == before
    assert not list(folder.glob(".verdict*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'RUN'"),
        (["run", "runs"], "unexpected extra argument(s) (runs)"),
        (["run", "--lag", "3"], "No such option: --lag"),
        (["run", "-o"], "requires an argument"),
        (["run", "-o", "x.md"], "expected a file ending in .html or .json, got .md"),
        (["run", "--store", "s"], "--store: error: is for STUDY::ENCODER"),
    ],
)
def test_the_command_line_ends_with_two_and_says_what_was_wrong(folder: Path, words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "limen", "dynamics", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_no_number_of_the_terminal_reads_as_minus_zero_and_one_thing_is_one() -> None:
    import io

    from rich.console import Console

    from limen.pages.dynamics_terminal import render_dynamics
    from limen.records.dynamics import Lag

    near = Estimate(-1e-9, -0.4, 0.4, 0.95, "statistical", 20)
    lag = Lag(1, Estimate(1.0), {"discrete": 1.0}, near, {"discrete": -1e-9})
    null = Compared(Estimate(-0.0, -0.0, 0.4, 0.95, "statistical", 20), -0.0, -0.01)
    out = io.StringIO()
    found = replace(EMPTY, lags=(lag,), identities={"L": null})
    render_dynamics(found, Console(file=out, width=120))
    text = out.getvalue()
    assert "-0" not in text
    assert "0.00 (discrete 0.00)" in text
    assert text.startswith("1 update, 1 to 1 analysed")
