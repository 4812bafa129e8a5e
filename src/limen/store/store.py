"""The store of a study: published results, failures, and one coordinator at a time that keeps the ledger in step.

Anyone may read. Whoever runs cells coordinates:

    store = Store(Path("study.limen"))
    with store.coordinate() as recovery:      # takes the lock, sweeps, adopts what a crash left unlisted
        folder = store.writer.publish(cell, record, seconds)    # here or in a worker process
        store.adopt(cell.key)                 # the result is acknowledged once this returns
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from limen.records.cell import Cell
from limen.records.errors import Problem
from limen.records.stage import StageRecord
from limen.store.disk import guarded
from limen.store.explain import Explanation, explain
from limen.store.failures import Failure, Failures
from limen.store.files import read_manifest
from limen.store.ledger import Ledger, LedgerDamaged, Row, row
from limen.store.lock import Holder, Lock, holder
from limen.store.owners import abandoned, temporary_name
from limen.store.recovery import Freed, Recovery
from limen.store.writer import Writer


class Store:
    """Results of one study under `root`. Opening one touches nothing; reading needs no lock."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.writer = Writer(self.root)
        self._failures = Failures(self.root / "failures")
        self._ledger: Ledger | None = None

    @contextmanager
    def coordinate(self) -> Iterator[Recovery]:
        """Hold the store: one process at a time. Puts right what a crash left behind, and says what that was.

        Raises StoreError naming the holder when another run has it, and when the disk refuses.
        """
        with guarded(self.root):
            self.writer.runs.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.root / "lock")
        try:
            swept = self.sweep()
            self._ledger, rebuilt = self._open_ledger()
            yield self._reconcile(swept, rebuilt)
        finally:
            if self._ledger is not None:
                self._ledger.close()
            self._ledger = None
            lock.release()

    def holder(self) -> Holder | None:
        """The process that coordinates this store now; None when nobody does."""
        return holder(self.root / "lock")

    def publish(self, cell: Cell, record: StageRecord, seconds: float) -> Path:
        """Keep a record and list it: `writer.publish` and `adopt` in one, for work done in this process."""
        folder = self.writer.publish(cell, record, seconds)
        self.adopt(cell.key)
        return folder

    def adopt(self, key: str) -> Row:
        """List a published result; when this returns the result is acknowledged and survives any crash."""
        adopted = row(read_manifest(self.writer.runs / key))
        self._held().add(adopted)
        self._failures.forget(key)
        return adopted

    def has(self, key: str) -> bool:
        """Whether the result is there with all its files in their right sizes."""
        return self.writer.has(key)

    def load(self, key: str, verify: bool = False) -> StageRecord:
        """The record of a published cell, hashed at the first load in this process and whenever `verify` is set.

        Raises StoreError when there is no such result or when its bytes are not those that were published.
        """
        return self.writer.read(key, self.writer.problems(key, again=verify))

    def rows(self) -> tuple[Row, ...]:
        """All published results by stage, label, key: from the ledger, or from the folders where it is unreadable."""
        ledger = self._readable()
        if ledger is None:
            found = [row(read_manifest(self.writer.runs / key)) for key in sorted(self.published()) if self.has(key)]
            return tuple(sorted(found, key=lambda row: (row.stage, row.label, row.key)))
        with self._closing(ledger):
            return ledger.rows()

    def fail(self, cell: Cell, reason: str) -> Failure:
        """Record that an attempt at a cell failed; attempts are counted until one succeeds."""
        self._held()
        return self._failures.record(cell, reason)

    def failures(self) -> tuple[Failure, ...]:
        """Cells whose last attempt failed, by stage, label, key."""
        return self._failures.all()

    def unreadable_failures(self) -> tuple[Path, ...]:
        """Files in `failures/` that cannot be read: nothing is known about the failures of their cells."""
        return self._failures.unreadable()

    def sweep(self) -> int:
        """Remove temporary folders and files whose process is dead; returns how many.

        Raises StoreError when the disk refuses.
        """
        swept = 0
        for folder in (self.writer.runs, self.root / "failures"):
            with guarded(folder):
                for path in folder.iterdir() if folder.is_dir() else ():
                    if abandoned(path.name):
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                        swept += 1
        return swept

    def rebuild(self) -> Recovery:
        """Make the ledger anew from the folders, re-hashing every result; damaged ones are quarantined.

        No verb calls it: `open` repairs what the folders and the ledger disagree on. It is for a ledger that lies.
        """
        ledger = self._held()
        ledger.remove(*ledger.keys())
        return self._reconcile(swept=self.sweep(), rebuilt=True)

    def verify(self, key: str) -> tuple[Problem, ...]:
        """Re-hash a result; a damaged one is quarantined, so that its cell runs again, if this process coordinates."""
        found = self.writer.problems(key, again=True)
        if found and self._ledger is not None:
            if (self.writer.runs / key).is_dir():
                self.writer.quarantine(key)
            self._ledger.remove(key)
        return found

    def dependents(self, key: str) -> tuple[Row, ...]:
        """Every published result that rests on this one, directly or through others."""
        reached, rows = {key}, self.rows()
        while grown := {row.key for row in rows if row.key not in reached and reached & set(row.needs.values())}:
            reached |= grown
        return tuple(row for row in rows if row.key in reached - {key})

    def explain(self, cell: Cell) -> Explanation:
        """Why a cell is published, failed, stale or new: which fields differ from the nearest stored cell."""
        return explain(cell, self.rows(), self.failures(), published=self.has(cell.key))

    def gc(self, keep: Set[str]) -> Freed:
        """Remove every result whose key is not in `keep`, and everything in quarantine."""
        ledger, size = self._held(), 0
        with guarded(self.root):
            doomed = self.published() - keep
            ledger.remove(*doomed)
            for key in doomed:
                folder = self.writer.runs / key
                size += _size(folder)
                shutil.rmtree(folder.rename(folder.with_name(temporary_name())))
            size += _size(self.root / "quarantine")
            shutil.rmtree(self.root / "quarantine", ignore_errors=True)
        return Freed(len(doomed), size)

    def published(self) -> frozenset[str]:
        """Keys of all results that have a folder, listed or not, sound or damaged: what `verify` should look at."""
        if not self.writer.runs.is_dir():
            return frozenset()
        with os.scandir(self.writer.runs) as entries:
            return frozenset(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))

    def unlisted(self) -> frozenset[str]:
        """Keys of published results that the ledger does not list; the next coordinator adopts them."""
        ledger = self._readable()
        if ledger is None:
            return self.published()
        with self._closing(ledger):
            return self.published() - ledger.keys()

    def _held(self) -> Ledger:
        if self._ledger is None:
            raise RuntimeError("writing to a store needs `with store.coordinate():` around it")
        return self._ledger

    def _readable(self) -> Ledger | None:
        if self._ledger is not None:
            return self._ledger
        path = self.root / "ledger.sqlite"
        try:
            return Ledger(path, create=False) if path.exists() and path.stat().st_size else None
        except LedgerDamaged:
            return None

    @contextmanager
    def _closing(self, ledger: Ledger) -> Iterator[None]:
        try:
            yield
        finally:
            if ledger is not self._ledger:
                ledger.close()

    def _open_ledger(self) -> tuple[Ledger, bool]:
        path = self.root / "ledger.sqlite"
        missing = not path.exists()
        try:
            ledger = Ledger(path, create=True)
        except LedgerDamaged:
            number = 1 + sum(1 for _ in self.root.glob("ledger.sqlite.damaged-*"))
            path.rename(path.with_name(f"ledger.sqlite.damaged-{number}"))
            path.with_name("ledger.sqlite-journal").unlink(missing_ok=True)  # belongs to the damaged file
            ledger, missing = Ledger(path, create=True), True
        return ledger, missing

    def _reconcile(self, swept: int, rebuilt: bool) -> Recovery:
        """Adopt published results that are not listed, drop listed ones that are gone."""
        ledger, published = self._held(), self.published()
        listed = ledger.keys()
        quarantined = [key for key in sorted(published - listed) if self.verify(key)]
        adopted = sorted(published - listed - set(quarantined))
        vanished = sorted(listed - published)
        if adopted:
            ledger.add(*(row(read_manifest(self.writer.runs / key)) for key in adopted))
        if vanished:
            ledger.remove(*vanished)
        for failure in self.failures():
            if failure.key in published - set(quarantined):
                self._failures.forget(failure.key)  # a crash came between the ledger's row and this
        return Recovery(tuple(adopted), tuple(quarantined), tuple(vanished), swept, rebuilt)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
