"""Studies share features: computed once, also at the same time; a damaged or missing cache changes no result."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import save_file

from limen.arrays.random import stream
from limen.records.cell import Cell
from limen.records.stage import StageRecord
from limen.store import Writer
from limen.study.features_cache import FeaturesCache
from limen.study.run import Options, open_study, run_study
from limen.verbs.inspect import verify


def cell(source: str = "torch", stage: str = "features", data: str = "77aa") -> Cell:
    return Cell(stage, "own · digits", {"encoder": {"source": source}, "data": data}, {})


class Counted:
    """A computation that notes in a file each time it runs, as a worker process would see it."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        self.folder, self.seconds = folder, seconds

    def __call__(self) -> StageRecord:
        (self.folder / f"ran-{os.getpid()}-{time.perf_counter_ns()}").touch()
        time.sleep(self.seconds)
        return StageRecord("features", 1, {"rows": 3}, {"features": np.arange(6, dtype=np.float32).reshape(3, 2)})

    @property
    def runs(self) -> int:
        return len(list(self.folder.glob("ran-*")))


@pytest.fixture
def cache(tmp_path: Path) -> FeaturesCache:
    return FeaturesCache(tmp_path / "cache" / "features")


def test_the_second_study_finds_what_the_first_computed(cache: FeaturesCache, tmp_path: Path) -> None:
    compute = Counted(tmp_path)
    first, second = (cache.record(cell(), compute) for _ in range(2))
    assert compute.runs == 1
    assert second.data == first.data
    assert np.array_equal(second.arrays["features"], first.arrays["features"])
    assert isinstance(second.arrays["features"], np.memmap)
    cache.record(cell(data="88bb"), compute)
    assert compute.runs == 2


@pytest.mark.parametrize(("source", "stage"), [("pixels", "features"), ("pretrain", "features"), ("torch", "fit")])
def test_cheap_features_and_other_stages_are_not_shared(
    source: str, stage: str, cache: FeaturesCache, tmp_path: Path
) -> None:
    compute = Counted(tmp_path)
    for _ in range(2):
        cache.record(cell(source, stage), compute)
    assert compute.runs == 2
    assert not cache.root.exists()


def test_two_at_once_compute_once(cache: FeaturesCache, tmp_path: Path) -> None:
    compute, spawn = Counted(tmp_path, seconds=0.5), multiprocessing.get_context("fork")
    both = [spawn.Process(target=cache.record, args=(cell(), compute)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    assert compute.runs == 1


def test_a_killed_process_leaves_no_lock(cache: FeaturesCache, tmp_path: Path) -> None:
    slow, quick = Counted(tmp_path, seconds=60.0), Counted(tmp_path)
    process = multiprocessing.get_context("fork").Process(target=cache.record, args=(cell(), slow))
    process.start()
    while not slow.runs:
        time.sleep(0.01)
    process.kill()
    process.join(30)
    assert cache.record(cell(), quick).data == {"rows": 3}
    assert quick.runs == 2


def test_a_damaged_entry_is_set_aside_and_computed_again(cache: FeaturesCache, tmp_path: Path) -> None:
    compute = Counted(tmp_path)
    cache.record(cell(), compute)
    stored = cache.root / "runs" / cell().key / "features.npy"
    stored.write_bytes(stored.read_bytes()[:-1])
    again = cache.record(cell(), compute)
    assert compute.runs == 2
    assert np.array_equal(again.arrays["features"], np.arange(6).reshape(3, 2))
    assert len(list((cache.root / "quarantine").iterdir())) == 1
    assert Writer(cache.root).has(cell().key)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    compute, cache = Counted(tmp_path), FeaturesCache(tmp_path / "cache")
    for _ in range(2):
        assert cache.record(cell(), compute).data == {"rows": 3}
    assert compute.runs == 2


def test_unfinished_folders_of_dead_processes_are_swept(cache: FeaturesCache) -> None:
    dead = cache.root / "runs" / f".tmp-{os.getpid()}-1-{'0' * 32}"
    dead.mkdir(parents=True)
    cache.sweep()
    assert not dead.exists()


def test_what_computing_raises_is_raised(cache: FeaturesCache) -> None:
    def fails() -> StageRecord:
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match="no such layer"):
        cache.record(cell(), fails)


@pytest.mark.torch
def test_a_second_study_of_one_machine_encodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = pytest.importorskip("limen.models.architectures.registry", exc_type=ImportError)
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))
    shape = {"name": "conv", "width": 4, "in_channels": 1, "image_size": 8}
    module = registry.build(shape)
    module.initialise(stream("test"))
    module.set_normalisation([0.3], [0.3])
    save_file({name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}, tmp_path / "w.safetensors")
    plain = {
        "name": "one",
        "encoder": {"own": {"source": "torch", "path": "w.safetensors", "architecture": shape}},
        "task": {"digits": {"train": "digits:test", "input": "image"}},
        "adapt": {"methods": ["mean-classifier"], "labels": [50], "seeds": 1},
    }
    (tmp_path / "one.toml").write_text(tomli_w.dumps(plain))
    first = run_study(tmp_path / "one.toml", Options(quiet=True))
    assert (first.run, first.failed) == (2, 0)
    (shared,) = (tmp_path / "cache" / "features" / "runs").iterdir()
    ours = open_study(tmp_path / "one.toml").plan.cells[shared.name]
    features = Writer(tmp_path / "one.limen").load(ours.key)
    cached = Writer(tmp_path / "cache" / "features").load(ours.key)
    assert np.array_equal(cached.arrays["features"], features.arrays["features"])

    # other features under the same key: if the second study has them, it did not encode
    marked = replace(features, arrays={"features": np.asarray(features.arrays["features"]) + 1})
    shutil.rmtree(shared)
    Writer(tmp_path / "cache" / "features").publish(ours, marked, 0.0)
    (tmp_path / "two.toml").write_text(tomli_w.dumps(plain | {"name": "two", "seed": 1}))
    second = run_study(tmp_path / "two.toml", Options(quiet=True))
    assert (second.cached, second.run, second.failed) == (0, 2, 0)
    found = Writer(tmp_path / "two.limen").load(ours.key).arrays["features"]
    assert np.array_equal(found, marked.arrays["features"])

    # without the cache both studies have what they need
    shutil.rmtree(tmp_path / "cache" / "features")
    assert verify(tmp_path / "one.toml").problems == ()
    assert run_study(tmp_path / "one.toml", Options(quiet=True)).cached == 2
