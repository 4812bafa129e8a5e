"""What an encoder is: a fixed map from inputs to rows of features, with a name for everything that fixes it.

    encode : inputs (n of them) → float32 [n, d],   row i depends on input i alone

Text is a sequence of strings; images are [n, h, w, c], uint8 or float32 in [0, 1]; audio is a sequence of the bytes of
wav files; features are a matrix [n, k].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from limen.records.cell import canonical_json

InputKind = Literal["text", "image", "audio", "features"]
Features = NDArray[np.float32]


class Encoder(Protocol):
    """A fixed map from inputs to features."""

    @property
    def input(self) -> InputKind:
        """The kind of input it takes."""

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """Everything that happens to an input before the weights see it, and to the output after, as plain data."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights, architecture and every field that means something for the features."""

    @property
    def dimension(self) -> int | None:
        """Columns of the features; None where they are as many as the input has."""

    def encode(self, inputs: Any) -> Features:
        """Features [n, d] of one batch of inputs. Raises BadInput for inputs of another kind or shape."""


def fingerprint_of(identity: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an encoder's identity.

    >>> fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(dict(identity)).encode()).hexdigest()
