"""Cells whose last attempt failed: one small file each in `failures/`, durable, removed when the cell succeeds.

No result depends on them: a file that cannot be read counts as no failure known, and `doctor` names it.
"""

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
            earlier = _read(path)
            attempts = 1 + (earlier.attempts if earlier is not None else 0)
            failure = Failure(cell.key, cell.stage, cell.label, attempts, reason)
            self.folder.mkdir(exist_ok=True)
            replace_durably(path, json.dumps(asdict(failure)).encode())
        return failure

    def forget(self, key: str) -> None:
        """The cell succeeded. Raises StoreError when the disk refuses."""
        with guarded(self._path(key)):
            self._path(key).unlink(missing_ok=True)

    def all(self) -> tuple[Failure, ...]:
        """Every cell whose last attempt failed, by stage, label, key."""
        found = [failure for path in self._paths() if (failure := _read(path)) is not None]
        return tuple(sorted(found, key=lambda failure: (failure.stage, failure.label, failure.key)))

    def unreadable(self) -> tuple[Path, ...]:
        """Files that should hold a failure and do not: damaged, edited, or not readable by this user."""
        return tuple(path for path in self._paths() if path.exists() and _read(path) is None)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _read(path: Path) -> Failure | None:
    """The failure in a file; None where there is none, or none that can be read."""
    try:
        failure = Failure(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    texts = (failure.key, failure.stage, failure.label, failure.reason)
    return failure if all(isinstance(t, str) for t in texts) and type(failure.attempts) is int else None
