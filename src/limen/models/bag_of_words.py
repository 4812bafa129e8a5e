"""Hashed word counts: a text encoder that was trained on nothing and has seen no text of the task.

Each word w adds sign(w) to column hash(w) mod d (feature hashing: Weinberger et al. 2009, arXiv:0902.2206); the signs
make ⟨φ(x), φ(y)⟩ an unbiased estimate of the inner product of the word counts. Rows are then scaled to unit length.
Words are lower-cased runs of two or more word characters; the hash is MurmurHash3, so there is no vocabulary to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.records.errors import BadInput, Problem

TOKEN = r"(?u)\b\w\w+\b"


@dataclass(frozen=True, slots=True)
class BagOfWords:
    """Texts → [n, dimension].

    >>> rows = BagOfWords(64).encode(["good day", "Day, good!", "bad night"])
    >>> bool((rows[0] == rows[1]).all()), round(float(rows[2] @ rows[2]), 6)
    (True, 1.0)
    """

    dimension: int = 4096
    input: InputKind = "text"

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """How words are found and scaled."""
        return {"lowercase": True, "token": TOKEN, "norm": "l2", "hash": "murmur3-32, alternating sign"}

    @property
    def fingerprint(self) -> str:
        """Of the dimension and the preprocessing."""
        identity = {"source": "bag-of-words", "dimension": self.dimension, "preprocessing": self.preprocessing}
        return fingerprint_of(identity)

    def encode(self, inputs: Any) -> Features:
        """Raises BadInput for inputs that are not strings."""
        texts = text_list(inputs)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        hashing = HashingVectorizer(n_features=self.dimension, token_pattern=TOKEN, norm="l2", dtype=np.float32)
        return np.asarray(hashing.transform(texts).toarray(), dtype=np.float32)


def text_list(inputs: Any) -> list[str]:
    """The inputs as a list of strings. Raises BadInput for a single string and for anything else among them."""
    if isinstance(inputs, str):
        raise BadInput(Problem("texts", "expected a sequence of texts, got one string", fix="pass [text]"))
    texts = list(inputs)
    odd = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if odd:
        what = f"expected texts, got {type(texts[odd[0]]).__name__} in row {odd[0]} ({len(odd):,} such rows)"
        raise BadInput(Problem("texts", what, fix="name the column that holds the text"))
    return [str(text) for text in texts]
