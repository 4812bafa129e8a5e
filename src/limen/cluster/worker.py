"""A worker process: takes cells from a pipe, runs the stage, publishes the record, answers; stops when the pipe closes.

The pipe is watched by a thread, so that a worker whose coordinator was killed stops while a stage is computing (as
soon as the stage lets another thread run). It then kills its whole process group, so that nothing it started survives.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from limen.records.cell import Cell
from limen.records.errors import LimenError, Problem, StoreError
from limen.records.stage import StageRecord

Stage = Callable[[str, Mapping[str, Any], Mapping[str, StageRecord]], StageRecord]


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told once: the part of `Work` that travels."""

    stage_function: str
    load: Callable[[str], StageRecord]
    publish: Callable[[Cell, StageRecord, float], Path]
    share: Callable[[Cell, Callable[[], StageRecord]], StageRecord] | None = None
    log: str = ""
    """Name of the file that collects what workers print; empty where that is standard error."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says about the cell it was given."""

    outcome: Literal["telling", "publishing", "published", "failed", "refused"]
    seconds: float
    reason: str = ""
    problems: tuple[Problem, ...] = ()
    recycle: bool = False
    """Whether the process may be in a bad state and should be replaced."""


_SAY: list[Callable[[str], None]] = []
"""Sends a text to the coordinator, while a cell is computed."""


def tell(text: str) -> None:
    """Say how far the cell of this worker is; nothing happens in a process that is no worker.

    >>> tell("half of it")
    """
    for say in _SAY:
        say(text)


def main(handle: int) -> None:
    """Serve the pipe with this file descriptor until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(handle, False)
    connection: Connection[Answer, Any] = Connection(handle)
    orders: Orders = connection.recv()
    cells: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, cells), daemon=True).start()
    while True:
        connection.send(_run(orders, cells.get(), connection))


def _listen(connection: Connection[Answer, Any], cells: queue.SimpleQueue[Cell]) -> None:
    while True:
        try:
            cells.put(connection.recv())
        except (EOFError, OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _run(orders: Orders, cell: Cell, connection: Connection[Answer, Any]) -> Answer:
    start = time.perf_counter()
    _SAY[:] = [lambda text: connection.send(Answer("telling", time.perf_counter() - start, text))]
    try:
        compute = partial(_computed, orders, cell)
        record = compute() if orders.share is None else orders.share(cell, compute)
        seconds = time.perf_counter() - start
        connection.send(Answer("publishing", seconds))
        orders.publish(cell, record, seconds)
    except StoreError as error:
        return Answer("refused", time.perf_counter() - start, str(error), error.problems)
    except LimenError as error:
        return Answer("failed", time.perf_counter() - start, str(error))
    except BaseException as error:
        print(f"{cell.stage} {cell.label} ({cell.key})\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return Answer("failed", time.perf_counter() - start, _in_one_line(error, orders.log), recycle=True)
    return Answer("published", seconds)


def _computed(orders: Orders, cell: Cell) -> StageRecord:
    stage = _imported(orders.stage_function)
    return stage(cell.stage, cell.spec, {name: orders.load(key) for name, key in cell.needs.items()})


def _in_one_line(error: BaseException, log: str) -> str:
    """What an unforeseen exception says, in one line, and in which log it says where it was raised.

    >>> print(_in_one_line(ValueError("no\\nrows"), "workers.log"))
    ValueError: no rows
      where: workers.log in the store says where it was raised
    """
    said = " ".join("".join(traceback.format_exception_only(error)).split())
    return f"{said}\n  where: {log} in the store says where it was raised" if log else said


def _imported(name: str) -> Stage:
    module, _, function = name.partition(":")
    stage: Stage = getattr(importlib.import_module(module), function)
    return stage


if __name__ == "__main__":
    main(int(sys.argv[1]))
