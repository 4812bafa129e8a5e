"""Rows of one table that are rows of another up to what does not matter to a person.

A row is known by a digest of its normal form; two rows are near-duplicates exactly if their normal forms agree:

    text    NFKC, case folded, every run of what is neither letter nor digit one space
    audio   the samples of the wav, without header and without silence (below 2⁻⁹ of full scale) at both ends
    image   its pixels, or its bytes where the table holds encoded files

What is nothing but signs or silence is compared as it stands. Nothing fuzzier is looked for: rows that were cropped,
translated, recompressed or reworded are not found.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
import wave
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np

SILENT = 2.0**-9
"""Of full scale: what is below it at the ends of a sound is cut away."""
_SIGNS = re.compile(r"[\W_]+")


def near_duplicates(
    data: str, column: str, other: tuple[str, str], kind: str, skipped: Collection[int] = frozenset()
) -> int:
    """Rows of `column` of the table `data`, but for the `skipped`, with a near-duplicate in the table and column
    `other`.

    >>> near_duplicates("digits:test", "image", ("digits", "image"), "image")
    450
    """
    known = frozenset(digests(*other, kind))
    return sum(digest in known for row, digest in enumerate(digests(data, column, kind)) if row not in skipped)


@lru_cache(maxsize=4)
def digests(data: str, column: str, kind: str) -> tuple[bytes, ...]:
    """A hash of the normal form of every row."""
    from limen.data.tables import read_table

    values = read_table(data, [column]).columns[column]
    return tuple(hashlib.blake2b(normal(value, kind), digest_size=16).digest() for value in values)


def normal(value: Any, kind: str) -> bytes:
    """The normal form of one input.

    >>> normal("Is that  so?!", "text") == normal("is that so", "text")
    True
    """
    if isinstance(value, str):
        folded = _SIGNS.sub(" ", unicodedata.normalize("NFKC", value).casefold()).strip()
        return (folded or value).encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return _samples(value) if kind == "audio" else value
    return repr(np.shape(value)).encode() + np.ascontiguousarray(value).tobytes()


def _samples(content: bytes) -> bytes:
    """The sounding part of a wav; content that is none is compared as it stands."""
    try:
        with wave.open(io.BytesIO(content), "rb") as clip:
            width, channels, rate = clip.getsampwidth(), clip.getnchannels(), clip.getframerate()
            raw = clip.readframes(clip.getnframes())
    except (wave.Error, EOFError, ValueError):
        return content
    if width not in (1, 2, 4):
        return content
    whole = raw[: len(raw) // (width * channels) * width * channels]
    samples = np.frombuffer(whole, dtype="u1" if width == 1 else f"<i{width}").astype(np.float64)
    samples = (samples - 128 if width == 1 else samples).reshape(-1, channels) / 2 ** (8 * width - 1)
    loud = np.flatnonzero(np.abs(samples).max(axis=1) >= SILENT)
    if not len(loud):
        return content
    return f"{rate} ".encode() + np.ascontiguousarray(samples[loud[0] : loud[-1] + 1]).tobytes()
