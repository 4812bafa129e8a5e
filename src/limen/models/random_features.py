"""Random features: a control that knows nothing of any task, only its raw input.

    z = √k · x/‖x‖₂ ∈ R^k  (0 stays 0),    φ_j(x) = √(2/d) · max(0, ⟨w_j, z⟩/√k + b_j),   w_j ~ N(0, I_k), b_j ~ N(0, 1)

As d → ∞, ⟨φ(x), φ(y)⟩ tends to the arc-cosine kernel of degree 1 of (z/√k, 1) (Cho, Saul 2009), in particular
E‖φ(x)‖² = ‖z‖²/k + 1 = 2 for x ≠ 0. x is the image as pixels, the text as 4,096 hashed word counts, or the row itself.
Weights come from a stream keyed by seed, d and k: the same in every process and for every task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.models.bag_of_words import BagOfWords
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.pixels import Pixels
from limen.models.precomputed import feature_matrix


@dataclass(frozen=True, slots=True)
class RandomFeatures:
    """Random rectified features of images, texts or feature vectors.

    >>> RandomFeatures("features", dimension=8).encode(np.eye(3)).shape
    (3, 8)
    """

    input: InputKind = "features"
    dimension: int = 1024
    seed: int = 0

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """What is done before the random weights."""
        base = {"image": "pixels", "text": f"bag-of-words {BagOfWords().dimension}"}.get(self.input, "row")
        return {"base": base, "row norm": "sqrt(columns)"}

    @property
    def fingerprint(self) -> str:
        """Of seed, dimension and preprocessing."""
        plain = {"dimension": self.dimension, "seed": self.seed, "preprocessing": self.preprocessing}
        return fingerprint_of({"source": "random-features", "input": self.input, **plain})

    def encode(self, inputs: Any) -> Features:
        """Raises BadInput for inputs of another kind."""
        if self.input == "image":
            base = Pixels().encode(inputs)
        elif self.input == "text":
            base = BagOfWords().encode(inputs)
        else:
            base = feature_matrix(inputs)
        rows = base.astype(np.float64)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.where(norms > 0, norms, 1.0)
        weights, shifts = _weights(self.seed, self.dimension, rows.shape[1])
        scale = np.sqrt(2 / self.dimension)
        return np.asarray(np.maximum(rows @ weights + shifts, 0.0) * scale, dtype=np.float32)


@lru_cache(maxsize=4)
def _weights(seed: int, dimension: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    draw = stream("random-features", seed, dimension, width)
    return draw.standard_normal((width, dimension)), draw.standard_normal(dimension)
