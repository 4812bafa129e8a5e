"""What a place that runs cells must be able to do, and what it is given.

An executor starts processes and says what became of them. It remembers nothing: results are files, published by the
worker; the scheduler (`schedule.py`) decides what runs when, and what a loss means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from limen.records.cell import Cell
from limen.records.errors import Problem
from limen.records.stage import StageRecord


@dataclass(frozen=True, slots=True)
class Work:
    """How to run a cell and where its record goes. The first three travel to workers and must be picklable."""

    stage_function: str
    """`module:name` of `run_stage(stage, spec, inputs: Mapping[str, StageRecord]) -> StageRecord`."""
    load: Callable[[str], StageRecord]
    """Record of a published cell by key; called in the worker for each of the cell's needs."""
    publish: Callable[[Cell, StageRecord, float], Path]
    """Keeps a record durably; called in the worker with the seconds the stage took."""
    has: Callable[[str], bool]
    """Whether a key is published; asked when a worker died, which may have been after publishing."""
    acknowledge: Callable[[Cell], object]
    """Called in the coordinator for a published cell, before anyone is told that it finished."""
    refuse: Callable[[Cell, str], object]
    """Called in the coordinator for each failed or lost attempt, with the reason."""
    share: Callable[[Cell, Callable[[], StageRecord]], StageRecord] | None = None
    """Called in the worker (picklable) with a cell and what computes it, where stores share results; None computes."""


@dataclass(frozen=True, slots=True)
class Pool:
    """How many workers, and how often a cell whose worker died is tried again."""

    workers: int = 1
    retries: int = 2
    """Further attempts at a cell whose worker died. A stage that raises is not tried again: it would raise again."""
    log: Path | None = None
    """File that collects what workers print; None sends it to the standard error of this process."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt at a cell ended."""

    cell: Cell
    outcome: Literal["published", "failed", "lost", "refused", "cancelled"]
    """`refused`: the store or the disk refused, so further cells would be refused too."""
    seconds: float
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    """What the store or the disk said."""


class Executor(Protocol):
    """A place that runs cells."""

    def capacity(self) -> int:
        """How many more cells it takes now."""

    def submit(self, cell: Cell) -> None:
        """Start a cell whose needs are published."""

    def poll(self, timeout: float) -> Sequence[Attempt]:
        """Attempts that ended, waiting at most `timeout` seconds for the first one."""

    def told(self) -> Sequence[tuple[Cell, str]]:
        """What cells that are computing said since the last call: how far they are."""

    def cancel(self) -> None:
        """Stop every cell that is computing; let those that are publishing finish. `poll` reports both."""

    def close(self) -> None:
        """Stop everything at once and leave no process behind."""
