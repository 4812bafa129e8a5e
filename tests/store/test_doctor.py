"""The doctor names what depends on damage, changes nothing, and imports no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from limen.arrays.thread_check import ThreadCheck
from limen.records.cell import Cell
from limen.records.stage import StageRecord
from limen.store import Store
from limen.store.doctor import doctor


def test_damage_is_listed_with_the_results_that_rest_on_it(store: Store, record: StageRecord) -> None:
    below = Cell("features", "minilm", {"x": 1}, {})
    above = Cell("fit", "minilm · banking77", {"x": 2}, {}, {"features": below.key})
    with store.coordinate():
        folder = store.publish(below, record, 1.0)
        store.publish(above, record, 1.0)
    assert not [p for p in doctor(store.root).problems if "sha256" in p.what]
    content = bytearray((folder / "losses.npy").read_bytes())
    content[-1] ^= 1
    (folder / "losses.npy").write_bytes(content)
    report = doctor(store.root)
    (problem,) = [p for p in report.problems if "sha256" in p.what]
    assert problem.where.endswith("losses.npy")
    assert "minilm · banking77 (fit)" in problem.cause
    assert folder.is_dir()
    assert report.store is not None
    assert (report.store.results, report.store.failures, report.store.holder) == (2, 0, "")
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["schema"] == "limen.doctor/1"


def test_a_truncated_result_is_listed_without_a_ledger(store: Store, cell: Cell, record: StageRecord) -> None:
    with store.coordinate():
        folder = store.publish(cell, record, 1.0)
    (store.root / "ledger.sqlite").unlink()
    os.truncate(folder / "losses.npy", 5)
    (problem,) = [p for p in doctor(store.root).problems if p.where.endswith("losses.npy")]
    assert "found 5" in problem.what


@pytest.mark.parametrize("content", [b"", b"{broken", b"[]", b'{"key": 1}', b"\xff\xfe", b"null"])
def test_an_unreadable_failure_is_no_failure_known_and_named(
    store: Store, cell: Cell, record: StageRecord, content: bytes
) -> None:
    other = Cell("fit", "other", {"x": 2}, {})
    path = store.root / "failures" / f"{cell.key}.json"
    with store.coordinate():
        assert store.fail(other, "no rows").attempts == 1
        assert [store.fail(cell, "no rows").attempts for _ in range(2)] == [1, 2]
        path.write_bytes(content)
        assert [failure.key for failure in store.failures()] == [other.key]
        assert store.unreadable_failures() == (path,)
        assert store.explain(cell).state == "new"
        report = doctor(store.root)
        assert report.store is not None
        assert report.store.failures == 1
        assert [p.where for p in report.problems if "failed cell" in p.what] == [str(path)]
        assert store.fail(cell, "again").attempts == 1
        path.write_bytes(content)
    with store.coordinate():
        store.publish(cell, record, 1.0)
    assert store.unreadable_failures() == ()
    assert not path.exists()


def test_no_torch() -> None:
    code = "import sys; from limen.store.doctor import doctor; doctor(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_doctor_times_a_product_and_warns_where_threads_slow_it(monkeypatch):
    found = doctor()
    said = found.to_json()["product"]
    assert set(said) == {"threads", "one", "configured", "slowed", "finding"}
    assert said["one"] > 0
    assert said["finding"] == found.product.text()
    slow = replace(found, product=ThreadCheck(8, 0.001, 0.5))
    assert "warning    a product takes 1.0 ms on 1 thread, 500.0 ms on the 8" in slow.text()
    assert "warning" not in replace(found, product=ThreadCheck(8, 0.001, 0.0005)).text()
