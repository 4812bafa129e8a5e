"""Near-duplicates: equal up to case, signs, headers and silence, and nothing else."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from limen.study.duplicates import SILENT, near_duplicates, normal


def wav(samples: list[int], rate: int = 8000, channels: int = 1) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as clip:
        clip.setparams((channels, 2, rate, 0, "NONE", ""))
        clip.writeframes(np.array(samples, dtype="<i2").tobytes())
    return content.getvalue()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("I lost my card", "i LOST my card!!", True),
        ("ﬁne  day", "fine day", True),
        ("Größe", "GRÖSSE", True),
        ("I lost my card", "I lost a card", False),
        ("not here", "nothere", False),
        ("!!!", "???", False),
        ("", " ", False),
    ],
)
def test_texts(one: str, other: str, same: bool) -> None:
    assert (normal(one, "text") == normal(other, "text")) is same


def test_sounds() -> None:
    quiet = int(SILENT * 2**15) - 1
    clip = wav([900, -800, 700])
    assert normal(clip, "audio") == normal(wav([0, quiet, 900, -800, 700, -quiet]), "audio")
    listed = clip + b"LIST\x04\x00\x00\x00abcd"  # a chunk of metadata behind the samples
    assert normal(clip, "audio") == normal(listed, "audio")
    for other in (wav([900, -800, 701]), wav([900, -800, 700], 16000), wav([900, -800, 700, 0], channels=2)):
        assert normal(clip, "audio") != normal(other, "audio")
    assert normal(wav([0, 0]), "audio") == wav([0, 0])
    assert normal(b"no wav", "audio") == b"no wav"


def test_images_are_equal_pixel_by_pixel() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert normal(image, "image") == normal(image.copy(order="F"), "image")
    assert normal(image, "image") != normal(image.reshape(1, 4, 3), "image")
    assert normal(image, "image") != normal(image + 1, "image")


def test_rows_are_counted_in_the_table_that_is_asked_for(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"said": ["One.", "two", "three"]}), tmp_path / "a.parquet")
    parquet.write_table(pyarrow.table({"text": ["one", "ONE!", "four", "three"]}), tmp_path / "b.parquet")
    a, b = (str(tmp_path / "a.parquet"), "said"), (str(tmp_path / "b.parquet"), "text")
    assert near_duplicates(*b, a, "text") == 3
    assert near_duplicates(*a, b, "text") == 2
