"""Laws of audio: samples are exact, channels are averaged, a tone keeps its pitch at another rate."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limen.data.audio import decode_audio
from limen.data.tables import read_table
from limen.records.errors import BadInput


def wav(samples: Any, rate: int = 8000, width: int = 2, channels: int = 1) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as clip:
        clip.setparams((channels, width, rate, 0, "NONE", ""))
        clip.writeframes(np.asarray(samples).astype({1: np.uint8, 2: "<i2", 4: "<i4"}[width]).tobytes())
    return content.getvalue()


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50))
def test_sixteen_bits_are_exact(samples: list[int]) -> None:
    assert decode_audio([wav(samples)], 8000)[0].tolist() == [s / 2**15 for s in samples]


def test_widths_and_channels() -> None:
    assert decode_audio([wav([0, 128, 255], width=1)], 8000)[0].tolist() == [-1.0, 0.0, 127 / 128]
    assert decode_audio([wav([2**30, -(2**31)], width=4)], 8000)[0].tolist() == [0.5, -1.0]
    stereo = wav([1000, 3000, -2000, 0], channels=2)
    assert decode_audio([stereo], 8000)[0].tolist() == [2000 / 2**15, -1000 / 2**15]


@pytest.mark.parametrize("rate", [16000, 4000, 11025])
def test_a_tone_keeps_its_pitch_at_another_rate(rate: int) -> None:
    hertz, seconds = 400, 0.5
    tone = 9000 * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)
    heard = decode_audio([wav(tone)], rate)[0]
    assert abs(len(heard) - rate * seconds) <= 1
    spectrum = np.abs(np.fft.rfft(heard))
    assert abs(spectrum.argmax() / seconds - hertz) <= 2


def test_broken_clips_are_named() -> None:
    good = wav([1, 2, 3])
    with pytest.raises(BadInput, match=r"4 rows \(rows 1, 2, 3, 4\)"):
        decode_audio([good, b"", good[:20], b"ID3 something else", wav([])], 8000)


def test_real_speech(shared_data: Path) -> None:
    clips = read_table(shared_data / "spoken-digits" / "test.parquet", ["audio"]).columns["audio"][:20]
    heard = decode_audio(clips.tolist(), 8000)
    assert len(heard) == 20
    assert all(0 < np.abs(h).max() <= 1 for h in heard)
