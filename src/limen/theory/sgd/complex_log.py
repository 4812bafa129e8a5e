"""The logarithm of a root near 1, with all its digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]


def log_of(root: Complex, gap: Complex) -> Complex:
    """ln r from r and 1 − r, with all its digits near 1 (numpy's complex log1p loses them); ln 1e-300 for r = 0."""
    near = np.abs(gap) < 0.5
    x, y = -np.where(near, gap.real, 0.0), -np.where(near, gap.imag, 0.0)
    close = np.log1p(x * (2 + x) + y * y) / 2 + 1j * np.arctan2(y, 1 + x)
    return np.where(near, close, np.log(np.where(root == 0, 1e-300, root)))
