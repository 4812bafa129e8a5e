"""Student intervals: agreement with scipy's own tests, invariances, coverage, degenerate samples, named errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from limen.arrays.means import cluster_mean, t_interval, t_lower, t_upper, welch_interval
from limen.arrays.random import stream

Rule = Callable[[np.ndarray], None]


def covers(intervals: list, truth: float) -> np.ndarray:
    return np.array([i.low <= truth <= i.high for i in intervals])


@pytest.mark.parametrize("n", [2, 5, 60])
def test_t_interval_agrees_with_scipy(n: int) -> None:
    x = stream("test", "t", n).normal(3.0, 2.0, n)
    ours, slow = t_interval(x, 0.9), ttest_1samp(x, 0.0).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((slow.low, slow.high), rel=1e-12)
    assert ours.units == n
    assert ours.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(n))


def test_one_sided_limits_agree_with_scipy_and_with_the_two_sided_interval() -> None:
    x = stream("test", "one-sided").normal(size=9)
    assert t_lower(x, 0.05) == pytest.approx(ttest_1samp(x, 0, alternative="greater").confidence_interval(0.95).low)
    assert t_upper(x, 0.05) == pytest.approx(ttest_1samp(x, 0, alternative="less").confidence_interval(0.95).high)
    assert (t_lower(x, 0.025), t_upper(x, 0.025)) == pytest.approx((t_interval(x).low, t_interval(x).high))
    assert t_lower(x, 0.01) < t_lower(x, 0.05)


def test_welch_agrees_with_scipy_and_is_antisymmetric() -> None:
    rng = stream("test", "welch")
    a, b = rng.normal(0, 1, 7), rng.normal(1, 5, 30)
    ours, slow = welch_interval(a, b), ttest_ind(a, b, equal_var=False)
    interval = slow.confidence_interval(0.95)
    assert (ours.low, ours.high, ours.dof) == pytest.approx((interval.low, interval.high, slow.df), rel=1e-12)
    mirrored = welch_interval(b, a)
    assert (mirrored.low, mirrored.high) == pytest.approx((-ours.high, -ours.low))


def test_cluster_mean_of_single_rows_is_the_t_interval() -> None:
    x = stream("test", "cluster").normal(size=12)
    ours, plain = cluster_mean(x, np.arange(12)), t_interval(x)
    assert (ours.low, ours.high, ours.dof) == pytest.approx((plain.low, plain.high, plain.dof), rel=1e-12)


def test_cluster_mean_counts_repeated_rows_once() -> None:
    x = stream("test", "repeated").normal(size=10)
    tripled = cluster_mean(np.repeat(x, 3), np.repeat(np.arange(10), 3))
    assert tripled.standard_error == pytest.approx(t_interval(x).standard_error, rel=1e-12)
    assert tripled.standard_error > 1.6 * t_interval(np.repeat(x, 3)).standard_error
    assert tripled.units == 10


def test_cluster_mean_ignores_order_and_names_of_groups() -> None:
    rng = stream("test", "names")
    x, group = rng.normal(size=30), rng.integers(0, 6, 30)
    order = rng.permutation(30)
    renamed = np.array(list("fedcba"))[group]
    one, other = cluster_mean(x, group), cluster_mean(x[order], renamed[order])
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-12)


def test_constant_values_give_a_point() -> None:
    for interval in (t_interval([2.0, 2.0]), cluster_mean([2.0] * 4, [0, 0, 1, 1])):
        assert (interval.low, interval.value, interval.high) == (2.0, 2.0, 2.0)
    difference = welch_interval([2.0, 2.0], [1.0, 1.0, 1.0])
    assert (difference.low, difference.high, difference.dof) == (1.0, 1.0, 3.0)


def test_coverage_of_t_and_its_sides(statistical: Rule) -> None:
    x = stream("test-coverage", "t").normal(1.0, 3.0, (4000, 5))
    statistical(covers([t_interval(row) for row in x], 1.0))
    statistical(np.array([t_lower(row, 0.05) <= 1.0 for row in x]))
    statistical(np.array([t_upper(row, 0.05) >= 1.0 for row in x]))


def test_coverage_of_t_on_per_row_losses(statistical: Rule) -> None:
    losses = stream("test-coverage", "losses").gamma(0.5, 1.0, (4000, 400))
    statistical(covers([t_interval(row) for row in losses], 0.5))


def test_coverage_of_welch(statistical: Rule) -> None:
    rng = stream("test-coverage", "welch")
    a, b = rng.normal(2.0, 1.0, (4000, 6)), rng.normal(0.5, 4.0, (4000, 15))
    statistical(covers([welch_interval(x, y) for x, y in zip(a, b, strict=True)], 1.5))


def test_coverage_of_the_cluster_mean_where_rows_as_units_fail(statistical: Rule) -> None:
    rng = stream("test-coverage", "cluster")
    group = np.repeat(np.arange(30), rng.integers(5, 12, 30))
    rows = [rng.normal(size=30)[group] + rng.normal(size=group.size) for _ in range(3000)]
    statistical(covers([cluster_mean(x, group) for x in rows], 0.0))
    assert covers([t_interval(x) for x in rows], 0.0).mean() < 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_interval([1.0]), "values: expected at least 2 values, got 1"),
        (lambda: t_interval([1.0, np.inf]), "values: expected finite values, got 1"),
        (lambda: t_interval([1.0, 2.0], 1.0), "confidence: expected .* got 1.0"),
        (lambda: t_lower([1.0, 2.0], 0.5), "delta: expected .* got 0.5"),
        (lambda: welch_interval([1.0, 2.0], [1.0]), "b: expected at least 2 values, got 1"),
        (lambda: cluster_mean([1.0, 2.0], [0]), r"groups: expected one label a value, shape \(2,\), got \(1,\)"),
        (lambda: cluster_mean([1.0, 2.0], [0, 0]), "groups: expected at least 2 groups, got 1"),
    ],
)
def test_named_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
