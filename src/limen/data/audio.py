"""Bytes of wav files (PCM) to mono samples in [−1, 1] at a given rate, with the standard library and SciPy."""

from __future__ import annotations

import io
import math
import wave
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from limen.data.phrases import names_text, rows_text
from limen.records.errors import BadInput, Problem

DAMAGE = (wave.Error, EOFError, ValueError, TypeError, OSError)
"""What reading bytes that are no sound wav raises."""
RATES = (100, 1_000_000)
"""Samples a second that a sound may have: beyond them a header is wrong, or hostile."""
STREAMED = 2**31 - 2**16
"""Bytes from which on a header promises nothing: that of a stream, whose length was not known when it was written."""


def decode_audio(clips: Sequence[bytes], rate: int) -> list[NDArray[np.float32]]:
    """Samples of every clip: channels averaged, resampled (polyphase) to `rate` per second.

    Raises BadInput for bytes that are not whole, sound PCM wav files of 8, 16 or 32 bits, with row numbers.

    >>> content = io.BytesIO()
    >>> with wave.open(content, "wb") as clip:
    ...     clip.setparams((1, 2, 8000, 0, "NONE", ""))
    ...     clip.writeframes(np.array([0, 16384, -32768], dtype="<i2").tobytes())
    >>> decode_audio([content.getvalue()], 8000)[0].tolist()
    [0.0, 0.5, -1.0]
    """
    decoded, bad = _each(clips, lambda content: _resampled(*_samples(content), rate))
    if bad:
        reasons = names_text(sorted(set(bad.values())), 3)
        what = f"expected PCM wav bytes; {rows_text(sorted(bad))} cannot be decoded: {reasons}"
        raise BadInput(Problem("audio", what, "truncated downloads, or another format", "convert them to 16-bit wav"))
    return decoded


def broken_audio(clips: Sequence[bytes]) -> dict[int, str]:
    """Row → reason of every clip that cannot be decoded whole.

    >>> broken_audio([b"RIFF"])
    {0: 'EOFError'}
    """
    return _each(clips, lambda content: len(_samples(content)))[1]


def _each(clips: Sequence[bytes], read: Callable[[bytes], Any]) -> tuple[list[Any], dict[int, str]]:
    """What is read from every clip that can be read, and row → reason of the others."""
    good: list[Any] = []
    bad: dict[int, str] = {}
    for row, content in enumerate(clips):
        try:
            good.append(read(content))
        except DAMAGE as error:
            bad[row] = str(error) or type(error).__name__
    return good, bad


def rate_notes(clips: Sequence[bytes], rate: int) -> tuple[str, ...]:
    """What there is to say of sounds that an encoder hears at `rate` samples a second, in sentences; mostly nothing.

    Several rates in one column, and rates below the encoder's: what a sound of r samples a second holds ends at r/2 Hz.
    """
    rates = Counter(_header(content)[2] for content in clips)
    notes = []
    if len(rates) > 1:
        shown = names_text(f"{own:,} ({count:,} sounds)" for own, count in sorted(rates.items()))
        notes.append(f"sounds of several rates, all resampled to {rate:,} samples a second: {shown}")
    low = {own: count for own, count in rates.items() if own < rate}
    if low:
        shown = names_text(f"{own:,}" for own in sorted(low))
        notes.append(
            f"{sum(low.values()):,} of {len(clips):,} sounds have fewer samples a second ({shown}) than the {rate:,} "
            f"that the encoder hears: above {max(low) // 2:,} Hz or less they hold nothing"
        )
    return tuple(notes)


def _header(content: bytes) -> tuple[int, int, int]:
    """Bytes of a sample, channels, samples a second."""
    with wave.open(io.BytesIO(content), "rb") as clip:
        return clip.getsampwidth(), clip.getnchannels(), clip.getframerate()


def _samples(content: bytes) -> tuple[NDArray[np.float64], int]:
    """Samples of one clip, channels averaged, and its rate. Raises one of DAMAGE."""
    width, channels, rate = _header(content)
    with wave.open(io.BytesIO(content), "rb") as clip:
        promised = clip.getnframes() * width * channels
        raw = clip.readframes(clip.getnframes())
    if width not in (1, 2, 4) or not raw:
        raise ValueError(f"{8 * width}-bit samples" if raw else "no samples")
    if len(raw) < promised < STREAMED:
        raise ValueError("ends before its header says")
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"{rate:,} samples a second")
    if width == 1:
        samples = (np.frombuffer(raw, dtype=np.uint8).astype(np.float64) - 128) / 128
    else:
        samples = np.frombuffer(raw, dtype=f"<i{width}").astype(np.float64) / 2 ** (8 * width - 1)
    return samples.reshape(-1, channels).mean(axis=1), rate


def _resampled(samples: NDArray[np.float64], own: int, rate: int) -> NDArray[np.float32]:
    if own != rate:
        shared = math.gcd(own, rate)
        samples = resample_poly(samples, rate // shared, own // shared)
    return np.asarray(samples, dtype=np.float32)
