"""Student intervals for a mean, a difference of means and a mean over clustered rows.

    one sample    x̄ ± t_{n−1} · s/√n                                                      Student 1908
    two samples   x̄ − ȳ ± t_ν · √(s_x²/n + s_y²/m),  ν by Welch–Satterthwaite              Welch 1947
    clustered     x̄ ± t_ν · √(Σ_j e_j²/(1 − p_j))/N,  e_j = Σ_{i∈j} (x_i − x̄),  p_j = n_j/N   Bell, McCaffrey 2002 (CR2)
    skewed        any of these, both ends moved by σ·k·(1 + 2t²)/6                         Johnson 1978

σ is the standard error and k the skewness of the mean, Σ e_j³/(Σ e_j²)^{3/2} (one row a unit: skewness of the values
over √n). The move is at most the half-width, so that the mean stays within its interval. Of groups only the end that
moves outwards is moved: the third moment of a few unequal totals is that of the largest one.

ν of a clustered mean is Satterthwaite's, (tr KV)²/tr (KV)², for the quadratic form K of its variance under rows of one
group that are copies, V = diag(n_j²): g − 1 for equal groups, fewer where a few large groups carry the mean. All are
asymptotic in general and exact for Gaussian values (the first; the third for equal Gaussian clusters).
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
    """Mean over rows with a standard error in which the rows of one group are one unit; g ≥ 2 groups.

    `values` [n], `groups` [n] of any labels. With one row a group it is `t_interval`.

    >>> i = cluster_mean([1.0, 1.0, 3.0, 3.0], ["u", "u", "v", "v"])
    >>> round(i.standard_error, 9), round(i.dof, 9)
    (1.0, 1.0)
    """
    found = mean_of(values, groups)
    return student_interval(found.value, found.error, found.dof, confidence, found.units)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with all that its interval needs; `low` and `high` are one-sided limits corrected for skewness."""

    value: float
    error: float
    """Standard error."""
    dof: float
    """Degrees of freedom of that error."""
    skewness: float
    """Of the mean itself: that of the units over the root of their number."""
    units: int
    grouped: bool = False

    def low(self, delta: float) -> float:
        """Lower limit at confidence 1 − δ."""
        half, move = self._width(delta)
        return self.value - (half - (min(move, 0.0) if self.grouped else move))

    def high(self, delta: float) -> float:
        """Upper limit at confidence 1 − δ.

        >>> m = mean_of([0.0, 0.0, 0.0, 4.0])
        >>> round(m.high(0.05) - m.value, 2), round(m.value - m.low(0.05), 2)
        (3.52, 1.19)
        """
        half, move = self._width(delta)
        return self.value + (half + (max(move, 0.0) if self.grouped else move))

    def _width(self, delta: float) -> tuple[float, float]:
        t = student_quantile(delta, self.dof)
        half = t * self.error
        return half, min(max(self.error * self.skewness * (1 + 2 * t**2) / 6, -half), half)


def mean_of(values: ArrayLike, groups: ArrayLike | None = None) -> Mean:
    """Mean of independent values [n], or of rows of which those of one group are one unit; 2 or more units."""
    x = vector("values", values, least=2 if groups is None else 1)
    if groups is None:
        return Mean(float(x.mean()), float(x.std(ddof=1)) / math.sqrt(x.size), x.size - 1, _skewness(x), x.size)
    labels = np.asarray(groups)
    if labels.shape != x.shape:
        raise ValueError(f"groups: expected one label a value, shape {x.shape}, got {labels.shape}")
    _, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    g = sizes.size
    if g < 2:
        raise ValueError(f"groups: expected at least 2 groups, got {g}")
    totals = np.bincount(member, weights=x - x.mean(), minlength=g)
    error = math.sqrt(float((totals**2 / (1 - sizes / x.size)).sum())) / x.size
    return Mean(float(x.mean()), error, _cluster_dof(sizes), _skewness(totals), g, True)


def mean_difference(a: Mean, b: Mean) -> Mean:
    """a − b of two independent samples; degrees of freedom by Welch–Satterthwaite.

    >>> d = mean_difference(mean_of([1.0, 2.0, 3.0]), mean_of([1.0, 2.0, 3.0]))
    >>> d.value, round(d.dof, 6), d.units
    (0.0, 4.0, 6)
    """
    error = math.hypot(a.error, b.error)
    units, grouped = a.units + b.units, a.grouped or b.grouped
    if error == 0:
        return Mean(a.value - b.value, 0.0, a.dof + b.dof, 0.0, units, grouped)
    x, y = a.error / error, b.error / error
    dof = 1 / (x**4 / a.dof + y**4 / b.dof)
    return Mean(a.value - b.value, error, dof, a.skewness * x**3 - b.skewness * y**3, units, grouped)


def _skewness(units: np.ndarray) -> float:
    """Σ e³/(Σ e²)^{3/2} of the deviations e from their mean (group totals have mean 0)."""
    e = units - units.mean()
    spread = float(e @ e)
    return float((e**3).sum()) / spread**1.5 if spread > 0 else 0.0


def _cluster_dof(sizes: np.ndarray) -> float:
    """(tr KV)²/tr (KV)² with K = (I − p1ᵀ)ᵀC(I − p1ᵀ), C = diag 1/(1 − p), V = diag n²; written out in O(g).

    K_ij = c_i·[i = j] − w_i − w_j + s with w = Cp and s = pᵀCp.
    """
    p = sizes / sizes.sum()
    v, c = p**2, 1 / (1 - p)
    w = c * p
    s = float(w @ p)
    diagonal = c - 2 * w + s
    first, second, total = float(v @ w), float(v @ w**2), float(v.sum())
    everywhere = (s * total) ** 2 + 2 * total * second - 4 * s * total * first + 2 * first**2
    squares = float(v**2 @ (diagonal**2 - (s - 2 * w) ** 2)) + everywhere
    return float(v @ diagonal) ** 2 / squares


def student_quantile(delta: float, dof: float) -> float:
    """The value that a t variable of `dof` degrees of freedom exceeds with probability δ."""
    return float(student.isf(delta, dof))


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
