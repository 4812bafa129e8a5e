"""Means and second moments of a correlated series, with errors from batches longer than its memory.

A series of T steps is cut into B batches of length L ≥ 5τ, τ its memory in steps. With batch means m_b and their mean
m,

    mean      m,                                     standard error f·s(m_b)/√B
    variance  mean (x − m)² + s²(m_b)/B,             standard error s(mean over batch b of (x − m)²)/√B

Neighbouring batches of an exponential memory correlate by ρ = (1 − e^{−L/τ})²/(2(L/τ − 1 + e^{−L/τ})), .12 at L = 5τ:
f² = 1 + 2ρ. The second term of the variance puts back what m itself took from the spread. Intervals are Student's with
B − 1 degrees of freedom, of a variance on the scale of its logarithm. Drift: the least-squares slope of m_b on b
against f times its own error. Law and Kelton, Simulation Modeling and Analysis, on batch means; ρ: the integral of
e^{−|s−t|/τ} over two batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from limen.arrays.means import student_interval, student_quantile
from limen.records.estimate import Estimate, not_identified
from limen.records.units import counted

Floats = NDArray[np.float64]

LEAST_BATCHES = 12
MOST_BATCHES = 30


@dataclass(frozen=True, slots=True)
class Batches:
    """How a run is cut for one memory."""

    length: int
    count: int
    memory: float = 0.0
    """τ, steps."""

    @property
    def inflation(self) -> float:
        """f: by how much the correlation of neighbouring batches widens the error of a mean."""
        if self.memory == 0:
            return 1.0
        ratio = self.length / self.memory
        lost = -np.expm1(-ratio)
        return float(np.sqrt(1 + lost**2 / (ratio - lost)))

    @property
    def steps(self) -> int:
        """Steps that are used: the last length·count."""
        return self.length * self.count


def batches(steps: int, least_length: float, memory: float = 0.0) -> Batches | None:
    """As many batches as `steps` allow of at least `least_length`, 12 to 30; None where fewer than 12 fit.

    >>> batches(1100, 100), batches(10_000, 100)
    (None, Batches(length=333, count=30, memory=0.0))
    """
    if not np.isfinite(least_length) or steps < LEAST_BATCHES * least_length:
        return None
    count = int(min(MOST_BATCHES, steps // max(least_length, 1)))
    return Batches(steps // count, count, memory)


def variance(values: Floats, cut: Batches, method: str, confidence: float = 0.95) -> Estimate:
    """Variance over the last steps of a series [T], corrected for the mean's own error."""
    found = _cut(values, cut)
    means = found.mean(axis=1)
    squares = ((found - means.mean()) ** 2).mean(axis=1) + means.var(ddof=1) / cut.count
    plain = of_batches(squares, method, confidence)
    error = standard_error(plain)
    if plain.value is None or plain.value <= 0 or error is None:
        return plain
    width = student_quantile((1 - confidence) / 2, cut.count - 1) * error / plain.value
    return plain.but(low=plain.value * np.exp(-width), high=plain.value * np.exp(width))


def of_batches(values: Floats, method: str, confidence: float = 0.95, inflation: float = 1.0) -> Estimate:
    """Student interval of the mean of batch values [B], its error widened by `inflation`."""
    error = inflation * float(values.std(ddof=1)) / np.sqrt(len(values))
    at = student_interval(float(values.mean()), error, len(values) - 1, confidence, len(values))
    return Estimate(
        at.value, at.low, at.high, confidence, "statistical", len(values), method,
        ("batches are longer than the memory of the process, so that their means are independent",),
        "docs/statements/sgd-dynamics.md",
    )  # fmt: skip


def ratio(above: Floats, below: Floats, method: str, confidence: float = 0.95, inflation: float = 1.0) -> Estimate:
    """Ratio of two means from batch values [B] of each, jackknife over batches."""
    count, total = len(above), float(above.sum() / below.sum())
    left = (above.sum() - above) / (below.sum() - below)
    pseudo = count * total - (count - 1) * left
    error = inflation * float(pseudo.std(ddof=1)) / np.sqrt(count)
    at = student_interval(float(pseudo.mean()), error, count - 1, confidence, count)
    return Estimate(
        at.value, at.low, at.high, confidence, "statistical", count, f"{method}, jackknife over batches",
        ("batches are longer than the memory of the process",), "docs/statements/sgd-dynamics.md",
    )  # fmt: skip


def drift_p(values: Floats, cut: Batches) -> float:
    """Two-sided p of no trend in the batch means of a series."""
    means = _cut(values, cut).mean(axis=1)
    if np.ptp(means) == 0:
        return 1.0
    fit = stats.linregress(np.arange(cut.count), means)
    t = abs(fit.slope) / (fit.stderr * cut.inflation) if fit.stderr > 0 else np.inf
    return float(2 * stats.t.sf(t, cut.count - 2))


def batch_means(values: Floats, cut: Batches) -> Floats:
    """Means of the batches of a series [T] or of the columns of [T, …]."""
    return np.asarray(_cut(values, cut).mean(axis=1))


def too_short(steps: int, needed: float, what: str) -> Estimate:
    """Why there is no estimate, with the steps that would do."""
    if not np.isfinite(needed):
        return not_identified(f"{what}: this mode never forgets (flat or unstable)", method="batch means")
    return not_identified(
        f"{what}: the run has {counted(steps, 'step')} of one setting; {int(np.ceil(needed)):,} would do",
        method="batch means",
    )


def standard_error(found: Estimate) -> float | None:
    """The error behind an interval of this file: half-width over Student's quantile, of a variance on its log scale."""
    if found.low is None or found.high is None or found.n is None or found.confidence is None or found.n < 2:
        return None
    quantile = student_quantile((1 - found.confidence) / 2, found.n - 1)
    if found.value is not None and found.low > 0 and np.isclose(found.low * found.high, found.value**2):
        return float(found.value * np.log(found.high / found.low) / 2 / quantile)
    return (found.high - found.low) / 2 / quantile


def _cut(values: Floats, cut: Batches) -> Floats:
    used = np.asarray(values, dtype=np.float64)[-cut.steps :]
    return used.reshape(cut.count, cut.length, *used.shape[1:])
