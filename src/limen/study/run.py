"""Run a study: what is published stays, what is missing runs, the result is one report.

    read → check → plan → ask the store what is cached → run the missing cells → report

Interrupted or killed at any moment, the same call continues: nothing that was published runs again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from limen.cluster import Event, EventLog, Executor, LocalProcesses, Pool, Progress, Work, run_cells
from limen.records.cell import Cell
from limen.records.errors import BadInput, Problem
from limen.records.report import CellOutcome, Report
from limen.records.stage import StageRecord
from limen.records.units import human
from limen.store import Store
from limen.store.disk import free_bytes
from limen.study.check import ready
from limen.study.damage import damaged, read_by_report, set_aside_damaged, with_damage
from limen.study.files import Files, files_of
from limen.study.forecast import approve, forecast
from limen.study.parse import read_study
from limen.study.plan import Plan, plan, tables_of
from limen.study.source import Source
from limen.study.spec import Study
from limen.study.unfinished import Unfinished

SCHEMA = "limen.run/1"
EXECUTORS: Mapping[str, Callable[[Work, Pool], Executor]] = {"local": LocalProcesses}
STAGE_FUNCTION = "limen.study.stages:run_stage"


@dataclass(frozen=True, slots=True)
class Options:
    """How to run; nothing here changes a result."""

    workers: int = 1
    executor: str = "local"
    data: Path | None = None
    """Where relative paths of data begin, None = $LIMEN_DATA or the study's folder."""
    store: Path | None = None
    """None = `STUDY-STEM.limen` beside the study."""
    yes: bool = False
    """Run a study of more than 100,000 cells or a day."""
    quiet: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)


@dataclass(frozen=True, slots=True)
class Opened:
    """A sound study with its files, plan and store."""

    study: Study
    source: Source
    files: Files
    plan: Plan
    store: Store


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did and what the study now says."""

    cached: int
    run: int
    failed: int
    """Cells that failed, or were skipped because one that they need failed."""
    waiting: int
    """Cells not started because the run was interrupted."""
    report: Report
    exit_code: int
    """0 done, 1 some cells failed, 130 interrupted."""

    def line(self) -> str:
        """`N cached / M run`, and what else there is to say."""
        failed = f" / {self.failed} failed" if self.failed else ""
        waiting = f" / {self.waiting} waiting" if self.waiting else ""
        return f"{self.cached} cached / {self.run} run{failed}{waiting}"

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.run/1."""
        cells = [
            {"key": c.key, "stage": c.stage, "label": c.label, "outcome": c.outcome, "seconds": c.seconds}
            | ({"reason": c.reason} if c.reason else {})
            for c in self.report.cells
        ]
        return {
            "schema": SCHEMA,
            "study": self.report.name,
            "cached": self.cached,
            "run": self.run,
            "failed": self.failed,
            "waiting": self.waiting,
            "cells": cells,
            "budgets": [budget.to_json() for budget in self.report.budgets],
            "comparisons": [comparison.to_json() for comparison in self.report.comparisons],
            "rankings": [ranking.to_json() for ranking in self.report.rankings],
            "recipe": dict(self.report.recipe),
        }


def open_study(path: Path | str, options: Options | None = None, *, running: bool = False) -> Opened:
    """The study at `path` with its plan and store; nothing runs. Raises BadInput with everything that is wrong.

    With `running` everything that running it needs is looked for too: libraries, and rows that can be fitted.
    """
    options, path = options or Options(), Path(path)
    study, source = read_study(path)
    files = files_of(path, options.data)
    ready(study, source, files, running)
    approve(forecast(study, files, options.workers), options.yes)
    root = options.store or path.absolute().with_suffix(".limen")
    return Opened(study, source, files, plan(study, files), Store(root))


def run_study(path: Path | str, options: Options | None = None) -> RunResult:
    """Run what is missing of the study at `path` and report on everything that is there.

    Raises BadInput (exit 2) for a study that cannot run, StoreError (exit 3) when another run holds the store or the
    disk refuses. Cells that fail are in the result, not raised.
    """
    options = options or Options()
    if options.executor not in EXECUTORS:
        what = f"expected {' or '.join(EXECUTORS)}, got {options.executor!r}"
        raise BadInput(Problem("--executor", what, "this version runs cells on one machine"))
    begun = time.perf_counter()
    opened = open_study(path, options, running=True)
    outcomes, interrupted = _run_missing(opened, options)
    report = report_of(opened, outcomes, _recipe(opened, outcomes, time.perf_counter() - begun))
    counts = {kind: sum(c.outcome in kinds for c in report.cells) for kind, kinds in _KINDS.items()}
    code = 130 if interrupted else int(counts["failed"] > 0)
    return RunResult(**counts, report=report, exit_code=code)


_KINDS = {"cached": ("cached",), "run": ("run",), "failed": ("failed", "skipped"), "waiting": ("waiting",)}


def report_of(
    opened: Opened, outcomes: tuple[CellOutcome, ...] = (), recipe: Mapping[str, Any] | None = None
) -> Report:
    """The report of what is published, without running anything; without outcomes, cells are `cached` or `waiting`.

    A result whose bytes are damaged is left out, and its cell says so: it is `failed`, with the reason.
    """
    from limen.study.results import Finished, report  # scipy costs a second: only when there is something to report

    store, plan = opened.store, opened.plan
    broken = damaged(store, read_by_report(plan), again=not outcomes)
    if not outcomes:
        outcomes = tuple(_outcome(c, "cached" if store.has(c.key) else "waiting") for c in plan.cells.values())
    outcomes = with_damage(outcomes, broken, f"limen run {opened.source.name} sets it aside and does its cell again")
    recipe = _recipe(opened, outcomes, 0.0) if recipe is None else recipe

    def sound(key: str) -> bool:
        return key not in broken and store.has(key)

    return report(Finished(opened.study, plan, store.load, sound, outcomes, recipe, opened.source.name))


def _run_missing(opened: Opened, options: Options) -> tuple[tuple[CellOutcome, ...], bool]:
    """The outcome of every cell of the plan, and whether the run was interrupted."""
    store, cells = opened.store, opened.plan.cells
    with store.coordinate() as recovery:
        if str(recovery) and not options.quiet:
            print(recovery, file=options.stream)
        aside = len(set_aside_damaged(store, opened.plan))
        if aside and not options.quiet:
            print(f"{aside} damaged result{'s' * (aside > 1)} set aside and redone", file=options.stream)
        missing = [cell for key, cell in cells.items() if not store.has(key)]
        outcomes = {key: _outcome(cell, "cached") for key, cell in cells.items()}
        if not missing:
            return tuple(outcomes.values()), False
        _warn_of_space(opened, options)
        _warn_of_threads(options)
        unfinished = Unfinished(store.root / "training", _shared())

        def acknowledge(cell: Cell) -> None:
            store.adopt(cell.key)
            unfinished.forget(cell)

        work = Work(STAGE_FUNCTION, store.writer.load, store.writer.publish, has=store.has,
                    acknowledge=acknowledge, refuse=store.fail, share=unfinished.record)  # fmt: skip
        log = EventLog(store.root / "events.jsonl")
        pool = Pool(workers=options.workers, log=store.root / "workers.log")
        with Progress(len(missing), options.stream, options.quiet) as progress:

            def tell(event: Event) -> None:
                log(event)
                progress(event)

            try:
                summary = run_cells(missing, work, pool, tell, EXECUTORS[options.executor])
            finally:
                log.close()
        outcomes |= {outcome.key: outcome for outcome in summary.outcomes}
        return tuple(outcomes.values()), summary.interrupted


def _shared() -> Callable[[Cell, Callable[[], StageRecord]], StageRecord]:
    from limen.data.fingerprint import cache_folder
    from limen.study.features_cache import FeaturesCache

    cache = FeaturesCache(cache_folder() / "features")
    cache.sweep()
    return cache.record


def _warn_of_space(opened: Opened, options: Options) -> None:
    needed = forecast(opened.study, opened.files).disk_bytes
    free = free_bytes(opened.store.root)
    if free is not None and free < needed and not options.quiet:
        text = f"warning: the whole study needs about {human(needed)}, {human(free)} are free on {opened.store.root}"
        print(text, file=options.stream)


def _warn_of_threads(options: Options) -> None:
    """Workers are pinned; what else runs on this machine with the library's own threads may not be."""
    from limen.arrays.thread_check import checked_once

    if not options.quiet and checked_once().slowed:
        print(f"warning: {checked_once().text()}", file=options.stream)


def _outcome(cell: Cell, outcome: str) -> CellOutcome:
    return CellOutcome(cell.key, cell.stage, cell.label, outcome)


def _recipe(opened: Opened, outcomes: tuple[CellOutcome, ...], seconds: float) -> dict[str, Any]:
    """Everything needed to run the study again, and what it cost."""
    from limen.arrays.environment import environment

    rows = [row for row in opened.store.rows() if row.key in opened.plan.cells]
    spent = {row.key: row.seconds for row in rows}
    # threads are those of the workers, not of this process; pretraining may have asked for more than one
    used = sorted({int(row.environment["threads"]) for row in rows if "threads" in row.environment})
    threads = {"threads": used[0] if len(used) == 1 else used} if used else {}
    return {
        "command": f"limen run {opened.source.name}",
        "study": opened.source.text,
        "data": {table: opened.files.hash(table) for table in tables_of(opened.study)},
        "environment": environment() | threads,
        "seconds_to_reproduce": round(sum(spent.values()), 1),
        "seconds_of_this_command": round(seconds, 1),
        "cells": {kind: sum(o.outcome == kind for o in outcomes) for kind in sorted({o.outcome for o in outcomes})},
    }
