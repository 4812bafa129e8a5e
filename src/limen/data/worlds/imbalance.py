"""Shares of classes: equal, given, or a long tail; labels drawn with them.

long tail   π_c ∝ ρ^{−c/(K−1)}, c = 0 … K − 1: the most frequent class is ρ times the rarest     Cui et al. 2019
"""

from __future__ import annotations

import numpy as np

from limen.arrays.checks import count
from limen.data.worlds.world import Matrix
from limen.records.task import Integers


def equal_shares(classes: int) -> Matrix:
    """π_c = 1/K; raises ValueError for fewer than 1 class.

    >>> equal_shares(4).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return np.full(count("classes", classes), 1 / classes)


def long_tail(classes: int, ratio: float) -> Matrix:
    """Geometric shares [K], first to last = `ratio`; raises ValueError for fewer than 2 classes or a ratio below 1.

    >>> (long_tail(3, 4.0) * 7).round(12).tolist()
    [4.0, 2.0, 1.0]
    """
    if not (np.isfinite(ratio) and ratio >= 1.0):
        raise ValueError(f"ratio: expected a finite number of at least 1, got {ratio}")
    raw = ratio ** -(np.arange(count("classes", classes, 2)) / (classes - 1))
    shares: Matrix = raw / raw.sum()
    return shares


def class_shares(name: str, shares: Matrix, classes: int) -> Matrix:
    """`shares` if they are K numbers of at least 0 that sum to 1 (within 1e-9); raises ValueError otherwise.

    >>> class_shares("priors", np.array([0.5, 0.5]), 2).tolist()
    [0.5, 0.5]
    """
    if shares.shape != (classes,):
        raise ValueError(f"{name}: expected {classes} shares, got shape {shares.shape}")
    if not (shares >= 0).all() or abs(float(shares.sum()) - 1) > 1e-9:
        raise ValueError(f"{name}: expected shares of at least 0 that sum to 1, got sum {float(shares.sum()):.6g}")
    return shares


def drawn_labels(classes: int, shares: Matrix | None, n: int, rng: np.random.Generator) -> Integers:
    """n labels drawn i.i.d. with the given shares (None = equal).

    >>> drawn_labels(2, np.array([0.0, 1.0]), 3, np.random.default_rng(0)).tolist()
    [1, 1, 1]
    """
    # two generators: the populations of docs/validation.md were drawn with the first
    if shares is None:
        return rng.integers(0, classes, n)
    return rng.choice(classes, size=n, p=shares).astype(np.int64)
