"""The ledger: one SQLite file listing what the folders hold, so that a question about a thousand cells reads one file.

Only the coordinator writes it (rollback journal, synchronous=FULL: a committed row survives a power loss). It can be
deleted at any time: every row is a function of a manifest.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limen.records.errors import Problem, StoreError
from limen.records.units import human
from limen.store.disk import free_bytes
from limen.store.faults import fault
from limen.store.files import Manifest

SCHEMA = 1
_TABLES = """
CREATE TABLE runs (
  key TEXT PRIMARY KEY, stage TEXT NOT NULL, label TEXT NOT NULL, version INTEGER NOT NULL, seconds REAL NOT NULL,
  bytes INTEGER NOT NULL, identity TEXT NOT NULL, environment TEXT NOT NULL) STRICT;
CREATE TABLE needs (
  key TEXT NOT NULL REFERENCES runs(key) ON DELETE CASCADE, input TEXT NOT NULL, needed TEXT NOT NULL,
  PRIMARY KEY (key, input)) STRICT;
"""


class LedgerDamaged(StoreError):
    """The ledger cannot be read; the next coordinator sets it aside and rebuilds it from the folders."""

    def __init__(self, path: Path, said: str) -> None:
        cause = "the file was damaged or edited; it is only a list, and every published result is kept"
        fix = "run the same command again: the ledger is made anew from the results"
        super().__init__(Problem(str(path), f"expected a sound ledger; {said}", cause, fix))


@dataclass(frozen=True, slots=True)
class Row:
    """One published result."""

    key: str
    stage: str
    label: str
    version: int
    seconds: float
    bytes: int
    identity: Mapping[str, Any]
    needs: Mapping[str, str]
    environment: Mapping[str, Any]


def row(manifest: Manifest) -> Row:
    """The ledger's row of a result."""
    fields = ("key", "stage", "label", "version", "seconds", "bytes", "identity", "needs", "environment")
    return Row(**{field: getattr(manifest, field) for field in fields})


class Ledger:
    """An open ledger. Raises LedgerDamaged for a file that is no sound database, StoreError for a newer schema."""

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}", uri=True, timeout=30
            )
        except sqlite3.OperationalError as error:
            raise StoreError(self._refusal(error)) from error
        try:
            with self._guarded():
                self._prepare(create)
        except BaseException:
            self._db.close()
            raise

    def add(self, *rows: Row) -> None:
        """List results, durably, in one transaction."""
        with self._guarded(), self._db:
            for row in rows:
                plain = (row.key, row.stage, row.label, row.version, row.seconds, row.bytes)
                documents = (json.dumps(row.identity), json.dumps(row.environment))
                self._db.execute("DELETE FROM runs WHERE key = ?", (row.key,))
                self._db.execute("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?)", (*plain, *documents))
                needs = [(row.key, name, needed) for name, needed in row.needs.items()]
                self._db.executemany("INSERT INTO needs VALUES (?,?,?)", needs)
            fault("ledger.before_commit")

    def remove(self, *keys: str) -> None:
        """Stop listing results."""
        with self._guarded(), self._db:
            self._db.executemany("DELETE FROM runs WHERE key = ?", [(key,) for key in keys])

    def keys(self) -> set[str]:
        """Keys of all listed results."""
        with self._guarded():
            return {key for (key,) in self._db.execute("SELECT key FROM runs")}

    def rows(self) -> tuple[Row, ...]:
        """All listed results by stage, label, key."""
        with self._guarded():
            needs: dict[str, dict[str, str]] = {}
            for key, name, needed in self._db.execute("SELECT key, input, needed FROM needs ORDER BY rowid"):
                needs.setdefault(key, {})[name] = needed
            found = self._db.execute("SELECT * FROM runs ORDER BY stage, label, key").fetchall()
        return tuple(_row(fields, needs.get(fields[0], {})) for fields in found)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _prepare(self, create: bool) -> None:
        self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        (schema,) = self._db.execute("PRAGMA user_version").fetchone()
        if schema > SCHEMA:
            raise StoreError(
                Problem(
                    str(self.path),
                    f"expected ledger schema {SCHEMA}, got {schema}",
                    cause="a newer Limen wrote this store; nothing was changed",
                    fix="update Limen (pip install -U limen) or choose another store (--store)",
                )
            )
        if self._db.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise LedgerDamaged(self.path, "its pages do not fit together")
        if schema == 0 and create:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(self._refusal(error)) from error
        except sqlite3.DatabaseError as error:
            raise LedgerDamaged(self.path, str(error)) from error

    def _refusal(self, error: sqlite3.OperationalError) -> Problem:
        room = free_bytes(self.path)
        size = "" if room is None else f"; {human(room)} free"
        return Problem(
            str(self.path),
            f"{error} ({error.sqlite_errorname}){size}",
            cause="the disk refused the ledger; every published result is kept and will be listed at the next run",
            fix="free space or make the folder writable, then run the same command again",
        )


def _row(fields: tuple[Any, ...], needs: Mapping[str, str]) -> Row:
    key, stage, label, version, seconds, size, identity, environment = fields
    return Row(key, stage, label, version, seconds, size, json.loads(identity), needs, json.loads(environment))
