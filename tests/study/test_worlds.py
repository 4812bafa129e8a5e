"""Worlds as tables of a study: rows, columns, a hash; a run on one says how far it is above its least loss."""

from __future__ import annotations

import pytest

from limen.data.worlds.pretraining.names import SOURCES
from limen.measure.pretraining import pretraining_checkpoints
from limen.study.files import Files
from limen.study.overlap import _bundled


def test_every_world_is_a_table_with_a_hash_of_its_own(tmp_path):
    files = Files(tmp_path)
    hashes = {name: files.hash(name) for name in SOURCES}
    assert len(set(hashes.values())) == len(SOURCES)
    assert all(len(value) == 64 for value in hashes.values())
    assert all(files.table(name) == name and files.describe(name).rows > 0 for name in SOURCES)
    assert {files.hash(name) for name in SOURCES} == set(hashes.values())


def test_two_tables_of_a_world_are_two_tables_and_the_digits_are_one_bundle():
    assert not _bundled("world:overlap", "world:overlap:heldout")
    assert not _bundled("digits", "world:overlap")
    assert _bundled("digits", "digits:train")


@pytest.mark.torch
def test_a_run_on_a_world_reports_its_optimization_gap():
    pytest.importorskip("torch")
    from limen.pretrain.run import pretrain

    spec = {
        "data": "world:two-classes",
        "heldout": "world:two-classes:heldout",
        "objective": {"name": "contrastive", "pairs": "label", "augmentation": "none"},
        "architecture": {"name": "mlp", "hidden": [16]},
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "steps": 300,
        "batch_size": 16,
        "checkpoints": [0, 300],
    }
    first, last = pretraining_checkpoints(pretrain(spec), "scratch#0")
    assert first.pretraining_optimization_gap.value > 0.2
    assert last.pretraining_optimization_gap.value < first.pretraining_optimization_gap.value / 2
    plain = pretraining_checkpoints(pretrain({**spec, "data": "digits:train", "heldout": 0.1, "steps": 2,
                                              "checkpoints": [2], "objective": "nt-xent"}), "a#0")  # fmt: skip
    assert plain[0].pretraining_optimization_gap.state == "not_identified"
    assert "unknown" in plain[0].pretraining_optimization_gap.reason
