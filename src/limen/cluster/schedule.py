"""Running cells in the order of their needs, whatever happens to workers: retries, skips, interruption.

published  → acknowledged, then reported; cells that need it may start
failed     → a stage raised: reported with its text, not tried again; everything downstream is skipped, the rest goes on
lost       → a worker died: tried again up to `retries` times, then failed
refused    → the disk refused: nothing new starts, StoreError is raised when running cells have stopped
Ctrl-C or SIGTERM: nothing new starts, computing cells stop, publishing ones finish; a second one stops everything.
"""

from __future__ import annotations

import heapq
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from limen.cluster.events import Event, Kind
from limen.cluster.executor import Attempt, Executor, Pool, Work
from limen.cluster.local import LocalProcesses
from limen.records.cell import Cell
from limen.records.errors import Problem, StoreError
from limen.records.report import CellOutcome

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of every cell."""

    outcomes: tuple[CellOutcome, ...]
    """One per cell, in the order given: `run`, `failed`, `skipped`, or `waiting` after an interruption."""
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed or were skipped, 130 interrupted."""
        if self.interrupted:
            return 130
        return int(any(outcome.outcome != "run" for outcome in self.outcomes))


def run_cells(
    cells: Sequence[Cell],
    work: Work,
    pool: Pool = Pool(),  # noqa: B008 (frozen)
    on_event: Callable[[Event], object] = lambda event: None,
    executor: Callable[[Work, Pool], Executor] = LocalProcesses,
) -> Summary:
    """Run cells that are not published; needs that are not among them must be. Cells with one key run once.

    Raises StoreError when the store or the disk refuses; everything published until then is acknowledged.
    """
    run = _Run(cells, work, pool, on_event)
    place = executor(work, pool)
    with _interrupts(run):
        try:
            run.to_the_end(place)
        except KeyboardInterrupt:
            run.stop()
        finally:
            place.close()
    if run.problems:
        raise StoreError(run.problems)
    return run.summary(cells)


class _Run:
    """The state of one call: what is ready, what waits for what, what is settled."""

    def __init__(self, cells: Iterable[Cell], work: Work, pool: Pool, on_event: Callable[[Event], object]) -> None:
        self.cells: dict[str, Cell] = {}
        for cell in cells:
            self.cells.setdefault(cell.key, cell)
        self.order = {key: position for position, key in enumerate(self.cells)}
        self.work, self.retries, self.on_event = work, pool.retries, on_event
        self.needs = {key: {n for n in cell.needs.values() if n in self.cells} for key, cell in self.cells.items()}
        self.dependents: dict[str, list[str]] = {}
        for key, needs in self.needs.items():
            for need in needs:
                self.dependents.setdefault(need, []).append(key)
        self.ready = [(self.order[key], key) for key, needs in self.needs.items() if not needs]
        heapq.heapify(self.ready)
        self.attempts: dict[str, int] = {}
        self.settled: dict[str, CellOutcome] = {}
        self.forecast = sum(cell.seconds for cell in self.cells.values()) or 1.0
        self.forecast_settled = 0.0
        self.problems: tuple[Problem, ...] = ()
        self.running: set[str] = set()
        self.interrupted = self.stopping = False

    def to_the_end(self, place: Executor) -> None:
        """Start what is ready and hear what ended, until nothing runs and nothing more can start."""
        cancelled = False
        while True:
            while self.ready and not self.stopping and place.capacity() > 0:
                self._start(place, heapq.heappop(self.ready)[1])
            if self.stopping and not cancelled:
                place.cancel()
                cancelled = True
            if not self.running:
                return
            ended = place.poll(_POLL_SECONDS)
            for cell, text in place.told():
                self._tell("told", cell, reason=text)
            for attempt in ended:
                self._ended(attempt)

    def stop(self) -> None:
        """Start nothing more; the second call raises KeyboardInterrupt where the main thread is."""
        self.stopping = self.interrupted = True

    def summary(self, cells: Sequence[Cell]) -> Summary:
        """The outcome of every cell in the order given."""
        waiting = {key: _outcome(cell, "waiting") for key, cell in self.cells.items() if key not in self.settled}
        return Summary(tuple((self.settled | waiting)[cell.key] for cell in cells), self.interrupted)

    def _start(self, place: Executor, key: str) -> None:
        self.attempts[key] = self.attempts.get(key, 0) + 1
        self.running.add(key)
        place.submit(self.cells[key])
        self._tell("started", self.cells[key])

    def _ended(self, attempt: Attempt) -> None:
        cell = attempt.cell
        self.running.discard(cell.key)
        if attempt.outcome == "published" or (attempt.outcome == "lost" and self.work.has(cell.key)):
            self.work.acknowledge(cell)
            self._settle(cell, "run", attempt.seconds)
            self._tell("finished", cell, attempt.seconds)
            self._release(cell.key)
        elif attempt.outcome == "failed":
            self._failed(cell, attempt.seconds, attempt.reason)
        elif attempt.outcome == "lost":
            self._lost(cell, attempt)
        elif attempt.outcome == "refused":
            self._tell("cancelled", cell, attempt.seconds, attempt.reason)
            self.problems += attempt.problems
            self.stopping = True
        else:
            self._tell("cancelled", cell, attempt.seconds, "interrupted")

    def _lost(self, cell: Cell, attempt: Attempt) -> None:
        self._tell("lost", cell, attempt.seconds, attempt.reason)
        if self.attempts[cell.key] <= self.retries:
            self.work.refuse(cell, attempt.reason)
            self._tell("retried", cell, reason=attempt.reason)
            heapq.heappush(self.ready, (self.order[cell.key], cell.key))
        else:
            times = self.attempts[cell.key]
            self._failed(cell, attempt.seconds, attempt.reason if times == 1 else f"{attempt.reason}, {times} times")

    def _failed(self, cell: Cell, seconds: float, reason: str) -> None:
        self.work.refuse(cell, reason)
        self._settle(cell, "failed", seconds, reason)
        self._tell("failed", cell, seconds, reason)
        downstream = deque(self.dependents.get(cell.key, ()))
        while downstream:
            skipped = self.cells[downstream.popleft()]
            if skipped.key not in self.settled:
                why = f"needs {cell.label} ({cell.stage}), which failed: {reason.splitlines()[0]}"
                self._settle(skipped, "skipped", None, why)
                self._tell("skipped", skipped, reason=why)
                downstream.extend(self.dependents.get(skipped.key, ()))

    def _settle(self, cell: Cell, outcome: str, seconds: float | None, reason: str = "") -> None:
        self.settled[cell.key] = _outcome(cell, outcome, seconds, reason)
        self.forecast_settled += cell.seconds

    def _release(self, key: str) -> None:
        for dependent in self.dependents.get(key, ()):
            self.needs[dependent].discard(key)
            if not self.needs[dependent] and dependent not in self.settled:
                heapq.heappush(self.ready, (self.order[dependent], dependent))

    def _tell(self, kind: Kind, cell: Cell, seconds: float | None = None, reason: str = "") -> None:
        share = min(1.0, self.forecast_settled / self.forecast)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        attempt, done = self.attempts.get(cell.key, 0), len(self.settled)
        counts = (done, len(self.cells), share, now)
        self.on_event(Event(kind, cell.key, cell.stage, cell.label, attempt, seconds, reason, *counts))


def _outcome(cell: Cell, outcome: str, seconds: float | None = None, reason: str = "") -> CellOutcome:
    return CellOutcome(cell.key, cell.stage, cell.label, outcome, seconds, reason)


@contextmanager
def _interrupts(run: _Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run, the second one at once; only the main thread can hear signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        if run.stopping:
            raise KeyboardInterrupt
        run.stop()

    earlier = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
