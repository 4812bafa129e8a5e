"""Student intervals: agreement with scipy's own tests, invariances, coverage, degenerate samples, named errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_ind

from limen.arrays.means import cluster_mean, mean_difference, mean_of, t_interval, t_lower, t_upper, welch_interval
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


def test_coverage_of_the_cluster_mean_with_few_unequal_groups() -> None:
    """12 groups of lognormal sizes: .88 with g − 1 degrees of freedom where 95 % is nominal."""
    rng, hits, plain = stream("test-coverage", "unequal"), 0, 0
    for _ in range(2000):
        sizes = np.maximum(1, np.round(np.exp(rng.normal(2.0, 1.0, 12)))).astype(int)
        group = np.repeat(np.arange(12), sizes)
        x = rng.normal(size=12)[group] + rng.normal(size=group.size)
        found = cluster_mean(x, group)
        totals = np.bincount(group, weights=x - x.mean())
        hits += found.low <= 0.0 <= found.high
        plain += abs(x.mean()) <= student.isf(0.025, 11) * np.sqrt(12 / 11 * totals @ totals) / x.size
    assert plain / 2000 < 0.91
    assert 0.945 <= hits / 2000 <= 0.99


def test_effective_degrees_of_freedom_are_those_of_the_quadratic_form() -> None:
    sizes = np.array([1, 1, 2, 5, 30])
    share, group = sizes / sizes.sum(), np.repeat(np.arange(5), sizes)
    centre = np.eye(5) - np.outer(share, np.ones(5))
    form = np.diag(share) @ centre.T @ np.diag(1 / (1 - share)) @ centre @ np.diag(share)
    slow = np.trace(form) ** 2 / np.trace(form @ form)
    assert mean_of(np.arange(39.0), group).dof == pytest.approx(slow, rel=1e-12)
    assert slow < 2
    equal = mean_of(np.arange(40.0), np.repeat(np.arange(8), 5))
    assert equal.dof == pytest.approx(7.0)


def test_a_difference_of_means_is_welchs_and_its_skewness_changes_sign_with_it() -> None:
    rng = stream("test", "difference")
    a, b = rng.exponential(size=9), rng.exponential(size=40) * 3
    there, back = mean_difference(mean_of(a), mean_of(b)), mean_difference(mean_of(b), mean_of(a))
    plain = welch_interval(a, b)
    assert (there.value, there.error, there.dof) == pytest.approx((plain.value, plain.standard_error, plain.dof))
    assert (there.low(0.05), there.high(0.05)) == pytest.approx((-back.high(0.05), -back.low(0.05)))
    assert mean_difference(mean_of(a), mean_of(a)).skewness == pytest.approx(0.0)
    assert mean_difference(mean_of([1.0, 1.0]), mean_of([2.0, 2.0, 2.0])).high(0.01) == -1.0


def test_skewness_moves_both_ends_of_rows_and_the_outward_end_of_groups() -> None:
    x = stream("test", "outward").exponential(size=40)
    rows, groups = mean_of(x), mean_of(np.repeat(x, 3), np.repeat(np.arange(40), 3))
    plain = t_interval(x, 0.9)
    assert rows.high(0.05) == pytest.approx(groups.high(0.05))
    assert plain.high < rows.high(0.05)
    assert plain.low < rows.low(0.05)
    assert groups.low(0.05) == pytest.approx(plain.low)
    mirrored = mean_of(-np.repeat(x, 3), np.repeat(np.arange(40), 3))
    assert (mirrored.low(0.05), mirrored.high(0.05)) == pytest.approx((-groups.high(0.05), -groups.low(0.05)))


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
