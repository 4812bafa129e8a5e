"""Kill anything at any moment and run the same command: the same bytes, nothing published is redone, no unlocking."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cells_for_tests import contents, grid

from limen.store import Store

HERE = Path(__file__).parent


def coordinator(root: Path, count: int, sleep: float = 0.0, fault: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, HERE / "coordinate_for_tests.py", root, str(count), str(sleep)]
    environment = {**os.environ, "LIMEN_FAULT": fault}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def acknowledged(output: str) -> set[str]:
    return {line.split()[1] for line in output.splitlines() if line.startswith("acknowledged ") and len(line) == 77}


def published(root: Path) -> set[str]:
    runs = root / "runs"
    return {path.name for path in runs.iterdir() if path.name[0] != "."} if runs.is_dir() else set()


def executed(root: Path) -> list[str]:
    journal = root.with_suffix(".journal")
    return journal.read_text().split() if journal.exists() else []


def gone(processes: list[psutil.Process], within: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    """The bytes of a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("reference") / "study.limen"
    assert finished(coordinator(root, 30))[0] == 0
    return contents(root)


def test_random_kills_of_the_coordinator(tmp_path: Path, reference) -> None:
    root, moments = tmp_path / "killed.limen", random.Random(20240607)
    seed = {each.key: str(each.spec["seed"]) for each in grid(30)}
    told, progress = set(), []
    for _ in range(3):
        before, already = len(executed(root)), published(root)
        process = coordinator(root, 30, sleep=0.05)
        assert process.stdout is not None
        output = process.stdout.readline() + process.stdout.readline()  # its first result: work is under way
        time.sleep(moments.uniform(0.0, 0.2))
        workers = psutil.Process(process.pid).children() if process.poll() is None else []
        process.send_signal(signal.SIGKILL)
        status, rest = finished(process)
        assert status == -signal.SIGKILL
        assert gone(workers, within=2)
        told |= acknowledged(output + rest)
        assert told <= published(root)
        assert all(Store(root).writer.problems(key, again=True) == () for key in published(root))
        assert not {seed[key] for key in already} & set(executed(root)[before:])
        progress.append(len(published(root)))
    assert progress == sorted(set(progress))
    assert 0 < len(told) < 30
    status, output = finished(coordinator(root, 30))
    assert status == 0
    assert contents(root) == reference
    assert {row.key for row in Store(root).rows()} == set(reference)
    assert not list((root / "runs").glob(".tmp-*"))


def test_random_kills_of_workers(tmp_path: Path, reference) -> None:
    root, moments = tmp_path / "killed.limen", random.Random(7)
    process = coordinator(root, 30, sleep=0.05)
    for _ in range(3):
        time.sleep(moments.uniform(0.3, 0.5))
        workers = psutil.Process(process.pid).children() if process.poll() is None else []
        if workers:
            os.kill(moments.choice(workers).pid, signal.SIGKILL)
    status, output = finished(process)
    assert status == 0
    assert acknowledged(output) == set(reference)
    assert contents(root) == reference


@pytest.mark.parametrize("point", ["publish.before_manifest", "publish.before_rename"])
def test_workers_killed_within_a_publish(tmp_path: Path, study, point: str) -> None:
    root = tmp_path / "killed.limen"
    status, output = finished(coordinator(root, 9, fault=f"{point}:kill:3"))
    assert status == 0
    assert len(acknowledged(output)) == 9
    assert list((root / "runs").glob(".tmp-*"))  # left by the dead
    study.run(grid(9))
    assert contents(root) == contents(study.root)
    with Store(root).coordinate() as recovery:
        assert recovery.swept > 0
    assert not list((root / "runs").glob(".tmp-*"))


def test_a_coordinator_killed_between_rename_and_ledger(tmp_path: Path, study) -> None:
    root = tmp_path / "killed.limen"
    status, output = finished(coordinator(root, 9, fault="ledger.before_commit:kill:4"))
    assert status == -signal.SIGKILL
    assert len(acknowledged(output)) == 3
    done = published(root)
    assert len(done) > 3
    before = len(executed(root))
    status, output = finished(coordinator(root, 9))
    recovered = len(done) - 3
    assert status == 0
    assert f"recovery {recovered} result{'s' * (recovered > 1)} recovered from disk" in output
    assert not {str(each.spec["seed"]) for each in grid(9) if each.key in done} & set(executed(root)[before:])
    study.run(grid(9))
    assert contents(root) == contents(study.root)


def test_two_coordinators(tmp_path: Path) -> None:
    root = tmp_path / "shared.limen"
    first = coordinator(root, 6, sleep=2.0)
    assert first.stdout is not None
    first.stdout.readline()
    assert finished(coordinator(root, 6))[0] == 3
    assert finished(first)[0] == 0


NEST = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:2]
from cells_for_tests import cell
from conftest import TWO, Study
Study(Path(sys.argv[2]) / "study.limen").run([cell("nest", journal=sys.argv[2] + "/pids")], TWO)
"""


def test_a_killed_coordinator_leaves_no_process_behind(tmp_path: Path) -> None:
    """Neither workers nor what their stages started."""
    process = subprocess.Popen([sys.executable, "-c", NEST, HERE, tmp_path])
    journal, deadline = tmp_path / "pids", time.monotonic() + 20
    while not (journal.exists() and len(journal.read_text().split()) == 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    orphans = [psutil.Process(int(pid)) for pid in journal.read_text().split()]
    process.kill()
    process.wait()
    assert len(orphans) == 2
    assert gone(orphans, within=2)


def test_an_interrupted_coordinator_exits_130_and_resumes(tmp_path: Path, study) -> None:
    root = tmp_path / "interrupted.limen"
    process = coordinator(root, 12, sleep=0.1)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    status, _ = finished(process)
    assert status == 130
    kept = published(root)
    assert 0 < len(kept) < 12
    assert {row.key for row in Store(root).rows()} == kept
    assert finished(coordinator(root, 12))[0] == 0
    study.run(grid(12))
    assert contents(root) == contents(study.root)
