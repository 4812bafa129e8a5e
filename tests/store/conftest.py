"""A store on a fresh folder, a cell, and a record with arrays of every shape the format must keep."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from limen.records.cell import Cell
from limen.records.stage import StageRecord
from limen.store import Store, faults


@pytest.fixture(autouse=True)
def _fresh_fault_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_passed", {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "study.limen")


@pytest.fixture
def cell() -> Cell:
    identity = {"radius": 2.0, "data": {"train": "77aa", "labels": [10, "all"]}, "VERSION": 1}
    return Cell("fit", "minilm · banking77", identity, {"threads": 1}, {"features": "ab" * 32})


@pytest.fixture
def record() -> StageRecord:
    arrays = {
        "losses": np.arange(12.0).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "scalar": np.array(3.5),
        "text": np.array(["a", "bcd"]),
        "diverged": np.array([1.0, np.nan, np.inf]),
        "step-8/layer.weight": np.arange(8, dtype=np.float32)[::2],
        "step-8/bias": np.array(True),
        "step-16/layer.weight": np.arange(4, dtype=np.int64),
    }
    return StageRecord("fit", 3, {"loss": 0.1, "curve": [{"n": 1, "loss": None}], "ok": True}, arrays)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "limen-test", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small file system is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
