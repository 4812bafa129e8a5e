"""Features that studies share: encoded once per machine, whatever study asked first.

A cell of features whose encoder has weights on disk (`SOURCES`) is looked up in `$LIMEN_CACHE/features` under the
cell's own key, which is the hash of weights, data, column and preprocessing. The study's store gets its own copy, so
that resuming, `verify` and `gc` of a study never depend on the cache; the cache may be deleted at any time. Two studies
that want the same features at once compute them once: the second waits for the first, on a lock that the kernel
releases when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from limen.records.cell import Cell
from limen.records.errors import StoreError
from limen.records.stage import StageRecord
from limen.store import Store, Writer

SOURCES = ("sentence-transformers", "transformers", "timm", "open-clip", "torch")
"""Encoders whose features are shared: those of the others are cheap, or belong to a run of one study."""


@dataclass(frozen=True, slots=True)
class FeaturesCache:
    """Features of all studies of a machine, a folder; picklable, so that workers use it."""

    root: Path

    def record(self, cell: Cell, compute: Callable[[], StageRecord]) -> StageRecord:
        """The record of a cell: the shared one where there is a sound one, else computed, and shared if it may be.

        A cache that cannot be read or written costs time, not correctness; what `compute` raises is raised.
        """
        if cell.stage != "features" or cell.identity["encoder"]["source"] not in SOURCES:
            return compute()
        with self._alone(cell.key) as writable:
            with suppress(StoreError):  # none there, or a damaged one, which loading has just moved to quarantine
                return Writer(self.root).load(cell.key)
            begun = time.perf_counter()
            record = compute()
            if writable:
                with suppress(StoreError):  # the disk is full or the folder read-only
                    Writer(self.root).publish(cell, record, time.perf_counter() - begun)
            return record

    def sweep(self) -> None:
        """Remove what killed workers left unfinished."""
        with suppress(OSError, StoreError):
            Store(self.root).sweep()

    @contextmanager
    def _alone(self, key: str) -> Iterator[bool]:
        """Hold the lock of one key, waiting for whoever computes it now; False where no lock can be had."""
        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / "locks" / key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            yield False
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield True
        finally:
            os.close(lock)
