"""Displacements and exponents beside the laws; which lags have an error."""

from __future__ import annotations

import numpy as np
import pytest

from limen.records.dynamics import Dynamics
from limen.records.trajectory import Correlation
from limen.verdict.dynamics.displacement import lags

from .cases import ETA, VARIANCE, H, autocorrelation, problem


def test_displacement_lies_on_the_law_of_the_sampling_and_laws_differ(
    independent: Dynamics, reshuffled: Dynamics
) -> None:
    for found, own in ((independent, "discrete"), (reshuffled, "epoch")):
        z = []
        for lag in found.lags:
            assert set(lag.predicted) == {"discrete", "langevin", "epoch"}
            if lag.measured.low is not None and lag.measured.high is not None and lag.measured.value is not None:
                error = (lag.measured.high - lag.measured.low) / 3.92
                z.append((lag.measured.value - (lag.predicted[own] or 0.0)) / error)
        assert max(abs(x) for x in z) < 4
    late = reshuffled.lags[-1]
    assert (late.predicted["epoch"] or 0) < 0.95 * (late.predicted["discrete"] or 0)


def test_long_lags_have_a_value_and_no_interval(independent: Dynamics) -> None:
    long = [lag for lag in independent.lags if lag.lag > 12_000 / 16]
    assert all(lag.measured.low is None for lag in long)
    assert all(lag.measured.low is not None for lag in independent.lags if lag.lag <= 12_000 / 16)


def correlation(
    lags: list[int], values: list[float], errors: list[float], start: int = 0, origins: int = 100
) -> Correlation:
    none = np.zeros(len(lags))
    return Correlation(start, np.array(lags), np.array([origins - at for at in range(len(lags))]), np.array(values),
                       np.array(errors), none, none)  # fmt: skip


def test_errors_join_those_over_time_and_of_the_sketch() -> None:
    found = lags(problem(correlations=(correlation([1, 2, 250, 251], [1.0, 4.0, 8.0, 8.0], [0.3, 0.4, 0.5, 0.6]),)))
    # √(2/1024) = .0442 of the value
    for at, value, error in zip(found[:3], (1.0, 4.0, 8.0), (0.3, 0.4, 0.5), strict=True):
        half = 1.959963984540054 * np.hypot(error, np.sqrt(2 / 1024) * value)
        assert (at.measured.value, at.measured.low, at.measured.high) == pytest.approx(
            (value, value - half, value + half)
        )
    assert [at.measured.n for at in found] == [100, 99, 98, 97]
    assert found[3].measured.value == 8.0  # 251 > 4000/16
    assert found[3].measured.low is None


def test_the_local_exponent_is_the_slope_between_neighbours_and_its_error_leaves_the_sketch_out() -> None:
    seen = correlation([1, 2, 8, 16, 4000], [1.0, 4.0, 16.0, 32.0, 0.0], [0.01, 0.04, 0.32, 0.32, 0.1])
    found = lags(problem(correlations=(seen,)))
    slopes = [2.0, np.log(16) / np.log(8), 1.0]  # ends have one neighbour
    errors = [np.hypot(0.01, 0.01) / np.log(2), np.hypot(0.01, 0.02) / np.log(8), np.hypot(0.01, 0.01) / np.log(8)]
    for at, slope, error in zip(found[:3], slopes, errors, strict=True):
        assert at.exponent.value == pytest.approx(slope)
        assert (at.exponent.high - at.exponent.low) / 2 == pytest.approx(1.959963984540054 * error)
    assert found[3].exponent.value is None  # its neighbour has not moved
    assert found[4].exponent.value is None


def test_the_laws_slope_is_taken_between_the_same_neighbours() -> None:
    found = lags(problem(correlations=(correlation([1, 2, 8], [1.0, 4.0, 16.0], [0.1, 0.1, 0.1]),)))
    a = ETA * H
    law = "discrete"
    values = [sum(2 * VARIANCE[i] * (1 - autocorrelation(a[i], 8)[t]) for i in range(2)) for t in (1, 2, 8)]
    assert [at.predicted[law] for at in found] == pytest.approx(values, rel=1e-9)
    assert found[1].predicted_exponent[law] == pytest.approx(np.log(values[2] / values[0]) / np.log(8), rel=1e-9)
    assert found[0].predicted_exponent[law] == pytest.approx(np.log2(values[1] / values[0]), rel=1e-9)


def test_of_correlations_in_the_segment_the_one_of_most_origins_counts() -> None:
    one = correlation([1, 2], [1.0, 2.0], [0.1, 0.1], 0, 50)
    two = correlation([1, 2], [3.0, 4.0], [0.1, 0.1], 2000, 60)
    past = correlation([1, 2], [5.0, 6.0], [0.1, 0.1], 4001, 90)
    assert lags(problem(correlations=(one, two, past)))[0].measured.value == 3.0
    assert lags(problem(correlations=(past,))) == ()
    assert lags(problem(correlations=(correlation([], [], []),))) == ()
    assert lags(problem(correlations=())) == ()


def test_one_lag_has_no_slope() -> None:
    (only,) = lags(problem(correlations=(correlation([3], [1.0], [0.1]),)))
    assert only.exponent.value is None
    assert only.predicted_exponent["discrete"] is None
    assert only.predicted["discrete"] is not None
