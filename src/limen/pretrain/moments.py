"""Mean and standard deviation of what an encoder takes, per channel of an image or band of a spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


def channel_moments(values: NDArray[np.generic], rows: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Moments over all positions of the given rows of images [n, h, w, c] or spectra [n, bands, frames].

    Bytes are on the scale [0, 1]. A constant channel gets standard deviation 1.
    """
    scale = 255.0 if values.dtype == np.uint8 else 1.0
    channel = 3 if values.ndim == 4 else 1
    others = tuple(axis for axis in range(values.ndim) if axis != channel)
    total, square = np.zeros(values.shape[channel]), np.zeros(values.shape[channel])
    for start in range(0, len(rows), BLOCK):
        block = values[rows[start : start + BLOCK]].astype(np.float64) / scale
        total += block.sum(axis=others)
        square += (block**2).sum(axis=others)
    count = len(rows) * (values[0].size // values.shape[channel])
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 0))  # rounding may leave −1e-17 for a constant channel
    return mean.tolist(), np.where(std > 1e-6, std, 1.0).tolist()
