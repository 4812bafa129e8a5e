"""One coordinator at a time; a dead one never has to be unlocked by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from limen.records.errors import StoreError
from limen.store import Store
from limen.store.owners import abandoned, start_time, temporary_name

HOLD = """
import sys, time
from pathlib import Path
from limen.store import Store
with Store(Path(sys.argv[1])).coordinate():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def rival(store: Store) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, store.root], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_coordinator_is_told_who_and_since_when(store: Store, rival: subprocess.Popen[str]) -> None:
    try:
        with pytest.raises(StoreError, match=rf"process {rival.pid} on .* since 20\d\d-") as caught, store.coordinate():
            pass
        assert caught.value.exit_code == 3
        assert f"kill {rival.pid}" in str(caught.value)
        holder = store.holder()
        assert holder is not None
        assert (holder.pid, holder.start) == (rival.pid, start_time(rival.pid))
    finally:
        rival.communicate(rival.kill())


def test_a_killed_coordinator_holds_nothing(store: Store, rival: subprocess.Popen[str]) -> None:
    rival.send_signal(signal.SIGKILL)
    rival.communicate()
    assert json.loads((store.root / "lock").read_text())["pid"] == rival.pid  # its note is still there
    assert store.holder() is None
    with store.coordinate():
        assert store.holder() is not None


def test_a_note_with_a_pid_that_was_used_again_holds_nothing(store: Store) -> None:
    store.root.mkdir()
    note = {"pid": os.getpid(), "start": 1, "host": "elsewhere", "since": "2020-01-01T00:00:00+00:00"}
    (store.root / "lock").write_text(json.dumps(note))
    assert store.holder() is None
    with store.coordinate():
        pass


def test_the_same_process_cannot_hold_twice(store: Store) -> None:
    with store.coordinate():
        with pytest.raises(StoreError, match=f"process {os.getpid()}"), Store(store.root).coordinate():
            pass
        assert store.holder() is not None
    assert store.holder() is None


def test_temporary_folders_of_the_dead_are_swept_and_of_the_living_kept(store: Store, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "from limen.store.owners import temporary_name; print(temporary_name())"],
        capture_output=True,
        text=True,
        check=True,
    )
    dead, reused, living = child.stdout.strip(), f".tmp-{os.getpid()}-1-{'a' * 32}", temporary_name()
    for name in (dead, reused, living):
        (store.root / "runs" / name).mkdir(parents=True)
    assert (abandoned(dead), abandoned(reused), abandoned(living)) == (True, True, False)
    with store.coordinate() as recovery:
        assert recovery.swept == 2
    assert [path.name for path in (store.root / "runs").iterdir()] == [living]
