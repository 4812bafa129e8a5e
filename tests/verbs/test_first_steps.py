"""What newcomers do: no arguments, misspelt words, folders for files, odd paths, bad values, verbs too soon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limen.cli import app
from limen.records.errors import BadInput, Problem
from limen.verbs.demo import STUDY, demo

VERBS = sorted(command.callback.__name__ for command in app.registered_commands if command.callback)


@pytest.fixture
def embeddings(rows: tuple[Any, Any], tmp_path: Path) -> Path:
    path = tmp_path / "rows.npz"
    np.savez(path, X=rows[0], y=rows[1])
    return path


def test_no_arguments_and_help(limen: Callable[..., Any]) -> None:
    bare = limen()
    assert bare.code == 2
    assert "limen demo" in bare.out + bare.err
    assert limen("--help").code == 0
    for verb in VERBS:
        ended = limen(verb, "--help")
        assert ended.code == 0
        assert "--json" in ended.out
        assert "--quiet" in ended.out


def test_misspelt_words_are_guessed(refused: Callable[..., Any], limen: Callable[..., Any], embeddings: Path) -> None:
    refused("budgt", embeddings, says=("budgt", "budget"))
    refused("budget", embeddings, "--lables", "10", says=("--lables", "--labels"))
    refused("budget", embeddings, "--method", "linear-prob", says=("did you mean linear-probe",))
    refused("budget", embeddings, "--loss", "logg", says=("did you mean log",))
    refused("budget", embeddings.with_name("rowz.npz"), says=("no such file", "rows.npz"))
    for verb in VERBS:
        if verb not in ("demo", "doctor", "init"):
            refused(verb, says=("Missing argument", "--help"))


def test_folders_are_no_files(refused: Callable[..., Any], tmp_path: Path) -> None:
    refused("budget", tmp_path, says=("directory", ".npz"))
    for verb in ("run", "report", "status"):
        refused(verb, tmp_path, says=("folder", ".toml"))
        refused(verb, tmp_path / "study.toml", says=("does not exist", "limen init"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--labels", "abc"), ("--labels", "abc", "100,1000,all")),
        (("--labels", "²"), ("--labels", "²")),
        (("--labels", "0"), ("labels", "0")),
        (("--radius", "-1"), ("--radius", "above 0")),
        (("--radius", "nan"), ("--radius", "above 0")),
        (("--confidence", "2"), ("confidence", "below 1", "2")),
        (("--target", "loss=abc"), ("target", "loss=0.3")),
        (("--target", "accuracy=0.9"), ("target", "accuracy", "error=0.05")),
        (("--target", "error=5"), ("target", "below 1")),
        (("--margin", "-1"), ("margin", "at least 0")),
        (("--seeds", "0"), ("seeds", "at least 1")),
        (("--seeds", "many"), ("--seeds", "integer")),
        (("--same-population",), ("same_population", "--test")),
        (("--label", "intent"), ("intent", "X, y")),
        (("--group", "speaker"), ("speaker", "X, y")),
        (("-o", "nowhere/report.html"), ("-o", "does not exist", "mkdir -p")),
        (("-o", "report.pdf"), ("-o", ".html", ".pdf")),
        (("-o", "report"), ("-o", ".html", "no suffix")),
    ],
)
def test_values_out_of_range(
    refused: Callable[..., Any], embeddings: Path, words: tuple[str, ...], says: tuple[str, ...]
) -> None:
    refused("budget", embeddings, *words, says=says, fix=False)


def test_the_input_is_not_replaced_by_the_report(
    refused: Callable[..., Any], rows: tuple[Any, Any], tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    lines = "".join(f"{a},{b},{c},{name}\n" for (a, b, c), name in zip(*rows, strict=True))
    path.write_text(f"x0,x1,x2,y\n{lines}")
    refused("budget", path, "-o", path, says=("would replace",))
    other = tmp_path / "other.csv"
    other.symlink_to(path)
    refused("budget", path, "-o", other, says=("would replace",))


def test_odd_paths(limen: Callable[..., Any], embeddings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = embeddings.with_name("größe 中文 [bold]x")
    (folder / "inside").mkdir(parents=True)
    odd = folder / "meine daten é.npz"
    shutil.copy(embeddings, odd)
    monkeypatch.chdir(folder / "inside")
    few = ("--labels", "64,128", "--seeds", 1)
    ended = limen("budget", "../meine daten é.npz", *few, "-o", "seite 1.html")
    assert ended.code == 0, ended.err
    assert "größe 中文 [bold]x · meine daten é" in ended.out
    assert "wrote seite 1.html" in ended.err
    assert "meine daten é" in (folder / "inside" / "seite 1.html").read_text()
    same = limen("budget", odd, *few, "--json").document
    assert same == limen("budget", "../meine daten é.npz", *few, "--json").document


def test_a_hostile_name_never_reaches_the_terminal_raw(limen: Callable[..., Any], embeddings: Path) -> None:
    hostile = embeddings.with_name("a\x1b]0;owned\x07\u202e\nb.npz")
    page = hostile.with_suffix(".html")
    missing = limen("budget", hostile)
    shutil.copy(embeddings, hostile)
    done = limen("budget", hostile, "--labels", "64,128", "--seeds", 1, "-o", page)
    assert (missing.code, done.code) == (2, 0)
    for ended in (missing, done):
        assert not set(ended.out) & set("\x1b\x07")
        assert not set(ended.err) & set("\x1b\x07\u202e")
        assert "a\\x1b]0;owned\\x07\\u202e" in ended.err


def test_a_report_of_every_format(limen: Callable[..., Any], embeddings: Path) -> None:
    for suffix in (".html", ".md", ".csv", ".json"):
        page = embeddings.with_suffix(suffix)
        ended = limen("budget", embeddings, "--labels", "64,128", "--seeds", 1, "-o", page, "--quiet")
        assert (ended.code, ended.err) == (0, "")
        assert "rows" in page.read_text()
    assert json.loads(embeddings.with_suffix(".json").read_text())["schema"] == "limen.report/1"


def test_looking_at_a_study_that_never_ran(
    refused: Callable[..., Any], limen: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "first"
    assert limen("init", folder).code == 0
    study = folder / "study.toml"
    refused("init", folder, says=("exists already", "nothing was written"))
    assert limen("check", study).code == 0
    assert "no errors" in limen("check", study).out
    refused("report", study, says=("no budget is published", f"limen run {study}"))
    refused("verify", study, says=("nothing", f"limen run {study}"))
    refused("gc", study, says=("no store",))
    refused("doctor", "--store", folder / "study.limen", says=("no store",))
    refused("explain", study, "nonsense", says=("nonsense", "pixels · digits · linear-probe"))
    refused("run", study, "--executor", "cluster", says=("cluster", "local"), fix=False)
    refused("run", study, "--workers", "0", says=("--workers",))
    ended = limen("status", study)
    assert ended.code == 0
    assert "waiting" in ended.out
    assert "not there yet" in ended.out
    assert limen("explain", study, "pixels · digits · linear-probe").out.endswith(": new\n")
    assert not (folder / "study.limen").exists()


def test_a_folder_with_other_things_is_no_place_for_the_demo(refused: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    refused("demo", tmp_path, says=("not empty", "nothing was written", "limen demo NEW-DIR"))
    refused("demo", tmp_path / "thesis.tex", says=("a file", "limen demo NEW-DIR"))


def test_the_demo_leaves_another_study_alone(refused: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('name = "thesis"\n')
    (tmp_path / "report.html").write_text("<h1>thesis</h1>")
    refused("demo", tmp_path, says=("another study", "nothing was written", "limen demo NEW-DIR"))
    (tmp_path / "study.toml").write_text(STUDY)
    refused("demo", tmp_path, says=("report.html", "would replace"))


def test_a_demo_that_cannot_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: Any, **options: Any) -> None:
        raise BadInput(Problem("torch", "not installed"))

    monkeypatch.setattr("limen.verbs.demo.run", refuse)
    with pytest.raises(BadInput):
        demo(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_disk_that_refuses_is_exit_3(limen: Callable[..., Any], embeddings: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    page = embeddings.with_name("report.html")
    assert limen("budget", embeddings, "--labels", "64,128", "--seeds", 1, "-o", page).code == 0
    before = page.read_text()
    page.with_name(".report.html.tmp").symlink_to("/dev/full")
    ended = limen("budget", embeddings, "--labels", "64,128", "--seeds", 1, "-o", page)
    assert ended.code == 3
    assert "report.html" in ended.err
    assert "free space" in ended.err
    assert page.read_text() == before


def _may_be_interrupted() -> None:
    """A shell that runs the tests in the background has them ignore SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_while_measuring(embeddings: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(embeddings, X=rng.normal(size=(20_000, 64)), y=rng.integers(0, 20, 20_000))
    page = embeddings.with_name("report.html")
    command = [sys.executable, "-m", "limen", "budget", str(embeddings), "-o", str(page), "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes, text=True, start_new_session=True, preexec_fn=_may_be_interrupted)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("measuring")
    time.sleep(1)  # into the fits: an interrupt during the look at thread pools (a C callback) would be lost
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["exit_code"] == 130
    said = [line for line in err.splitlines() if not line.startswith("warning: a product takes")]
    assert said[0].startswith("interrupted")
    assert "Traceback" not in err
    assert not page.exists()


def test_a_reader_that_goes_away(embeddings: Path) -> None:
    command = f"{sys.executable} -m limen budget {embeddings} --labels 64,128 --seeds 1 --json | head -c 1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert ended.stdout == "{"
    assert "Traceback" not in ended.stderr
