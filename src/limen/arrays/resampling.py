"""Intervals without a formula for the variance: the BCa bootstrap and the delete-a-group jackknife.

BCa: percentiles of the bootstrap distribution at Φ(ẑ₀ + (ẑ₀ + z)/(1 − â(ẑ₀ + z))), ẑ₀ its median bias, â its
acceleration (Efron, JASA 82, 1987); second-order correct for smooth statistics of independent rows. It lacks the t
factor: at 80 skewed rows the nominal 95 % covered 93.0 % of 2,000 simulations, so bring 100 rows or more.

Delete-a-group jackknife with g groups of about equal size, θ_j computed without group j, θ̄ their mean:

    bias = (g−1)(θ̄ − θ),   se² = (g−1)/g · Σ_j (θ_j − θ̄)²,   interval θ ± t_{g−1} se

(Tukey 1958; Shao, Tu, The Jackknife and Bootstrap, 1995, §2.3). For smooth statistics; groups are the units.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import DegenerateDataWarning, bootstrap

from limen.arrays.checks import count, probability, vector
from limen.arrays.means import Interval, student_interval

BATCH_ELEMENTS = 2**22
"""Resampled values held in memory at a time (32 MiB of float64)."""


def bca_interval(
    values: ArrayLike | tuple[ArrayLike, ...],
    statistic: Callable[..., Any],
    confidence: float,
    resamples: int,
    rng: np.random.Generator,
) -> Interval:
    """Two-sided BCa interval of `statistic` over independent rows.

    `values` is [n], or a tuple of [n] arrays whose rows belong together and are drawn together. `statistic` takes as
    many arrays and an `axis` keyword and reduces that axis. Where every resample gives the same number the interval is
    that number; where BCa is undefined (all resamples on one side of the estimate) the ends are infinite.

    >>> i = bca_interval([1.0, 2.0, 3.0, 4.0], np.mean, 0.9, 999, np.random.default_rng(0))
    >>> i.low < i.value == 2.5 < i.high
    True
    """
    columns = values if isinstance(values, tuple) else (values,)
    data = tuple(vector(f"values[{i}]", column, least=2) for i, column in enumerate(columns))
    n = data[0].size
    if any(column.size != n for column in data):
        raise ValueError(f"values: expected columns of one length, got {[column.size for column in data]}")
    count("resamples", resamples, least=100)
    probability("confidence", confidence)
    value = float(np.asarray(statistic(*data, axis=-1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # answered below by a point or infinite ends
        warnings.simplefilter("ignore", RuntimeWarning)
        result = bootstrap(
            data,
            statistic,
            paired=True,
            vectorized=True,
            axis=-1,
            n_resamples=resamples,
            batch=max(1, BATCH_ELEMENTS // n),
            confidence_level=confidence,
            method="BCa",
            rng=rng,
        )
    error = float(result.standard_error)
    if np.ptp(result.bootstrap_distribution) == 0.0:
        return Interval(value, value, value, confidence, 0.0, n)
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = -math.inf, math.inf
    return Interval(value, low, high, confidence, error, n)


def jackknife(full: float, deleted: ArrayLike, confidence: float = 0.95) -> Interval:
    """Delete-a-group jackknife of a statistic: `full` on all rows, `deleted` [g ≥ 2] without each group.

    `bias` is reported, not subtracted: `value` stays the statistic that the reader sees elsewhere.

    >>> i = jackknife(3.0, [(12 - x) / 3 for x in (1, 2, 3, 6)])  # the mean of 1, 2, 3, 6: s/√n = √(14/3)/2
    >>> round(i.standard_error, 6), round(abs(i.bias), 12), i.dof
    (1.080123, 0.0, 3.0)
    """
    if not math.isfinite(full):
        raise ValueError(f"full: expected a finite number, got {full}")
    theta = vector("deleted", deleted, least=2)
    g = theta.size
    spread = theta - theta.mean()
    error = math.sqrt((g - 1) / g * float(spread @ spread))
    bias = (g - 1) * (float(theta.mean()) - full)
    return replace(student_interval(float(full), error, g - 1, confidence, g), bias=bias)
