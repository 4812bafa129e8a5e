"""A killed run goes on where it was and gives the same bits; what cannot be used is set aside, never believed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limen.pretrain.distributed import pretrain_together  # noqa: E402
from limen.pretrain.place import Place  # noqa: E402
from limen.pretrain.run import Around, pretrain  # noqa: E402
from limen.pretrain.state import FILE  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = {
    "data": "digits:train",
    "heldout": 0.1,
    "architecture": {"name": "conv", "width": 4},
    "steps": 60,
    "batch_size": 32,
    "checkpoints": 5,
    "evaluation": {"draws": 1, "training_batches": 2},
}


def _bits(record):
    digest = hashlib.sha256()
    for name in sorted(record.arrays):
        digest.update(name.encode() + np.ascontiguousarray(record.arrays[name]).tobytes())
    digest.update(repr({key: value for key, value in record.data.items() if key != "seconds"}).encode())
    return digest.hexdigest()


CODE = """
import json, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from test_state import Around, Place, _bits, pretrain
print(_bits(pretrain(json.loads(sys.argv[1]), around=Around(Place(Path(sys.argv[2]), "run", 0.0)))), flush=True)
"""


def _start(spec, folder):
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-c", CODE, json.dumps(spec), str(folder), here]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _killed(spec, folder):
    """Whether a run was killed after it had written its state at least once more."""
    before = (folder / FILE).stat().st_mtime_ns if (folder / FILE).exists() else 0
    deadline = time.monotonic() + 120
    with _start(spec, folder) as process:
        while time.monotonic() < deadline and process.poll() is None:
            if (folder / FILE).exists() and (folder / FILE).stat().st_mtime_ns > before:
                process.send_signal(signal.SIGKILL)
                return True
            time.sleep(0.005)
    return False


@pytest.mark.parametrize(
    "optimizer", [{"name": "sgd", "momentum": 0.9}, {"name": "adam", "learning_rate": 1e-3}], ids=["sgd", "adam"]
)
def test_a_run_that_was_killed_gives_the_same_bits(tmp_path, optimizer):
    spec = {**QUICK, "optimizer": optimizer}
    whole = _bits(pretrain(spec))
    assert [_killed(spec, tmp_path) for _ in range(2)] == [True, True]
    with _start(spec, tmp_path) as last:
        told, _ = last.communicate(timeout=300)
    assert told.strip() == whole


def test_a_state_is_taken_up_where_it_was(tmp_path):
    place = Place(tmp_path, "run", 0.0)
    spec = {**QUICK, "steps": 20, "checkpoints": [0, 10, 20]}
    first = pretrain(spec, around=Around(place))
    written = (tmp_path / FILE).stat().st_mtime_ns
    again = pretrain(spec, around=Around(place))  # every update was made already
    assert _bits(again) == _bits(first)
    assert (tmp_path / FILE).stat().st_mtime_ns == written
    names = ["kept-000000.safetensors", "kept-000010.safetensors", "kept-000020.safetensors", FILE]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("damage", ["truncated", "other run", "garbage", "no checkpoint", "half written"])
def test_what_cannot_be_used_is_set_aside(tmp_path, damage, capfd):
    whole = _bits(pretrain(QUICK))
    place = Place(tmp_path, "run", 0.0)
    pretrain({**QUICK, "steps": 20, "checkpoints": [0, 10, 20]}, around=Around(place))
    if damage == "half written":
        (tmp_path / FILE).rename(tmp_path / f"{FILE}.part-1")
    elif damage == "no checkpoint":
        (tmp_path / "kept-000010.safetensors").unlink()
    elif damage != "other run":
        content = (tmp_path / FILE).read_bytes()
        (tmp_path / FILE).write_bytes(content[: len(content) // 2] if damage == "truncated" else b"\0" * 100)
    if damage == "other run":
        place = Place(tmp_path, "another", 1e9)
    record = pretrain(QUICK, around=Around(place))
    assert _bits(record) == whole
    assert (tmp_path / f"{FILE}.unusable").exists() == (damage != "half written")
    assert ("unusable" in capfd.readouterr().out) == (damage != "half written")


def test_two_processes_make_the_updates_of_one():
    spec = {**QUICK, "steps": 6, "checkpoints": [0, 6], "accumulation": 2}
    one, two = pretrain(spec), pretrain_together({**spec, "processes": 2})
    assert one.arrays.keys() == two.arrays.keys()
    scale = max(np.abs(a).max() for a in one.arrays.values())
    assert max(np.abs(one.arrays[n] - two.arrays[n]).max() for n in one.arrays) < 1e-5 * scale
    losses = [np.array(record.data["trace"]["loss"]) for record in (one, two)]
    assert np.abs(losses[0] - losses[1]).max() < 1e-5
    assert one.data["loss_name"] == two.data["loss_name"]
    alone = pretrain({**spec, "accumulation": 1})
    assert max(np.abs(one.arrays[n] - alone.arrays[n]).max() for n in one.arrays) > 1e-3 * scale  # fewer negatives


def test_errors_of_the_processes_are_those_of_one():
    spec = {**QUICK, "accumulation": 2, "processes": 2, "heldout": 0.001}
    with pytest.raises(BadInput) as caught:
        pretrain_together(spec)
    assert [problem.where for problem in caught.value.problems] == ["heldout"]


def test_batch_statistics_are_not_shared():
    spec = {**QUICK, "architecture": {"name": "resnet18", "width": 4}, "accumulation": 2, "processes": 2}
    with pytest.raises(BadInput, match="without batch statistics"):
        pretrain_together(spec)
