"""Cells of a study: computed once, kept in a folder under a name made of their content, taken up again after a kill.

A cell is a study, its settings (plain data) and a range of repetitions. Its file is named by the SHA-256 of all of
these and VERSION, and is written by the worker under another name and then renamed: what is there is whole. A cell that
other sources computed is taken all the same and counted in the output; raise VERSION, or use --fresh, to redo it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import psutil

VERSION = 1
ROOT = Path(__file__).resolve().parents[2]
Columns = dict[str, list[float]]
"""What a repetition counts or measures: name → one number a repetition."""


@dataclass(frozen=True)
class Cell:
    study: str
    settings: dict[str, Any]
    first: int
    """Number of the first repetition: repetitions are seeded by the settings and their number."""
    count: int
    cost: float
    """Seconds that it is expected to take: for the time left only."""

    @property
    def name(self) -> str:
        content = [VERSION, self.study, self.settings, self.first, self.count]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def __str__(self) -> str:
        said = " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in self.settings.values())
        return f"{self.study} {said} [{self.first}, {self.first + self.count})"


def chunks(study: str, settings: dict[str, Any], count: int, cost: float, longest: float = 10.0) -> list[Cell]:
    """Cells of `count` repetitions in all, none expected to take longer than `longest` s; `cost` is s a repetition."""
    size = max(1, min(count, int(longest / cost)))
    return [
        Cell(study, settings, first, min(size, count - first), cost * min(size, count - first))
        for first in range(0, count, size)
    ]


def seed(settings: dict[str, Any], number: int) -> list[int]:
    """Seed of one repetition."""
    head = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()[:8]
    return [int.from_bytes(head, "big"), number]


def sources() -> str:
    """Digest of everything that a result depends on."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "src" / "limen").rglob("*.py"), *Path(__file__).parent.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compute(cell: Cell, folder: Path, made_by: str) -> float:
    """One cell, written whole or not at all; the seconds it took."""
    began = time.perf_counter()
    study = importlib.import_module(f"{__package__}.{cell.study}")
    columns: Columns = {}
    for number in range(cell.first, cell.first + cell.count):
        for key, value in study.repetition(seed(cell.settings, number), **cell.settings).items():
            columns.setdefault(key, []).append(float(value))
    seconds = time.perf_counter() - began
    content = {"study": cell.study, "settings": cell.settings, "first": cell.first, "count": cell.count,
               "version": VERSION, "sources": made_by, "seconds": seconds, "columns": columns}  # fmt: skip
    partial = folder / f".{cell.name}.{os.getpid()}"
    partial.write_text(json.dumps(content))
    os.replace(partial, folder / f"{cell.name}.json")
    return seconds


def run(cells: Sequence[Cell], folder: Path, workers: int, progress: TextIO) -> int:
    """Compute what the folder does not hold yet; returns the number of cells taken from it."""
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob(".*"):
        if not psutil.pid_exists(int(partial.suffix[1:])):  # its worker was killed
            partial.unlink()
    todo = [cell for cell in cells if not (folder / f"{cell.name}.json").exists()]
    cached, made_by, began, spent = len(cells) - len(todo), sources(), time.perf_counter(), 0.0
    print(f"{cached} cells done, {len(todo)} to do, in {folder}", file=progress, flush=True)
    with ProcessPoolExecutor(workers, initializer=_end_with_parent, initargs=(os.getpid(),)) as pool:
        waiting = {pool.submit(compute, cell, folder, made_by): cell for cell in todo}
        expected = sum(cell.cost for cell in todo)
        for done, future in enumerate(as_completed(waiting), 1):
            cell, error = waiting[future], future.exception()
            if error is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                error.add_note(f"in the cell {cell}")
                raise error
            seconds = future.result()
            spent += cell.cost
            gone = time.perf_counter() - began
            left = gone * (expected - spent) / spent
            print(
                f"[{cached + done}/{len(cells)}] {cell} · {seconds:.1f} s · {gone:.0f} s gone, about {left:.0f} s left",
                file=progress,
                flush=True,
            )
    return cached


def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed ends too."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class Found:
    """All repetitions of one setting."""

    settings: dict[str, Any]
    columns: Columns
    foreign: int
    """Cells that other sources computed."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def collect(cells: Sequence[Cell], folder: Path) -> list[Found]:
    """Results of computed cells in their order, repetitions of the same settings together."""
    made_by, found = sources(), {}
    for cell in cells:
        content = json.loads((folder / f"{cell.name}.json").read_text())
        key = json.dumps(cell.settings, sort_keys=True)
        old = found.get(key, Found(cell.settings, {name: [] for name in content["columns"]}, 0))
        columns = {name: old.columns[name] + values for name, values in content["columns"].items()}
        found[key] = Found(cell.settings, columns, old.foreign + (content["sources"] != made_by))
    return list(found.values())
