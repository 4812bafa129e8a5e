"""Named points where a test may kill the process or fail the disk. Without LIMEN_FAULT they do nothing.

LIMEN_FAULT="<point>:<action>[:<k>]": at the k-th passing (default 1) of the point in this process, `kill` sends
SIGKILL to the process, and the name of an errno (`ENOSPC`, `EIO`) raises that OSError. Points, in order of a publish:

publish.before_manifest   data files are on disk, the manifest is not
publish.before_rename     the folder is complete under its temporary name
ledger.before_commit      the folder has its final name, the ledger does not list it
"""

from __future__ import annotations

import errno
import os
import signal

VARIABLE = "LIMEN_FAULT"
_passed: dict[str, int] = {}


def fault(point: str) -> None:
    """Fail here if the environment asks for it."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    name, action, *count = wanted.split(":")
    if name != point:
        return
    _passed[point] = _passed.get(point, 0) + 1
    if _passed[point] != int(count[0] if count else 1):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(getattr(errno, action), f"{os.strerror(getattr(errno, action))} (asked for by {VARIABLE})")
