"""Killed at the command line: the same command continues, and nothing that was published is done again.

Published results are compared by key, inode and modification time before and after; numbers with an undisturbed run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from limen.store import Store

STUDY = """\
name = "small"

[encoder.pixels]
source = "pixels"

[encoder.random]
source = "random-features"
input = "image"
dimension = 24

[task.digits]
train = "digits:train"
input = "image"
label = "label"

[adapt]
methods = ["linear-probe", "mean-classifier", "knn"]
labels = [64, 128]
seeds = 1
"""
CELLS = 2 + 2 * 3


def study(folder: Path) -> Path:
    path = folder / "study.toml"
    path.write_text(STUDY)
    return path


def command(path: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "limen", "run", str(path), *words]


def started(path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(path, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finished(path: Path, *words: str) -> dict[str, Any]:
    ended = subprocess.run(command(path, "--json", *words), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def published(path: Path) -> dict[str, list[tuple[int, int, int]]]:
    """Key → inode, modification time and size of every file of every result."""
    folders = [p for p in (path.with_suffix(".limen") / "runs").glob("*") if len(p.name) == 64]
    return {
        folder.name: sorted((s.st_ino, s.st_mtime_ns, s.st_size) for p in folder.iterdir() for s in [p.stat()])
        for folder in folders
    }


def wait_for(path: Path, results: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and len(published(path)) < results:
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()


def numbers(document: dict[str, Any]) -> str:
    return json.dumps([document["budgets"], document["comparisons"]], sort_keys=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = study(tmp_path_factory.mktemp("undisturbed"))
    document = finished(path)
    assert (document["cached"], document["run"], document["failed"]) == (0, CELLS, 0)
    return path, numbers(document)


def test_a_second_run_runs_nothing_and_touches_nothing(
    limen: Callable[..., Any], undisturbed: tuple[Path, str]
) -> None:
    path, expected = undisturbed
    before = published(path)
    ended = limen("run", path)
    assert (ended.code, ended.out, ended.err) == (0, f"{CELLS} cached / 0 run\n", "")
    assert published(path) == before
    assert numbers(limen("run", path, "--json").document) == expected


def test_killed_interrupted_and_continued(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    path = study(tmp_path)
    first = started(path)
    wait_for(path, 1, first)
    first.kill()
    first.communicate()
    after_kill = published(path)
    assert 1 <= len(after_kill) < CELLS

    second = started(path, "--workers", "2")
    wait_for(path, len(after_kill) + 1, second)
    workers = psutil.Process(second.pid).children()
    workers[-1].kill()
    wait_for(path, len(after_kill) + 2, second)
    os.killpg(second.pid, signal.SIGINT)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 130, err
    assert "waiting" in out
    assert "the same command continues" in err
    assert "Traceback" not in err
    before = published(path)
    assert {key: before[key] for key in after_kill} == after_kill
    assert len(after_kill) < len(before) < CELLS

    document = finished(path)
    assert document["cached"] == len(before)
    assert document["run"] == CELLS - len(before)
    after = published(path)
    assert {key: after[key] for key in before} == before
    assert len(after) == CELLS
    assert numbers(document) == undisturbed[1]


def test_a_killed_worker_costs_one_retry(tmp_path: Path) -> None:
    path = study(tmp_path)
    process = started(path)
    workers: list[psutil.Process] = []
    while not workers and process.poll() is None:
        workers = psutil.Process(process.pid).children()
    workers[0].kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out == f"0 cached / {CELLS} run\n"
    assert "lost" in err
    assert "SIGKILL" in err


def test_a_store_that_is_held_is_exit_3_and_looking_is_free(
    limen: Callable[..., Any], refused: Callable[..., Any], tmp_path: Path
) -> None:
    path = study(tmp_path)
    with Store(path.with_suffix(".limen")).coordinate():
        refused("run", path, says=(str(os.getpid()), "study.limen"), code=3)
        looked = limen("status", path)
    assert looked.code == 0
    assert "6 waiting" in looked.out
    assert f"held by process {os.getpid()}" in looked.out


def test_failed_cells_are_exit_1_and_status_says_why(limen: Callable[..., Any], tmp_path: Path) -> None:
    for name, word in (("good", "word{}"), ("lonely", "word")):  # one text: constant features, which no check sees
        rows = "".join(f"{word.format(i)},{i % 2}\n" for i in range(200))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}")
    path = tmp_path / "study.toml"
    tasks = "".join(f'[task.{name}]\ntrain = "{name}.csv"\ninput = "text"\n' for name in ("good", "lonely"))
    words = '[encoder.words]\nsource = "bag-of-words"\ndimension = 8\n'
    path.write_text(f'name = "mixed"\n{words}{tasks}[adapt]\nmethods = ["mean-classifier"]\nlabels = [20]\n')
    ended = limen("run", path)
    assert ended.code == 1, ended.err
    assert ended.out == "0 cached / 3 run / 1 failed\n"
    assert "columns are constant" in ended.err
    assert "limen status" in ended.err
    looked = limen("status", path)
    assert "lonely" in looked.out
    assert "columns are constant" in looked.out
    assert "Traceback" not in ended.err + looked.out
