"""Cells on this machine: long-lived processes, each started fresh (no fork), each with its own pipe and thread count.

A worker takes many cells, because imports cost seconds, and is replaced when its process died, when a stage raised
something unforeseen, or when a cell asks for another number of threads (`spec["threads"]`, default 1). The number is
set in the environment before the process starts, so it holds for every library it will import.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO

from limen.cluster.executor import Attempt, Pool, Work
from limen.cluster.worker import Answer, Orders
from limen.records.cell import Cell
from limen.records.errors import Problem, StoreError

_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")
_STDERR = 2
_BOOT = "import sys; from limen.cluster.worker import main; main(int(sys.argv[1]))"


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection[Any, Answer]
    threads: int
    cell: Cell | None = None
    started: float = 0.0
    publishing: bool = False

    def kill(self) -> None:
        """End the process and everything it started."""
        self.pipe.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class LocalProcesses:
    """An executor of spawned processes on this machine."""

    def __init__(self, work: Work, pool: Pool) -> None:
        log = "" if pool.log is None else pool.log.name
        self._orders = Orders(work.stage_function, work.load, work.publish, work.share, log)
        self._size = pool.workers
        self._output = None if pool.log is None else _opened(pool.log)
        self._workers: list[_Worker] = []
        self._cancelled: list[Attempt] = []
        self._told: list[tuple[Cell, str]] = []

    def told(self) -> Sequence[tuple[Cell, str]]:
        """What cells that are computing said since the last call."""
        told, self._told = self._told, []
        return told

    def capacity(self) -> int:
        """Workers that are idle or not started yet."""
        return self._size - sum(worker.cell is not None for worker in self._workers)

    def submit(self, cell: Cell) -> None:
        """Hand a cell to an idle worker with the right number of threads, or to a new one."""
        threads = int(cell.spec.get("threads", 1))
        for worker in [w for w in self._workers if w.cell is None and w.process.poll() is not None]:
            self._discard(worker)
        idle = [worker for worker in self._workers if worker.cell is None]
        fitting = [worker for worker in idle if worker.threads == threads]
        if not fitting and len(self._workers) >= self._size:
            self._discard(idle[0])
        worker = fitting[0] if fitting else self._start(threads)
        worker.cell, worker.started, worker.publishing = cell, time.perf_counter(), False
        with suppress(OSError):  # it has just died: `poll` reports the cell as lost
            worker.pipe.send(cell)

    def poll(self, timeout: float) -> Sequence[Attempt]:
        """Attempts that ended; a worker that died is noticed at once by its pipe, or within `timeout`."""
        ended, self._cancelled = self._cancelled, []
        busy = {worker.pipe: worker for worker in self._workers if worker.cell is not None}
        if busy:
            wait(list(busy), 0 if ended else timeout)
        for worker in busy.values():
            dead = worker.process.poll() is not None  # asked before reading: what it said last must be heard
            attempt = self._heard(worker, dead)
            if attempt is not None:
                ended.append(attempt)
        return ended

    def cancel(self) -> None:
        """Kill the workers that are computing; those that are publishing go on."""
        self._hear_publishing()
        for worker in [worker for worker in self._workers if worker.cell is not None and not worker.publishing]:
            self._cancelled.append(Attempt(_cell(worker), "cancelled", time.perf_counter() - worker.started))
            self._discard(worker)

    def close(self) -> None:
        """Kill every worker and wait for its end."""
        for worker in list(self._workers):
            self._discard(worker)
        if self._output is not None:
            self._output.close()

    def _hear_publishing(self) -> None:
        """Hear which workers have begun to publish."""
        for worker in self._workers:
            if worker.cell is not None and not worker.publishing and worker.pipe.poll():
                attempt = self._heard(worker, dead=False)
                if attempt is not None:
                    self._cancelled.append(attempt)

    def _heard(self, worker: _Worker, dead: bool) -> Attempt | None:
        """Read what a worker said; its attempt if that has ended."""
        cell = _cell(worker)
        try:
            while worker.pipe.poll():
                answer = worker.pipe.recv()
                if answer.outcome == "telling":
                    self._told.append((cell, answer.reason))
                    continue
                if answer.outcome != "publishing":
                    return self._settled(worker, cell, answer)
                worker.publishing = True
        except (EOFError, OSError):
            dead = True
        if not dead:
            return None
        self._discard(worker)
        return Attempt(cell, "lost", time.perf_counter() - worker.started, _loss(worker.process.returncode))

    def _settled(self, worker: _Worker, cell: Cell, answer: Answer) -> Attempt:
        worker.cell = None
        if answer.recycle:
            self._discard(worker)
        outcome = "published" if answer.outcome == "published" else answer.outcome
        assert outcome != "publishing"
        assert outcome != "telling"
        return Attempt(cell, outcome, answer.seconds, answer.reason, answer.problems)

    def _start(self, threads: int) -> _Worker:
        here, there = Pipe()
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, str(there.fileno())],
            env=_environment(threads),
            pass_fds=(there.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=self._output or _STDERR,
            stderr=self._output or _STDERR,
            start_new_session=True,  # Ctrl-C reaches the coordinator only, which lets publishing finish
        )
        there.close()
        worker = _Worker(process, here, threads)
        self._workers.append(worker)
        with suppress(OSError):  # it died at birth: `poll` reports its first cell as lost
            here.send(self._orders)
        return worker

    def _discard(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.kill()


def _opened(log: Path) -> BinaryIO:
    try:
        return log.open("ab")
    except OSError as error:
        what = f"[Errno {error.errno}] {error.strerror}"
        cause = "the disk refused the log of the workers; every published result is kept"
        fix = "free space or make the folder writable, then run the same command again"
        raise StoreError(Problem(str(log), what, cause, fix)) from error


def _cell(worker: _Worker) -> Cell:
    assert worker.cell is not None
    return worker.cell


def _environment(threads: int) -> dict[str, str]:
    """The child's environment: its threads, the parent's import path, one hash seed for all workers."""
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    count = {f"{library}_NUM_THREADS": str(threads) for library in _THREADS}
    return {**os.environ, **count, "VECLIB_MAXIMUM_THREADS": str(threads), "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


def _loss(status: int) -> str:
    """What the exit status of a dead worker means.

    >>> _loss(-11)
    'lost (signal 11, SIGSEGV)'
    """
    if status >= 0:
        return f"lost (its process ended with status {status})"
    name = signal.Signals(-status).name
    hint = "; the system kills processes this way when memory runs out" if -status == signal.SIGKILL else ""
    return f"lost (signal {-status}, {name}){hint}"
