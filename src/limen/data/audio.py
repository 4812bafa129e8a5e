"""Bytes of wav files (PCM) to mono samples in [−1, 1] at a given rate, with the standard library and SciPy."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from limen.data.phrases import names_text, rows_text
from limen.records.errors import BadInput, Problem


def decode_audio(clips: Sequence[bytes], rate: int) -> list[NDArray[np.float32]]:
    """Samples of every clip: channels averaged, resampled (polyphase) to `rate` per second.

    Raises BadInput for bytes that are not sound PCM wav files of 8, 16 or 32 bits, with row numbers.

    >>> content = io.BytesIO()
    >>> with wave.open(content, "wb") as clip:
    ...     clip.setparams((1, 2, 8000, 0, "NONE", ""))
    ...     clip.writeframes(np.array([0, 16384, -32768], dtype="<i2").tobytes())
    >>> decode_audio([content.getvalue()], 8000)[0].tolist()
    [0.0, 0.5, -1.0]
    """
    decoded: list[NDArray[np.float32]] = []
    broken: list[int] = []
    reasons: set[str] = set()
    for row, content in enumerate(clips):
        try:
            decoded.append(_decode(content, rate))
        except (wave.Error, EOFError, ValueError, TypeError, OSError) as error:
            broken.append(row)
            reasons.add(str(error) or type(error).__name__)
    if broken:
        what = f"expected PCM wav bytes; {rows_text(broken)} cannot be decoded: {names_text(sorted(reasons), 3)}"
        raise BadInput(Problem("audio", what, "truncated downloads, or another format", "convert them to 16-bit wav"))
    return decoded


def _decode(content: bytes, rate: int) -> NDArray[np.float32]:
    with wave.open(io.BytesIO(content), "rb") as clip:
        width, channels, own = clip.getsampwidth(), clip.getnchannels(), clip.getframerate()
        raw = clip.readframes(clip.getnframes())
    if width not in (1, 2, 4) or not raw:
        raise ValueError(f"{8 * width}-bit samples" if raw else "no samples")
    if width == 1:
        samples = (np.frombuffer(raw, dtype=np.uint8).astype(np.float64) - 128) / 128
    else:
        samples = np.frombuffer(raw, dtype=f"<i{width}").astype(np.float64) / 2 ** (8 * width - 1)
    mono = samples.reshape(-1, channels).mean(axis=1)
    if own != rate:
        shared = math.gcd(own, rate)
        mono = resample_poly(mono, rate // shared, own // shared)
    return np.asarray(mono, dtype=np.float32)
