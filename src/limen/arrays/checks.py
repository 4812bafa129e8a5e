"""Argument checks of the statistics: each raises ValueError that says what was expected and what came.

And what a document says where a number is not finite: nothing (`finite_or_none`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def probability(name: str, value: float) -> float:
    """`value` if it lies strictly between 0 and 1.

    >>> probability("delta", 0.05)
    0.05
    """
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}: expected a number strictly between 0 and 1, got {value}")
    return float(value)


def count(name: str, value: int, least: int = 1) -> int:
    """`value` as an int if it is whole and at least `least`.

    >>> count("n", 3)
    3
    """
    if value != int(value) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value}")
    return int(value)


def positive(name: str, value: float) -> float:
    """`value` if it is finite and above 0.

    >>> positive("scale", 2.0)
    2.0
    """
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"{name}: expected a finite number above 0, got {value}")
    return float(value)


def vector(name: str, values: ArrayLike, least: int = 1) -> Floats:
    """`values` as float64 [n] if they are finite, one-dimensional and at least `least` many.

    >>> vector("values", [1, 2])
    array([1., 2.])
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {array.shape}")
    if array.size < least:
        raise ValueError(f"{name}: expected at least {least} values, got {array.size}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite values, got {int((~np.isfinite(array)).sum())} NaN or infinite")
    return array


def finite_or_none(value: float | None) -> float | None:
    """NaN and infinity as None, which JSON has a word for.

    >>> finite_or_none(2), finite_or_none(float("nan")), finite_or_none(None)
    (2.0, None, None)
    """
    return None if value is None or not math.isfinite(value) else float(value)
