"""Features of many inputs: batches, deterministic order, float32 [n, d].

Texts are taken shortest first, so that a batch needs little padding, and put back in their order. A row does not depend
on its neighbours in the batch beyond rounding (relative 10⁻⁵ for the models tested).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.models.encoder import Encoder, Features

BATCH = 1024


def extract(
    encoder: Encoder, inputs: Any, batch_size: int = BATCH, progress: Callable[[int, int], None] | None = None
) -> Features:
    """Features [n, d] of all inputs, in their order; `progress(done, total)` is called after every batch.

    Raises BadInput for inputs of another kind than the encoder takes, ValueError for a batch size below 1.

    >>> from limen.models.pixels import Pixels
    >>> extract(Pixels(), np.zeros((3, 2, 2, 1), dtype=np.uint8), batch_size=2).shape
    (3, 4)
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    total = len(inputs)
    out: Features | None = None
    done = 0
    for rows, batch in _batches(encoder, inputs, batch_size):
        features = encoder.encode(batch)
        if out is None:
            out = np.empty((total, features.shape[1]), dtype=np.float32)
        out[rows] = features
        done += len(rows)
        if progress is not None:
            progress(done, total)
    return out if out is not None else encoder.encode(inputs)


def _batches(encoder: Encoder, inputs: Any, size: int) -> Iterator[tuple[NDArray[np.int64], Any]]:
    order = np.arange(len(inputs), dtype=np.int64)
    if encoder.input == "text":
        order = np.argsort([len(str(text)) for text in inputs], kind="stable").astype(np.int64)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield rows, inputs[rows] if isinstance(inputs, np.ndarray) else [inputs[row] for row in rows]
