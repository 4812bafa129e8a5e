"""States of pretraining cells that were cut off: a killed study goes on inside a run, not at its beginning.

`STORE/training/KEY/` holds the state of the cell KEY (`limen.pretrain.state`) from its first minute until its record is
acknowledged. It is no part of any result: it may be deleted at any time, and costs the updates made so far.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from limen.pretrain.place import Place
from limen.records.cell import Cell
from limen.records.stage import StageRecord

SECONDS = 60.0
"""Between two states of a run; $LIMEN_STATE_SECONDS overrules it."""
_HERE: ContextVar[Place | None] = ContextVar("place of the cell that is computed", default=None)


def place() -> Place | None:
    """Where the cell that is computed now keeps its state; None outside a study.

    >>> place() is None
    True
    """
    return _HERE.get()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The states of one store; picklable, so that workers use it."""

    root: Path
    share: Callable[[Cell, Callable[[], StageRecord]], StageRecord]
    """What else is done around the computation of a cell."""

    def record(self, cell: Cell, compute: Callable[[], StageRecord]) -> StageRecord:
        """The record of a cell, computed where it can find and leave its state."""
        with self._at(cell):
            return self.share(cell, compute)

    def forget(self, cell: Cell) -> None:
        """Remove the state of a cell whose record is kept."""
        shutil.rmtree(self.root / cell.key, ignore_errors=True)

    @contextmanager
    def _at(self, cell: Cell) -> Iterator[None]:
        if cell.stage != "pretrain":
            yield
            return
        seconds = float(os.environ.get("LIMEN_STATE_SECONDS", SECONDS))
        token = _HERE.set(Place(self.root / cell.key, cell.key, seconds))
        try:
            yield
        finally:
            _HERE.reset(token)
