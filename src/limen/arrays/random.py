"""Random streams keyed by content and purpose, never by position or worker.

stream(purpose, *content) is a Philox generator whose 128-bit key is the head of
SHA-256(canonical JSON of [purpose, *content]). Two streams with different keys are independent for all practical
purposes; the same key gives the same numbers in any process, in any order.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def stream(purpose: str, *content: str | int | float | bool | None) -> np.random.Generator:
    """The random generator of one purpose.

    >>> float(stream("split", "banking77", 0).random()) == float(stream("split", "banking77", 0).random())
    True
    >>> float(stream("split", 0).random()) == float(stream("subset", 0).random())
    False
    """
    text = json.dumps([purpose, *content], separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    return np.random.Generator(np.random.Philox(key=key))
