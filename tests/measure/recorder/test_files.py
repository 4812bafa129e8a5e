"""Files: what is written reads back, thinning keeps to the disk that was promised, foreign folders are named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from limen.measure.recorder.forecast import forecast, row_kept, sketch_kept
from limen.measure.recorder.info import from_document, read_info, to_document
from limen.measure.recorder.read import read_run
from limen.measure.recorder.rows import Row, Rows
from limen.measure.recorder.scalars import Scalars
from limen.measure.recorder.shards import Shard, read_rows, shards, write_rows
from limen.records.errors import BadInput
from limen.records.trajectory import OptimizerSettings, RunInfo, Segment, SelfTest

SAID = OptimizerSettings("SGD", 0.1, 0.9, 0.0, False, (0.0, 0.1), False, False)
INFO = RunInfo(
    optimizer=SAID,
    batch_size=32,
    sampling="iid",
    examples=None,
    parameters=10,
    left_out=0,
    approximate="",
    segments=(Segment(1, 9, SAID, 32, varying=False),),
    sketch_dimension=64,
    sketch_seed=0,
    eigenvalues=(2.0, 1.0),
    steps=9,
    not_finite=0,
    skipped=0,
    damaged=0,
    resumed=(3,),
    ended=True,
    self_tests=(SelfTest(9, "drift", 0.1, 0.2),),
)
RESNET18 = 11_173_962


def test_rows_of_every_kind_read_back(tmp_path):
    rng = np.random.default_rng(0)
    columns = {
        "step": np.arange(5),
        "loss": rng.random(5),
        "positions": rng.random((5, 3), dtype=np.float32),
        "excluded": np.zeros(5, dtype=np.uint8),
        "nothing": np.zeros((5, 0)),
    }
    shard = Shard("steps", 2, 1, 5)
    write_rows(tmp_path, shard, columns)
    assert shards(tmp_path, "steps") == [shard]
    assert shards(tmp_path, "sketch") == []
    found = read_rows(tmp_path, shard)
    assert set(found) == {"step", "loss", "positions", "excluded"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, columns[name])


def test_info_survives_its_document():
    document = json.loads(json.dumps(to_document(INFO), allow_nan=False))
    assert document["schema"] == "limen.recording/1"
    assert from_document(document) == INFO


def test_a_self_test_that_failed_is_kept_however_long_ago():
    tests = tuple(SelfTest(step, "drift", 1.0 if step in (3, 2999) else 0.1, 0.2) for step in range(1, 3001))
    kept = from_document(to_document(replace(INFO, self_tests=tests))).self_tests
    assert [test.step for test in kept] == [3, *range(2001, 3001)]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "found no run.json"), ("{", "expected JSON"), ("[]", "got list"), ('{"schema": "x/2"}', "got x/2")],
)
def test_folders_that_hold_no_recording_are_named(tmp_path, content, said):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(BadInput, match=said):
        read_run(tmp_path)


def test_a_document_with_missing_facts_is_named(tmp_path):
    document = to_document(INFO)
    del document["segments"]
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match="segments"):
        read_info(tmp_path)


def test_memory_keeps_to_the_targets():
    assert forecast(RESNET18, 4, 20, "full", (1024, 1000)).memory <= 1.7e9
    assert forecast(RESNET18, 4, 5, "lean", (1024, 1000)).memory <= 0.5e9
    assert forecast(RESNET18, 4, 0, "full", (1024, 1000)).disk_per_10_000_steps <= 50e6


def test_disk_keeps_to_the_targets():
    """By counting rows: ≤ 50 MB for 10^4 updates, ≤ 250 MB at 10^6, with 20 modes and the reference of ResNet-18."""
    row, sketch = 8 * 9 + 1 + 8 * 20, 8 + 4 * 1024
    assert 10_000 * (row + sketch) < 50e6
    steps = range(1, 1_000_001)
    rows = sum(map(row_kept, steps))
    sketches = sum(map(sketch_kept, steps))
    assert rows * row + sketches * sketch + 4 * RESNET18 + 2 * 6e6 < 250e6
    assert all(map(row_kept, range(1, 100_001)))


def test_beyond_a_hundred_thousand_updates_rows_thin_and_fine_sketches_go(tmp_path):
    def fill(first, last):
        rows = Rows()
        for step in range(first, last + 1):
            rows.add(Row(step, 0.0, 0.1, Scalars(*[0.0] * 6), 0, np.full(4, step, dtype=np.float32)))
        rows.write(tmp_path, 0, (np.zeros((len(rows), 0)), np.zeros((len(rows), 0))))

    fill(99_001, 99_500)
    assert [len(shards(tmp_path, kind)) for kind in ("steps", "sketch", "fine")] == [1, 1, 1]
    fill(99_501, 100_100)
    assert [len(shards(tmp_path, kind)) for kind in ("steps", "sketch", "fine")] == [2, 2, 0]
    first, second = (read_rows(tmp_path, shard) for shard in shards(tmp_path, "steps"))
    assert len(first["step"]) == 500
    assert second["step"].tolist() == [*range(99_501, 100_001), *range(100_002, 100_101, 2)]
    kept = read_rows(tmp_path, shards(tmp_path, "sketch")[1])
    assert kept["step"].tolist() == list(range(99_510, 100_101, 10))
    np.testing.assert_array_equal(kept["sketch"][:, 0], kept["step"])
