"""A disk that refuses is named: path, errno, bytes needed and free, next step; and nothing published is lost."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from limen.records.cell import Cell
from limen.records.errors import StoreError
from limen.records.stage import StageRecord
from limen.store import Store


def numbered(number: int) -> Cell:
    return Cell("fit", str(number), {"number": number}, {})


def test_a_full_disk_keeps_what_was_published_and_says_what_it_needs(small_disk: Path) -> None:
    store, record = Store(small_disk / "x.limen"), StageRecord("fit", 1, {}, {"a": np.ones(20_000)})

    def fill() -> None:
        for number in range(9):
            store.publish(numbered(number), record, 1.0)

    with store.coordinate():
        with pytest.raises(StoreError, match=r"Errno 28 ENOSPC.*needs 160.0 kB, .* free") as caught:
            fill()
        assert caught.value.exit_code == 3
        assert "run the same command again" in str(caught.value)
        assert not [path for path in (store.root / "runs").iterdir() if path.name.startswith(".tmp")]
    published = {row.key for row in store.rows()}
    assert 0 < len(published) < 9
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    with store.coordinate() as recovery:
        assert str(recovery) == ""
        assert {row.key for row in store.rows()} == published
        fill()
        assert [store.verify(row.key) for row in store.rows()] == [()] * 9


def test_a_ledger_on_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    store, record = Store(small_disk / "x.limen"), StageRecord("fit", 1, {})
    with store.coordinate():
        store.publish(numbered(0), record, 1.0)
        folder = store.writer.publish(numbered(1), record, 1.0)
        free = os.statvfs(small_disk)
        (small_disk / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize))
        with pytest.raises(StoreError, match=r"SQLITE_(FULL|IOERR)"):
            store.adopt(folder.name)
    (small_disk / "filler").unlink()
    with store.coordinate() as recovery:
        assert recovery.adopted == (folder.name,)
    assert len(store.rows()) == 2


@pytest.mark.parametrize("point", ["publish.before_manifest", "publish.before_rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_any_refusal_within_a_publish_leaves_nothing_behind(
    store: Store, cell: Cell, record: StageRecord, monkeypatch: pytest.MonkeyPatch, point: str, number: int
) -> None:
    monkeypatch.setenv("LIMEN_FAULT", f"{point}:{errno.errorcode[number]}:2")
    with store.coordinate():
        store.publish(numbered(1), record, 1.0)
        with pytest.raises(StoreError, match=rf"Errno {number} {errno.errorcode[number]}"):
            store.publish(cell, record, 1.0)
        assert [path.name for path in (store.root / "runs").iterdir()] == [numbered(1).key]
        store.publish(cell, record, 1.0)
        assert len(store.rows()) == 2


def test_a_file_in_the_place_of_the_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.limen").write_text("not a folder")
    with pytest.raises(StoreError, match=r"x\.limen.*Errno"), Store(tmp_path / "x.limen").coordinate():
        pass


def test_a_read_only_disk_is_refused_and_can_still_be_read(small_disk: Path, record: StageRecord) -> None:
    store = Store(small_disk / "x.limen")
    with store.coordinate():
        store.publish(numbered(0), record, 1.0)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match="Errno 30 EROFS"), store.coordinate():
        pass
    assert len(store.rows()) == 1
    assert store.load(numbered(0).key, verify=True).data == record.data
