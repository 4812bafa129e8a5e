"""Where cells run: an executor starts processes, the scheduler decides what runs when and what a loss means.

    work = Work("limen.study.stages:run_stage", store.writer.load, store.writer.publish,
                has=store.has, acknowledge=lambda cell: store.adopt(cell.key), refuse=store.fail)
    log = EventLog(store.root / "events.jsonl")
    with Progress(total=len(missing)) as progress:
        summary = run_cells(missing, work, Pool(workers=2), lambda event: (log(event), progress(event)))
    summary.outcomes, summary.interrupted, summary.exit_code        # StoreError (exit 3) when the disk refuses

The stage function is `run_stage(stage, spec, inputs: Mapping[str, StageRecord]) -> StageRecord`, named by a string so
that only workers import it. Call `run_cells` inside `with store.coordinate():`.
"""

from __future__ import annotations

from limen.cluster.events import Event, EventFile, EventLog, read_events
from limen.cluster.executor import Attempt, Executor, Pool, Work
from limen.cluster.local import LocalProcesses
from limen.cluster.progress import Progress
from limen.cluster.schedule import Summary, run_cells

__all__ = [
    "Attempt",
    "Event",
    "EventFile",
    "EventLog",
    "Executor",
    "LocalProcesses",
    "Pool",
    "Progress",
    "Summary",
    "Work",
    "read_events",
    "run_cells",
]
