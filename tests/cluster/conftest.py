"""Makes the small stages importable here and in workers, and gives each test a study on a fresh folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from limen.cluster import Event, Executor, LocalProcesses, Pool, Summary, Work, run_cells
from limen.records.cell import Cell
from limen.store import Store

sys.path.insert(0, str(Path(__file__).parent))


TWO = Pool(workers=2)


@dataclass
class Study:
    """A store and the events of what ran on it."""

    root: Path
    events: list[Event] = field(default_factory=list)
    executor: Callable[[Work, Pool], Executor] = LocalProcesses
    hear: Callable[[Event], object] = lambda event: None

    @property
    def store(self) -> Store:
        return Store(self.root)

    def run(self, cells: Sequence[Cell], pool: Pool = TWO, **changes: Any) -> Summary:
        """What a study does: run what is not published."""
        store = Store(self.root)
        writer = store.writer
        work = Work("cells_for_tests:run_stage", writer.load, writer.publish, store.has, _adopt(store), store.fail)
        with store.coordinate():
            missing = [cell for cell in cells if not store.has(cell.key)]
            return run_cells(missing, replace(work, **changes), pool, self._heard, self.executor)

    def _heard(self, event: Event) -> None:
        self.events.append(event)
        self.hear(event)

    def told(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]


def _adopt(store: Store) -> Callable[[Cell], object]:
    return lambda cell: store.adopt(cell.key)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study.limen")
