"""Bad inputs among good ones: every bad row is named, or left out and told with its reason."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from limen.data.audio import broken_audio, decode_audio, rate_notes
from limen.data.images import decode_images
from limen.data.inputs import read_inputs, skipped_note, usable_inputs
from limen.records.errors import BadInput


def wav(samples: Any, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as clip:
        clip.setparams((1, 2, rate, 0, "NONE", ""))
        clip.writeframes(np.asarray(samples, dtype="<i2").tobytes())
    return content.getvalue()


def png(value: int, side: int = 4) -> bytes:
    content = io.BytesIO()
    Image.new("L", (side, side), value).save(content, "PNG")
    return content.getvalue()


COLUMNS: dict[str, tuple[list[Any], dict[int, Any]]] = {
    "text": ([f"text {k}" for k in range(7)], {2: "", 5: " \n\t"}),
    "image": ([png(k) for k in range(7)], {2: png(0)[:42], 5: b"GIF89a"}),
    "audio": ([wav([k + 1] * 90) for k in range(7)], {2: wav([1] * 90)[:100], 5: b"ID3"}),
}
"""Kind → good inputs, and the bad ones by row."""


def written(folder: Path, kind: str, bad: dict[int, Any] | None = None) -> str:
    good, broken = COLUMNS[kind]
    values = [(broken if bad is None else bad).get(row, value) for row, value in enumerate(good)]
    pq.write_table(pa.table({kind: values}), folder / "t.parquet")
    return str(folder / "t.parquet")


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_bad_row_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_inputs(written(tmp_path, kind), kind, kind)
    (problem,) = caught.value.problems
    assert problem.where.endswith(f"t.parquet: {kind}")
    assert "2 rows (rows 2, 5) cannot be used" in problem.what
    assert 'on_bad = "skip"' in problem.fix


@pytest.mark.parametrize("kind", COLUMNS)
def test_skipped_rows_leave_the_others_as_they_are(tmp_path: Path, kind: str) -> None:
    """The sound inputs are those of a table that never had the bad rows."""
    found = usable_inputs(written(tmp_path, kind), kind, kind, "skip")
    whole = usable_inputs(written(tmp_path, kind, {}), kind, kind, "skip")
    assert found.rows.tolist() == [0, 1, 3, 4, 6]
    assert [row for row, _ in found.skipped] == [2, 5]
    assert np.array_equal(np.array(found.values), np.array(whole.values)[found.rows])
    assert whole.skipped == ()
    assert whole.note == ""
    assert found.note.startswith("2 of 7 rows skipped: 2 rows (rows 2, 5), ")
    assert skipped_note(found.skipped, 7, "test").startswith("test: 2 of 7 rows skipped")


@pytest.mark.parametrize("kind", COLUMNS)
def test_more_than_half_stops_all_the_same(tmp_path: Path, kind: str) -> None:
    broken = COLUMNS[kind][1][5]
    assert len(usable_inputs(written(tmp_path, kind, {0: broken, 1: broken, 2: broken}), kind, kind, "skip").rows) == 4
    with pytest.raises(BadInput, match=r"at least half of the rows; 4 rows \(rows 0, 1, 2, 3\).*7 rows in all"):
        usable_inputs(written(tmp_path, kind, dict.fromkeys(range(4), broken)), kind, kind, "skip")


def test_vectors_and_pixels_that_are_not_finite_are_skipped(tmp_path: Path) -> None:
    features, pixels = np.ones((4, 2)), np.ones((4, 2, 2, 1))
    features[1, 0], pixels[2, 1, 1, 0] = np.nan, np.inf
    np.savez(tmp_path / "t.npz", X=features, image=pixels)
    assert usable_inputs(str(tmp_path / "t.npz"), "X", "features", "skip").skipped == ((1, "not finite"),)
    found = usable_inputs(str(tmp_path / "t.npz"), "image", "image", "skip")
    assert found.skipped == ((2, "not finite"),)
    assert found.values.shape == (3, 2, 2, 1)


def test_a_column_of_another_kind_is_no_matter_of_rows(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected audio, got str"):
        usable_inputs(written(tmp_path, "text"), "text", "audio", "skip")


def test_an_image_of_another_size_is_named_by_row() -> None:
    with pytest.raises(BadInput, match=r"4×4, 6×6; other than 4×4: 1 row \(row 1\)"):
        decode_images([png(1), png(1, side=6), png(2)])


def test_a_wav_that_ends_early_is_broken_and_one_that_was_streamed_is_not() -> None:
    whole = wav(range(1000))
    assert broken_audio([whole, whole[:-2]]) == {1: "ends before its header says"}
    with pytest.raises(BadInput, match=r"1 row \(row 1\).*ends before"):
        decode_audio([whole, whole[:-2]], 8000)
    streamed = whole[:40] + b"\xff\xff\xff\xff" + whole[44:]  # the length was not known when the header was written
    assert np.array_equal(decode_audio([streamed], 8000)[0], decode_audio([whole], 8000)[0])


@pytest.mark.parametrize("rate", [1, 2**32 - 1])
def test_a_rate_that_cannot_be_meant_is_refused_before_memory_is_asked_for(rate: int) -> None:
    content = bytearray(wav([1, 2, 3]))
    content[24:28] = rate.to_bytes(4, "little")
    assert broken_audio([bytes(content)]) == {0: f"{rate:,} samples a second"}


def test_rates_are_told_where_they_differ_or_lie_below_the_encoder() -> None:
    fast, slow = wav([1] * 90, 16000), wav([1] * 90, 4000)
    assert rate_notes([fast] * 3, 8000) == ()
    (low,) = rate_notes([slow] * 3, 8000)
    assert "3 of 3 sounds have fewer samples a second (4,000) than the 8,000" in low
    several, low = rate_notes([fast, fast, slow], 8000)
    assert several.endswith("resampled to 8,000 samples a second: 4,000 (1 sounds), 16,000 (2 sounds)")
    assert low.startswith("1 of 3 sounds")
    assert [len(clip) for clip in decode_audio([fast, slow], 8000)] == [45, 180]
