"""What became of a run: whether it diverged, stopped being finite, or had its weights changed between updates.

Diverged: no row after the analysed stretch is finite and the last steps before had grown (‖v‖² of one of the last ten
over BURST times its median), or ‖v‖² grew by GROWTH from the first half of the stretch to its last tenth, finite as it
is. From the minimum, ‖v‖² of a stable run grows by 1/(1 − β²) only.

Changed: the recorder takes its scalars and positions anew now and then; a test of them that fails at update s says that
weights were moved by something else than the optimizer after the last test of that name. Rows between do not hold then.
"""

from __future__ import annotations

import numpy as np

from limen.records.trajectory import NOT_FINITE, RECORDED, Trajectory
from limen.records.units import counted

BURST = 1e3
GROWTH = 1e6
LAST = 10
HELD_TWICE = ("recursion", "drift")


def excluded(trajectory: Trajectory) -> int:
    """Updates left out: not finite, or skipped by a scaler."""
    return max(trajectory.info.excluded, int((trajectory.excluded != RECORDED).sum()))


def cut_short(trajectory: Trajectory, rows: slice) -> str:
    """That nothing after the stretch is finite, with the count; empty where it is."""
    after = trajectory.excluded[rows.stop :]
    if not len(after) or not (after == NOT_FINITE).all():
        return ""
    return f"after update {int(trajectory.step[rows.stop - 1]):,}; {_left_out(trajectory)}"


def diverged(trajectory: Trajectory, rows: slice) -> str:
    """Where the run diverged, empty where it did not.

    The whole sentence: "diverged after update 156; 1,344 updates excluded".
    """
    speed = np.asarray(trajectory.velocity_norm2[rows], dtype=np.float64)
    cut = cut_short(trajectory, rows)
    if cut and speed[-LAST:].max() > BURST * np.median(speed):
        return f"diverged {cut}"
    tenth = max(len(speed) // 10, 1)
    begun, ended = float(np.median(speed[: max(len(speed) // 2, 1)])), float(np.median(speed[-tenth:]))
    if len(speed) > 2 * LAST and ended > GROWTH * begun > 0:
        times = f"diverges: squared steps grew {ended / begun:.1g} times"
        return f"{times}; {_left_out(trajectory)}" if excluded(trajectory) else times
    return ""


def changed(trajectory: Trajectory, rows: slice) -> str:
    """That weights were moved by something else than the optimizer in this stretch, with the tests that say so."""
    first, last = int(trajectory.step[rows.start]), int(trajectory.step[rows.stop - 1])
    failed = []
    for name in HELD_TWICE:
        before = 0
        for test in sorted((t for t in trajectory.info.self_tests if t.name == name), key=lambda t: t.step):
            if not test.passed and before < last and test.step >= first:
                failed.append(f"{name} at update {test.step:,}")
            before = test.step
    if not failed:
        return ""
    more = f" and {len(failed) - 2} more" if len(failed) > 2 else ""
    return f"weights were changed between updates: the recorder's own tests failed ({', '.join(failed[:2])}{more})"


def _left_out(trajectory: Trajectory) -> str:
    return f"{counted(excluded(trajectory), 'update')} excluded"
