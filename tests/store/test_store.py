"""What is published is there, bit for bit, however the process or the ledger ended; what is damaged is never loaded."""

from __future__ import annotations

import os
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from limen.records.cell import Cell
from limen.records.errors import StoreError
from limen.records.stage import StageRecord
from limen.store import Store


def other(cell: Cell, **changes: object) -> Cell:
    return Cell(cell.stage, cell.label, {**cell.identity, **changes}, cell.spec, cell.needs)


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_record_comes_back_bit_for_bit(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        folder = store.publish(cell, record, seconds=1.25)
    loaded = Store(store.root).load(cell.key, verify=True)
    assert folder == store.root / "runs" / cell.key
    assert (loaded.kind, loaded.version, loaded.data) == (record.kind, record.version, record.data)
    assert list(loaded.arrays) == list(record.arrays)
    for name, array in record.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert loaded.arrays[name].shape == array.shape
        assert loaded.arrays[name].tobytes() == array.tobytes()


def test_arrays_are_memory_mapped_and_read_only(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        store.publish(cell, record, 1.0)
    losses = store.load(cell.key).arrays["losses"]
    assert isinstance(losses, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        losses[0, 0] = 1.0


def test_a_row_says_what_the_cell_was_and_what_it_cost(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        assert store.publish(cell, record, 1.25).is_dir()
        assert store.has(cell.key)
    (row,) = store.rows()
    assert (row.key, row.stage, row.label, row.version, row.seconds) == (cell.key, "fit", cell.label, 3, 1.25)
    assert (row.identity, row.needs) == (cell.identity, cell.needs)
    assert row.bytes == sum(f.stat().st_size for f in (store.root / "runs" / cell.key).iterdir() if f.name[0] != "M")
    assert row.environment["versions"]["numpy"] == np.__version__


def test_publishing_a_published_cell_changes_nothing(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        store.publish(cell, record, 1.0)
        before = {path: path.stat().st_mtime_ns for path in (store.root / "runs").rglob("*")}
        store.publish(cell, record, 99.0)
    assert {path: path.stat().st_mtime_ns for path in (store.root / "runs").rglob("*")} == before
    assert store.rows()[0].seconds == 1.0


@pytest.mark.parametrize("way", ["deleted", "overwritten", "emptied"])
def test_a_lost_ledger_is_rebuilt_with_identical_rows(store: Store, cell: Cell, record: StageRecord, way: str) -> None:
    with store.coordinate():
        for radius in (1.0, 2.0, 3.0):
            store.publish(other(cell, radius=radius), record, radius)
    rows, path = store.rows(), store.root / "ledger.sqlite"
    if way == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"no database" * 999 if way == "overwritten" else b"")
    assert store.rows() == rows  # a reader looks at the folders
    with store.coordinate() as recovery:
        assert len(recovery.adopted) == 3
        assert str(recovery) == "3 results recovered from disk"
    assert path.stat().st_size > 0
    assert store.rows() == rows
    assert (way == "overwritten") == bool(list(store.root.glob("ledger.sqlite.damaged-1")))


def test_rebuild_equals_the_ledger_that_grew(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        for radius in (1.0, 2.0):
            store.publish(other(cell, radius=radius), record, radius)
        rows = store.rows()
        assert sorted(store.rebuild().adopted) == sorted(row.key for row in rows)
        assert store.rows() == rows


@pytest.mark.parametrize("file", ["losses.npy", "step-8.safetensors", "record.json", "MANIFEST.json"])
def test_a_flipped_bit_is_never_loaded_and_the_cell_runs_again(
    store: Store, cell: Cell, record: StageRecord, file: str
) -> None:
    with store.coordinate():
        store.publish(cell, record, 1.0)
    flip(store.root / "runs" / cell.key / file, at=-3)
    with pytest.raises(StoreError, match=file):
        store.load(cell.key, verify=True)
    with store.coordinate():
        assert any(file in problem.where for problem in store.verify(cell.key))
        assert not store.has(cell.key)
        assert store.rows() == ()
        assert (store.root / "quarantine" / f"{cell.key}-1" / file).exists()
        store.publish(cell, record, 1.0)
        assert store.verify(cell.key) == ()


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_wrong_sizes_show_without_hashing(store: Store, cell: Cell, record: StageRecord, damage: str) -> None:
    with store.coordinate():
        folder = store.publish(cell, record, 1.0)
    path = folder / "losses.npy"
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5])
    assert not store.has(cell.key)
    found = "found none" if damage == "missing" else f"found {size - 5}"
    with pytest.raises(StoreError, match=rf"expected (a file of )?{size} bytes, {found}"):
        store.load(cell.key)
    with store.coordinate():  # the cell runs again: its publish puts the damaged one aside
        store.publish(cell, record, 2.0)
        assert store.verify(cell.key) == ()
    assert store.rows()[0].seconds == 2.0


def test_a_worker_puts_a_damaged_input_aside(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        folder = store.publish(cell, record, 1.0)
    flip(folder / "losses.npy")
    with pytest.raises(StoreError, match="sha256"):
        store.writer.load(cell.key)
    assert not store.has(cell.key)
    with store.coordinate() as recovery:
        assert recovery.vanished == (cell.key,)


def test_a_result_under_a_wrong_key_is_refused(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        folder = store.publish(cell, record, 1.0)
    folder.rename(folder.with_name("0" * 64))
    with store.coordinate() as recovery:
        assert recovery.quarantined == ("0" * 64,)
        assert store.rows() == ()


def test_a_missing_result_names_the_next_step(store: Store, cell: Cell) -> None:
    with pytest.raises(StoreError, match="run the study again"):
        store.load(cell.key)


def test_a_newer_ledger_or_manifest_is_refused_and_left_alone(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        folder = store.publish(cell, record, 1.0)
    manifest = folder / "MANIFEST.json"
    manifest.write_text(manifest.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(StoreError, match="newer Limen"):
        store.load(cell.key, verify=True)
    database = sqlite3.connect(store.root / "ledger.sqlite")
    database.execute("PRAGMA user_version=2")
    database.close()
    with pytest.raises(StoreError, match="newer Limen"), store.coordinate():
        pass
    with pytest.raises(StoreError, match="newer Limen"):
        store.rows()
    assert folder.is_dir()


def test_failures_are_counted_until_the_cell_succeeds(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        store.fail(cell, "lost (signal 9)")
        store.fail(cell, "out of memory")
    (failure,) = store.failures()
    assert (failure.key, failure.attempts, failure.reason) == (cell.key, 2, "out of memory")
    assert store.explain(cell).state == "failed"
    (store.root / "ledger.sqlite").unlink()
    assert store.failures() == (failure,)
    with store.coordinate():
        store.publish(cell, record, 1.0)
    assert store.failures() == ()


def test_gc_keeps_what_it_is_told_to_keep(store: Store, cell: Cell, record: StageRecord) -> None:
    cells = [other(cell, radius=radius) for radius in (1.0, 2.0, 3.0)]
    with store.coordinate():
        for each in cells:
            store.publish(each, record, 1.0)
        freed = store.gc({cells[1].key})
        assert freed.results == 2
        assert freed.bytes > 2 * store.rows()[0].bytes
        assert [row.key for row in store.rows()] == [cells[1].key]
    assert [path.name for path in (store.root / "runs").iterdir()] == [cells[1].key]


def test_dependents_are_followed_through_others(store: Store, record: StageRecord) -> None:
    a = Cell("features", "a", {"x": 1}, {})
    b = Cell("fit", "b", {"x": 2}, {}, {"features": a.key})
    c = Cell("budget", "c", {"x": 3}, {}, {"fit": b.key})
    with store.coordinate():
        for cell in (a, b, c, Cell("fit", "apart", {"x": 4}, {})):
            store.publish(cell, record, 1.0)
    assert {row.label for row in store.dependents(a.key)} == {"b", "c"}


def test_explain_names_the_fields_that_changed(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        store.publish(cell, record, 1.0)
        store.publish(other(cell, radius=9.0, data={"train": "00"}), record, 1.0)
    stale = store.explain(other(cell, radius=4.0))
    assert (stale.state, stale.nearest) == ("stale", cell.key)
    assert [(d.field, d.stored, d.wanted) for d in stale.differences] == [("radius", 2.0, 4.0)]
    assert "radius: 2.0 → 4.0" in str(stale)
    added = store.explain(other(cell, momentum=0.9))
    assert [(d.field, d.stored) for d in added.differences] == [("momentum", "(absent)")]
    assert store.explain(cell).state == "published"
    assert store.explain(Cell("pretrain", "x", {}, {})).state == "new"


def test_writing_needs_the_lock(store: Store, cell: Cell) -> None:
    with pytest.raises(RuntimeError, match="coordinate"):
        store.fail(cell, "no lock")


def test_opening_and_reading_touch_nothing(store: Store) -> None:
    assert (store.rows(), store.failures(), store.unlisted(), store.holder()) == ((), (), frozenset(), None)
    assert not store.root.exists()


def test_a_writer_travels_to_workers(store: Store, cell: Cell, record: StageRecord) -> None:
    publish = pickle.loads(pickle.dumps(store.writer.publish))
    publish(cell, record, 1.0)
    assert store.unlisted() == {cell.key}
    with store.coordinate() as recovery:
        assert str(recovery) == "1 result recovered from disk"


def test_a_publish_is_on_disk_before_its_name_is(
    store: Store, cell: Cell, record: StageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and folder are synced before the rename, the parent after it: the order that survives a power loss."""
    calls: list[tuple[str, str]] = []
    sync, rename = os.fsync, Path.rename

    def synced(handle: int) -> None:
        calls.append(("fsync", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        calls.append(("rename", target.name))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    folder = store.writer.publish(cell, record, 1.0)
    files = {path.name for path in folder.iterdir()}
    names = [name for call, name in calls if call == "fsync"]
    assert set(names[: len(files)]) == files
    assert names[len(files) - 1] == "MANIFEST.json"
    assert names[len(files)].startswith(".tmp-")
    assert calls[len(files) + 1 :] == [("rename", cell.key), ("fsync", "runs")]


def test_foreign_files_are_left_alone(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        store.publish(cell, record, 1.0)
    (store.root / "runs" / "notes.txt").write_text("mine")
    with store.coordinate() as recovery:
        assert str(recovery) == ""
    assert [row.key for row in store.rows()] == [cell.key]
    assert (store.root / "runs" / "notes.txt").read_text() == "mine"


def test_a_ledger_damaged_while_it_is_held_is_a_refusal_and_the_next_run_rebuilds_it(
    store: Store, cell: Cell, record: StageRecord
) -> None:
    other = Cell("fit", "other", {"x": 1}, {})
    with store.coordinate():
        store.publish(cell, record, 1.0)
        content = bytearray((store.root / "ledger.sqlite").read_bytes())
        content[24:] = b"\xff" * (len(content) - 24)  # from its change counter on, or SQLite trusts its cache
        (store.root / "ledger.sqlite").write_bytes(content)
        with pytest.raises(StoreError, match=r"ledger\.sqlite: error: expected a sound ledger"):
            store.publish(other, record, 1.0)
    with store.coordinate() as recovery:
        assert recovery.rebuilt
        assert {row.key for row in store.rows()} == {cell.key, other.key}


def test_a_sweep_that_the_disk_refuses_is_a_store_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.coordinate():
        pass

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StoreError, match="EACCES"):
        store.sweep()
