"""One coordinator per store: a lock the kernel releases when its holder dies, and a note saying who holds it.

The lock is flock(2) on the file `lock`; killing the holder releases it, so a dead coordinator never has to be unlocked
by hand and a pid that was used again holds nothing. The file's content (pid, start time, host, since) is for people.
The file stays when the lock is released: removing it would let two processes lock two different files.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from limen.records.errors import Problem, StoreError
from limen.store.disk import guarded
from limen.store.owners import start_time


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a store."""

    pid: int
    start: int
    """Clock ticks after the boot of its machine."""
    host: str
    since: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class Lock:
    """The lock of one store, held from construction to `release`.

    Raises StoreError naming the holder when another process, or this one, holds it.
    """

    def __init__(self, path: Path) -> None:
        with guarded(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._file)
                raise StoreError(_held(path, _read(path))) from None
            except OSError:
                os.close(self._file)
                raise
            note = Holder(os.getpid(), start_time(os.getpid()) or 0, platform.node(), _now())
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(asdict(note)).encode(), 0)

    def release(self) -> None:
        """Let the next coordinator in."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now; None when it is free, whatever its note says."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(file)
    return None


def _read(path: Path) -> Holder:
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (ValueError, TypeError):  # the holder has the lock and has not written its note yet
        return Holder(0, 0, "this machine or one that shares the disk", "just now")


def _held(path: Path, holder: Holder) -> Problem:
    return Problem(
        str(path.parent),
        f"expected a free store, but {holder} is running a study on it",
        cause="one run at a time may write to a store; nothing was changed",
        fix=f"wait for it, or stop it (kill {holder.pid}) and run the same command: it resumes",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
