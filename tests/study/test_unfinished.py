"""A study that was killed inside a pretraining run goes on inside it, with the same bits, and cleans up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limen.pretrain.place import Place
from limen.store import Store
from limen.study import unfinished
from limen.study.run import Options, run_study

pytest.importorskip("torch")
pytestmark = pytest.mark.torch
STUDY = """
name = "s"
[encoder.scratch]
source = "pretrain"
data = "digits:train"
heldout = 0.2
architecture = { name = "conv", width = 4 }
steps = 150
batch_size = 32
checkpoints = 3
evaluation = { draws = 1, training_batches = 2 }
[task.digits]
train = "digits:test"
input = "image"
encoders = ["scratch"]
[adapt]
methods = ["mean-classifier"]
labels = ["all"]
"""


def _weights(root: Path) -> dict[str, bytes]:
    store = Store(root)
    keys = [row.key for row in store.rows() if row.stage == "pretrain"]
    assert len(keys) == 1
    return {name: array.tobytes() for name, array in store.load(keys[0]).arrays.items()}


def test_a_killed_study_goes_on_inside_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))
    whole, cut = tmp_path / "whole.toml", tmp_path / "cut.toml"
    whole.write_text(STUDY)
    cut.write_text(STUDY)
    assert run_study(whole, Options(quiet=True)).failed == 0
    code = f"from limen.study.run import Options, run_study\nrun_study({str(cut)!r}, Options(quiet=True))"
    environment = {**os.environ, "LIMEN_STATE_SECONDS": "0"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(tmp_path.glob("cut.limen/training/*/training.safetensors")):
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    states = list(tmp_path.glob("cut.limen/training/*/training.safetensors"))
    assert len(states) == 1
    time.sleep(0.5)  # the worker notices that its coordinator is gone
    assert run_study(cut, Options(quiet=True)).failed == 0
    assert _weights(tmp_path / "cut.limen") == _weights(tmp_path / "whole.limen")
    assert list(tmp_path.glob("cut.limen/training/*")) == []


def test_only_runs_have_a_place(tmp_path):
    from limen.records.cell import Cell

    seen = []
    states = unfinished.Unfinished(tmp_path, lambda cell, compute: compute())
    for stage in ("pretrain", "features", "fit"):
        cell = Cell(stage, "a", {"stage": stage}, {}, {}, 1.0)
        states.record(cell, lambda: seen.append(unfinished.place()))
        assert unfinished.place() is None
    first, second, third = seen
    assert isinstance(first, Place)
    assert first.folder.parent == tmp_path
    assert (second, third) == (None, None)
