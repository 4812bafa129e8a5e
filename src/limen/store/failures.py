"""Cells whose last attempt failed: one small file each in `failures/`, durable, removed when the cell succeeds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from limen.records.cell import Cell
from limen.store.disk import guarded, replace_durably


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell whose last attempt failed."""

    key: str
    stage: str
    label: str
    attempts: int
    """Attempts that failed since the cell last succeeded."""
    reason: str


@dataclass(frozen=True, slots=True)
class Failures:
    """The folder of failures of one store."""

    folder: Path

    def record(self, cell: Cell, reason: str) -> Failure:
        """Count and keep one failed attempt. Raises StoreError when the disk refuses."""
        path = self._path(cell.key)
        with guarded(path):
            earlier = _read(path).attempts if path.exists() else 0
            failure = Failure(cell.key, cell.stage, cell.label, earlier + 1, reason)
            self.folder.mkdir(exist_ok=True)
            replace_durably(path, json.dumps(asdict(failure)).encode())
        return failure

    def forget(self, key: str) -> None:
        """The cell succeeded."""
        self._path(key).unlink(missing_ok=True)

    def all(self) -> tuple[Failure, ...]:
        """Every cell whose last attempt failed, by stage, label, key."""
        found = [_read(path) for path in self.folder.glob("*.json")]
        return tuple(sorted(found, key=lambda failure: (failure.stage, failure.label, failure.key)))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _read(path: Path) -> Failure:
    return Failure(**json.loads(path.read_bytes()))
