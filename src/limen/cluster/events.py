"""What happens to cells, as it happens: events, and the append-only file `events.jsonl` that keeps them.

The file is telemetry: the only source of progress and of the live page, and no part of any result. A crash can tear
its last line; the reader says so, the next writer cuts it off.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from limen.records.errors import Problem, StoreError

Kind = Literal["started", "finished", "failed", "lost", "retried", "skipped", "cancelled"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one cell."""

    kind: Kind
    key: str
    stage: str
    label: str
    attempt: int
    """1 for the first attempt."""
    seconds: float | None
    """Wall time of the attempt; None where it has not ended."""
    reason: str
    """Why it failed, was lost or skipped."""
    done: int
    """Cells settled so far: finished, failed or skipped."""
    total: int
    share: float
    """Settled part of the forecast seconds of all cells, between 0 and 1."""
    at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class EventFile:
    """The events of a study on disk."""

    events: tuple[Event, ...]
    torn: int
    """Bytes of a torn last line, 0 for a clean end."""


class EventLog:
    """Appends events to a file, each line in one write. Cuts off a torn last line when it opens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.cut = _cut_torn_tail(path)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(_refusal(path, error)) from error

    def __call__(self, event: Event) -> None:
        """Append one event. Raises StoreError when the disk refuses."""
        try:
            os.write(self._file, (json.dumps(asdict(event), allow_nan=False) + "\n").encode())
        except OSError as error:
            raise StoreError(_refusal(self.path, error)) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_events(path: Path) -> EventFile:
    """Every event in order; a torn last line is counted, not read.

    Raises StoreError for a line in the middle that is no event; a missing file holds no events.
    """
    content = path.read_bytes() if path.exists() else b""
    whole, _, tail = content.rpartition(b"\n")
    events = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            events.append(Event(**_plain(line)))
        except (ValueError, TypeError) as error:
            what = f"expected one event, got {line[:40]!r}"
            fix = "move the file away; results do not depend on it"
            raise StoreError(Problem(f"{path}:{number}", what, "the file was edited or damaged", fix)) from error
    return EventFile(tuple(events), len(tail))


def _plain(line: bytes) -> dict[str, Any]:
    plain = json.loads(line)
    if not isinstance(plain, dict):
        raise TypeError("an event is an object")
    return plain


def _cut_torn_tail(path: Path) -> int:
    if not path.exists():
        return 0
    torn = read_events(path).torn
    if torn:
        os.truncate(path, path.stat().st_size - torn)
    return torn


def _refusal(path: Path, error: OSError) -> Problem:
    return Problem(
        str(path),
        f"[Errno {error.errno}] {error.strerror}",
        cause="the disk refused the event log; every published result is kept",
        fix="free space or make the folder writable, then run the same command again",
    )
