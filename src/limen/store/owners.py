"""Which process made this, and is it still alive: a process is (pid, start time), because pids are used again.

The start time is in clock ticks since boot (field 22 of /proc/<pid>/stat, proc(5)), which no clock adjustment moves.
A temporary folder is called `.tmp-<pid>-<start>-<uuid>`; it may be removed once its owner is dead.
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

_TEMPORARY = re.compile(r"\.tmp-(\d+)-(\d+)-[0-9a-f]{32}")


def start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None when no such process runs (a zombie runs no more).

    >>> start_time(os.getpid()) == start_time(os.getpid())
    True
    >>> start_time(2**22 + 1) is None
    True
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the command's name may hold spaces and brackets
    return None if fields[0] in "ZX" else int(fields[19])


def temporary_name() -> str:
    """A fresh name that says which process owns it."""
    return f".tmp-{os.getpid()}-{start_time(os.getpid())}-{uuid.uuid4().hex}"


def abandoned(name: str) -> bool:
    """Whether `name` is a temporary name whose process is dead.

    >>> abandoned(temporary_name()), abandoned(f".tmp-{os.getpid()}-1-{'0' * 32}"), abandoned("record.json")
    (False, True, False)
    """
    match = _TEMPORARY.fullmatch(name)
    return match is not None and start_time(int(match[1])) != int(match[2])
