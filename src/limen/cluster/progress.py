"""What a person sees while cells run: a bar with rate and time left on a terminal, plain lines elsewhere.

Time left = elapsed · (1 − s) / s, where s is the settled share of the forecast seconds; nothing is shown before the
first cell has settled.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from limen.cluster.events import Event
from limen.records.units import duration

_TOLD = frozenset({"finished", "failed", "lost", "retried", "skipped", "cancelled", "told"})


class Progress:
    """Shows events on `stream` (default: standard error). Use it as a context and call it with each event."""

    def __init__(self, total: int, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._start = time.monotonic()
        self._running: dict[str, str] = {}
        self._bar: Bar | None = None
        if not quiet and self._stream.isatty():
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[pace]}"),
                TextColumn("{task.description}"),
            )
            self._bar = Bar(*columns, console=Console(file=self._stream))
            self._task = self._bar.add_task("", total=total, pace="")

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "started":
            self._running[event.key] = event.label
        elif event.kind == "told":
            self._running[event.key] = f"{event.label}: {event.reason}"
        else:
            self._running.pop(event.key, None)
        if self._quiet:
            return
        pace = pace_text(event, time.monotonic() - self._start)
        if self._bar is None:
            if event.kind in _TOLD:
                print(f"{line(event)}{'; ' if pace else ''}{pace}", file=self._stream, flush=True)
            return
        if event.kind in _TOLD - {"finished", "told"}:
            self._bar.console.print(escape(line(event)), highlight=False)
        running = escape(", ".join(sorted(self._running.values())))
        self._bar.update(self._task, completed=event.done, total=event.total, pace=pace, description=running)


def line(event: Event) -> str:
    """One line about one event: counts, what happened to which cell, how long, and the first line of why."""
    seconds = "" if event.seconds is None else f" ({event.seconds:.1f} s)"
    why = f": {event.reason.splitlines()[0]}" if event.reason else ""
    return f"[{event.done}/{event.total}] {event.kind} {event.stage} {event.label}{seconds}{why}"


def pace_text(event: Event, elapsed: float) -> str:
    """Rate and time left after `elapsed` seconds; empty before the first cell has settled.

    >>> event = Event("finished", "k", "fit", "a · b", 1, 2.0, "", 10, 40, 0.25, "")
    >>> pace_text(event, 60.0)
    '10.0 cells/min, 3 min left'
    """
    if event.done == 0 or event.share <= 0 or elapsed <= 0:
        return ""
    left = elapsed * (1 - event.share) / event.share
    return f"{60 * event.done / elapsed:.1f} cells/min, {duration(left)} left"
