"""What happens to cells, as it happens: events, and the append-only file `events.jsonl` that keeps them.

The file is telemetry: the only source of progress and of the live page, and no part of any result. A crash can tear
its last line; the reader says so, the next writer cuts it off. A writer looks at the end of the file only: a file
that does not end in an event is moved aside, and the run goes on with a new one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from limen.records.errors import Problem, StoreError

_TAIL_BYTES = 1 << 20
Kind = Literal["started", "finished", "failed", "lost", "retried", "skipped", "cancelled", "told"]


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
    """Why it failed, was lost or skipped; of one that is computing, how far it is."""
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
    """Appends events to a file, each line in one write. Cuts off a torn last line when it opens.

    `aside` is where a damaged file went, None for a sound one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            tail = _tail(path)
            self.aside = None if _ends_in_event(tail) else _moved_aside(path)
            self.cut = len(tail) - tail.rfind(b"\n") - 1 if self.aside is None else 0
            if self.cut:
                os.truncate(path, path.stat().st_size - self.cut)
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


def _tail(path: Path) -> bytes:
    """The last bytes of the file, enough for the longest event and a torn line after it."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read()


def _ends_in_event(tail: bytes) -> bool:
    """Whether the last whole line is an event; a file without a whole line may have been torn in its first."""
    whole = tail[: tail.rfind(b"\n") + 1].splitlines()
    if not whole:
        return len(tail) < _TAIL_BYTES
    try:
        Event(**_plain(whole[-1]))
    except (ValueError, TypeError):
        return False
    return True


def _moved_aside(path: Path) -> Path:
    number = 1 + sum(1 for _ in path.parent.glob(f"{path.name}.damaged-*"))
    return path.rename(path.with_name(f"{path.name}.damaged-{number}"))


def _refusal(path: Path, error: OSError) -> Problem:
    return Problem(
        str(path),
        f"[Errno {error.errno}] {error.strerror}",
        cause="the disk refused the event log; every published result is kept",
        fix="free space or make the folder writable, then run the same command again",
    )
