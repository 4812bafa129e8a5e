"""Publishing and loading results by files alone: what a worker process gets instead of the store.

publish: folder `runs/.tmp-…` → files, each fsynced → MANIFEST.json → fsync folder → rename to `runs/<key>` → fsync
`runs`. After a crash at any point either nothing is there under `<key>` or a complete result is. The ledger is not
touched: the coordinator lists the result when it hears of it, or finds it by looking (`Store.adopt`).
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

from limen.records.cell import Cell
from limen.records.errors import Problem, StoreError
from limen.records.stage import StageRecord
from limen.store.disk import guarded, sync_folder
from limen.store.faults import fault
from limen.store.files import MANIFEST, problems, read_record, write_result
from limen.store.owners import temporary_name
from limen.store.plain import refuse_unstorable

_verified: set[tuple[str, int]] = set()
"""Folders this process has hashed, with the time of their manifest."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A store as workers see it: a root folder, nothing open, picklable."""

    root: Path

    @property
    def runs(self) -> Path:
        """The folder of published results."""
        return self.root / "runs"

    def publish(self, cell: Cell, record: StageRecord, seconds: float) -> Path:
        """Keep the record of a cell, durably, and return its folder. Publishing a sound result again changes nothing.

        Raises TypeError or ValueError for a record that cannot be stored, StoreError when the disk refuses.
        """
        refuse_unstorable(record)
        needed = sum(array.nbytes for array in record.arrays.values())
        target = self.runs / cell.key
        with guarded(target, needed):
            self.runs.mkdir(parents=True, exist_ok=True)
            temporary = self.runs / temporary_name()
            temporary.mkdir()
            try:
                write_result(temporary, cell, record, seconds)
                fault("publish.before_rename")
                self._rename(temporary, target)
                sync_folder(self.runs)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return target

    def has(self, key: str) -> bool:
        """Whether a result with all its files in their right sizes is there."""
        return (self.runs / key / MANIFEST).is_file() and not problems(self.runs / key, hashes=False)

    def load(self, key: str) -> StageRecord:
        """The record of a published cell, hashed at the first load in this process; arrays are memory-mapped.

        A damaged result is quarantined, so that the next run does its cell again. Raises StoreError then, and when
        there is no such result.
        """
        found = self.problems(key)
        if found and (self.runs / key).is_dir():
            self.quarantine(key)
        return self.read(key, found)

    def problems(self, key: str, again: bool = False) -> tuple[Problem, ...]:
        """What hashing a result finds; a result this process has hashed is only measured, unless `again`."""
        folder = self.runs / key
        with guarded(folder):
            if not folder.is_dir():
                return (_absent(folder),)
            stamp = self._stamp(folder)
            found = problems(folder, hashes=again or stamp not in _verified)
            if not found:
                _verified.add(stamp)
            return found

    def read(self, key: str, found: tuple[Problem, ...]) -> StageRecord:
        """The record of a result that was just checked; raises StoreError with what was found."""
        if found:
            raise StoreError(found)
        with guarded(self.runs / key):
            return read_record(self.runs / key)

    def quarantine(self, key: str) -> Path:
        """Move a damaged result out of the way, so that its cell runs again; returns where it went."""
        folder = self.root / "quarantine"
        with guarded(folder):
            folder.mkdir(exist_ok=True)
            number = 1 + sum(1 for path in folder.iterdir() if path.name.startswith(key))
            target = folder / f"{key}-{number}"
            (self.runs / key).rename(target)
            sync_folder(self.runs)
        return target

    def _rename(self, temporary: Path, target: Path) -> None:
        try:
            temporary.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if problems(target, hashes=True):
                self.quarantine(target.name)
                temporary.rename(target)

    def _stamp(self, folder: Path) -> tuple[str, int]:
        manifest = folder / MANIFEST
        return str(folder), manifest.stat().st_mtime_ns if manifest.exists() else 0


def _absent(folder: Path) -> Problem:
    return Problem(
        str(folder),
        "expected a published result, found none",
        cause="the cell has not run, or its result was quarantined or removed",
        fix="run the study again; it does what is missing",
    )
