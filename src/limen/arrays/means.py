"""Student intervals for a mean, a difference of means and a mean over clustered rows.

    one sample    x̄ ± t_{n−1} · s/√n                                                      Student 1908
    two samples   x̄ − ȳ ± t_ν · √(s_x²/n + s_y²/m),  ν by Welch–Satterthwaite              Welch 1947
    clustered     x̄ ± t_{g−1} · √(g/(g−1) Σ_j (Σ_{i∈j} (x_i − x̄))²)/N                      Liang, Zeger 1986 (CR1)

All are asymptotic in general and exact for Gaussian values (the first; the third for equal Gaussian clusters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from limen.arrays.checks import probability, vector


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and its two-sided interval [low, high] at `confidence`."""

    value: float
    low: float
    high: float
    confidence: float
    standard_error: float
    units: int
    """Independent units behind the number: values, pairs or groups."""
    dof: float | None = None
    """Degrees of freedom of the t quantile; None where no t quantile is used."""
    bias: float | None = None
    """Estimated bias of `value` (not subtracted); None where not estimated."""


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Two-sided t interval for the mean of independent values [n ≥ 2].

    >>> i = t_interval([1.0, 2.0, 3.0], 0.95)
    >>> round(i.value, 3), round(i.low, 3), round(i.high, 3), i.dof
    (2.0, -0.484, 4.484, 2.0)
    """
    x = vector("values", values, least=2)
    error = float(x.std(ddof=1)) / math.sqrt(x.size)
    return student_interval(float(x.mean()), error, x.size - 1, confidence, x.size)


def t_lower(values: ArrayLike, delta: float) -> float:
    """One-sided lower limit of the mean at confidence 1 − δ: x̄ − t_{n−1, 1−δ} s/√n.

    >>> round(t_lower([1.0, 2.0, 3.0], 0.025), 3)
    -0.484
    """
    return t_interval(values, 1 - 2 * _half(delta)).low


def t_upper(values: ArrayLike, delta: float) -> float:
    """One-sided upper limit of the mean at confidence 1 − δ: x̄ + t_{n−1, 1−δ} s/√n.

    >>> round(t_upper([1.0, 2.0, 3.0], 0.025), 3)
    4.484
    """
    return t_interval(values, 1 - 2 * _half(delta)).high


def welch_interval(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Interval:
    """Two-sided interval for mean(a) − mean(b) of two independent samples of unequal variance, each of 2 or more.

    >>> i = welch_interval([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    >>> i.value, round(i.dof, 6), round(i.high, 3)
    (0.0, 4.0, 2.267)
    """
    x, y = vector("a", a, least=2), vector("b", b, least=2)
    parts = np.array([x.var(ddof=1) / x.size, y.var(ddof=1) / y.size])
    total = float(parts.sum())
    sizes = np.array([x.size - 1, y.size - 1])
    # Two constant samples have no variance to weigh the sizes by; the interval is a point at any dof.
    dof = total**2 / float(np.sum(parts**2 / sizes)) if total > 0 else float(sizes.sum())
    return student_interval(float(x.mean() - y.mean()), math.sqrt(total), dof, confidence, x.size + y.size)


def cluster_mean(values: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean over rows with a standard error in which the rows of one group are one unit; g ≥ 2 groups, g − 1 dof.

    `values` [n], `groups` [n] of any labels. With one row a group it is `t_interval`.

    >>> cluster_mean([1.0, 1.0, 3.0, 3.0], ["u", "u", "v", "v"]).standard_error
    1.0
    """
    x = vector("values", values)
    labels = np.asarray(groups)
    if labels.shape != x.shape:
        raise ValueError(f"groups: expected one label a value, shape {x.shape}, got {labels.shape}")
    names, member = np.unique(labels, return_inverse=True)
    g = names.size
    if g < 2:
        raise ValueError(f"groups: expected at least 2 groups, got {g}")
    totals = np.bincount(member, weights=x - x.mean(), minlength=g)
    error = math.sqrt(g / (g - 1) * float(totals @ totals)) / x.size
    return student_interval(float(x.mean()), error, g - 1, confidence, g)


def student_interval(value: float, error: float, dof: float, confidence: float, units: int) -> Interval:
    """value ± t_{dof} · standard error, for estimators that bring their own standard error.

    >>> round(student_interval(0.0, 1.0, 10, 0.95, 11).high, 3)
    2.228
    """
    half = float(student.isf((1 - probability("confidence", confidence)) / 2, dof)) * error
    return Interval(value, value - half, value + half, confidence, error, units, float(dof))


def _half(delta: float) -> float:
    if not 0.0 < delta < 0.5:
        raise ValueError(f"delta: expected a number strictly between 0 and 1/2, got {delta}")
    return delta
