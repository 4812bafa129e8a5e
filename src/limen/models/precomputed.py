"""Features that somebody else computed: the rows as they are (`source = "embeddings"`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Precomputed:
    """The identity on feature vectors; `column` says which column of the data they are (None: the usual names).

    >>> Precomputed().encode([[1, 2]]).tolist()
    [[1.0, 2.0]]
    """

    column: str | None = None
    input: InputKind = "features"
    dimension: int | None = None

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The column the rows come from."""
        return {"column": self.column}

    @property
    def fingerprint(self) -> str:
        """Of the name of the column: the rows themselves are hashed with the data."""
        return fingerprint_of({"source": "embeddings", "column": self.column})

    def encode(self, inputs: Any) -> Features:
        """Raises BadInput for anything but a matrix of numbers."""
        return feature_matrix(inputs)


def feature_matrix(inputs: Any) -> Features:
    """A matrix [n, k] as float32. Raises BadInput for anything else."""
    rows = np.asarray(inputs)
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        what = f"expected a matrix of numbers, shape [n, k], got {rows.dtype} of shape {list(rows.shape)}"
        raise BadInput(Problem("features", what, fix="name the column that holds the vectors"))
    return rows.astype(np.float32)
