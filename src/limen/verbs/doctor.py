"""`limen doctor`: this machine, the libraries and their threads, and a store."""

from __future__ import annotations

from pathlib import Path

from limen.records.errors import BadInput, Problem
from limen.store.doctor import DoctorReport
from limen.store.doctor import doctor as examine

__all__ = ["DoctorReport", "doctor"]


def doctor(store: str | Path | None = None) -> DoctorReport:
    """Facts of this machine that numbers depend on; with `store`, every byte of its results is hashed. Changes nothing.

    Raises BadInput where there is no store, StoreError for a store of a newer Limen.

    >>> doctor().to_json()["schema"]
    'limen.doctor/1'
    """
    if store is not None and not Path(store).is_dir():
        raise BadInput(Problem(str(store), "there is no store here", fix="name the folder NAME.limen beside a study"))
    return examine(None if store is None else Path(store))
