"""Finite-sample bounds: dualities, closed forms, order between bounds, coverage, named errors."""

from __future__ import annotations

from collections.abc import Callable
from math import expm1, inf, log, nan, sqrt

import numpy as np
import pytest
from scipy.special import rel_entr
from scipy.stats import binom, binomtest

from limen.arrays.bounded import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    hoeffding_deviation,
    kl_lower,
    kl_upper,
    maurer_pontil_upper,
)
from limen.arrays.random import stream

Rule = Callable[[np.ndarray, float], None]
DELTA = 0.05


def kl(p: float, q: float) -> float:
    return float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))


@pytest.mark.parametrize(("k", "n"), [(1, 5), (3, 40), (39, 40), (250, 1000)])
@pytest.mark.parametrize("delta", [1e-8, 0.025, 0.3])
def test_clopper_pearson_is_dual_to_the_binomial_tail(k: int, n: int, delta: float) -> None:
    assert binom.sf(k - 1, n, clopper_pearson_lower(k, n, delta)) == pytest.approx(delta, rel=1e-8)
    assert binom.cdf(k, n, clopper_pearson_upper(k, n, delta)) == pytest.approx(delta, rel=1e-8)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 30)])
def test_clopper_pearson_agrees_with_scipy_and_with_its_mirror(k: int, n: int) -> None:
    slow = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson_lower(k, n, 0.025) == pytest.approx(slow.low, abs=1e-12)
    assert clopper_pearson_upper(k, n, 0.025) == pytest.approx(slow.high, abs=1e-12)
    assert clopper_pearson_upper(k, n, 0.025) == pytest.approx(1 - clopper_pearson_lower(n - k, n, 0.025), abs=1e-12)


def test_clopper_pearson_closed_forms_at_the_edges() -> None:
    assert clopper_pearson_lower(0, 9, DELTA) == 0.0
    assert clopper_pearson_upper(9, 9, DELTA) == 1.0
    assert clopper_pearson_lower(9, 9, DELTA) == pytest.approx(DELTA ** (1 / 9), rel=1e-14)
    assert clopper_pearson_upper(0, 10**9, DELTA) == pytest.approx(-expm1(log(DELTA) / 1e9), rel=1e-12)


@pytest.mark.parametrize("mean", [1e-6, 0.03, 0.5, 0.9, 1 - 1e-6])
@pytest.mark.parametrize("n", [1, 20, 5000])
def test_kl_bounds_invert_the_divergence(mean: float, n: int) -> None:
    budget = log(1 / DELTA) / n
    low, high = kl_lower(mean, n, DELTA), kl_upper(mean, n, DELTA)
    assert low <= mean <= high
    assert high == pytest.approx(1.0, abs=1e-14) or kl(mean, high) == pytest.approx(budget, rel=1e-5)
    assert low < 1e-14 or kl(mean, low) == pytest.approx(budget, rel=1e-5)


@pytest.mark.parametrize("n", [1, 7, 400])
def test_kl_closed_forms_at_the_edges(n: int) -> None:
    assert kl_lower(0.0, n, DELTA) == 0.0
    assert kl_upper(1.0, n, DELTA) == 1.0
    assert kl_lower(1.0, n, DELTA) == pytest.approx(DELTA ** (1 / n), rel=1e-12)
    assert kl_upper(0.0, n, DELTA) == pytest.approx(1 - DELTA ** (1 / n), rel=1e-12)


@pytest.mark.parametrize("mean", np.linspace(0.001, 0.999, 21).tolist())
def test_kl_is_tighter_than_hoeffding_and_looser_than_clopper_pearson(mean: float) -> None:
    n = 1000
    k = round(mean * n)
    deviation = hoeffding_deviation(n, DELTA)
    assert mean - deviation < kl_lower(mean, n, DELTA) <= kl_upper(mean, n, DELTA) < mean + deviation
    assert kl_lower(k / n, n, DELTA) <= clopper_pearson_lower(k, n, DELTA)
    assert kl_upper(k / n, n, DELTA) >= clopper_pearson_upper(k, n, DELTA)


def test_kl_scales_with_the_range_and_mirrors() -> None:
    assert kl_lower(2.0, 50, DELTA, scale=8.0) == pytest.approx(8 * kl_lower(0.25, 50, DELTA), rel=1e-14)
    assert kl_upper(2.0, 50, DELTA, scale=8.0) == pytest.approx(8 * kl_upper(0.25, 50, DELTA), rel=1e-14)
    assert kl_lower(0.25, 50, DELTA) == pytest.approx(1 - kl_upper(0.75, 50, DELTA), rel=1e-12)


def test_bounds_tighten_with_rows_and_loosen_with_confidence() -> None:
    for lower in (lambda n, d: clopper_pearson_lower(n // 4, n, d), lambda n, d: kl_lower(0.25, n, d)):
        assert lower(40, 0.05) < lower(400, 0.05) < 0.25
        assert lower(40, 0.01) < lower(40, 0.05)


def test_maurer_pontil_uses_the_variance() -> None:
    calm, wild = np.tile([0.25, 0.35], 500), np.tile([0.0, 1.0], 500)
    assert maurer_pontil_upper(calm, DELTA) < 0.3 + hoeffding_deviation(1000, DELTA)
    assert maurer_pontil_upper(wild, DELTA) > 0.5 + hoeffding_deviation(1000, DELTA)
    price = log(2 / DELTA)
    by_hand = 0.3 + sqrt(2 * 0.05**2 * 1000 / 999 * price / 1000) + 7 * price / (3 * 999)
    assert maurer_pontil_upper(calm, DELTA) == pytest.approx(by_hand, rel=1e-12)
    assert maurer_pontil_upper(4 * calm, DELTA, scale=4.0) == pytest.approx(4 * by_hand, rel=1e-12)


@pytest.mark.parametrize(("p", "n"), [(0.02, 60), (0.3, 25), (0.5, 200)])
def test_coverage_of_bounds_on_counts(p: float, n: int, certified: Rule) -> None:
    k = stream("test-coverage", "counts", p, n).binomial(n, p, 20_000)
    tables = {
        "cp": ([clopper_pearson_lower(i, n, DELTA) for i in range(n + 1)], clopper_pearson_upper),
        "kl": ([kl_lower(i / n, n, DELTA) for i in range(n + 1)], lambda i, n, d: kl_upper(i / n, n, d)),
    }
    for lower, upper in tables.values():
        certified(np.array(lower)[k] <= p, 1 - DELTA)
        certified(np.array([upper(i, n, DELTA) for i in range(n + 1)])[k] >= p, 1 - DELTA)
    exact_miss = binom.pmf(np.arange(n + 1), n, p)[np.array(tables["cp"][0]) > p].sum()
    assert exact_miss <= DELTA


def test_the_coverage_rule_rejects_an_interval_that_is_too_short(certified: Rule) -> None:
    k = stream("test-coverage", "wald").binomial(30, 0.03, 5000)
    wald = k / 30 + 1.645 * np.sqrt(k / 30 * (1 - k / 30) / 30)
    with pytest.raises(AssertionError, match="coverage"):
        certified(wald >= 0.03, 1 - DELTA)


def test_coverage_of_bounds_on_skewed_losses(certified: Rule) -> None:
    losses = 3 * stream("test-coverage", "beta").beta(0.2, 2.0, (2000, 80))
    truth, means = 3 * 0.2 / 2.2, losses.mean(axis=1)
    certified(np.array([kl_lower(m, 80, DELTA, 3.0) for m in means]) <= truth, 1 - DELTA)
    certified(np.array([kl_upper(m, 80, DELTA, 3.0) for m in means]) >= truth, 1 - DELTA)
    certified(means + hoeffding_deviation(80, DELTA, 3.0) >= truth, 1 - DELTA)
    certified(np.array([maurer_pontil_upper(x, DELTA, 3.0) for x in losses]) >= truth, 1 - DELTA)


def test_coverage_of_kl_for_rows_of_different_means(certified: Rule) -> None:
    """Balanced error of three classes: independent variables in [0, scale] whose means differ."""
    p, sizes = np.array([0.1, 0.5, 0.7]), np.array([20, 5, 50])
    balanced = (stream("test-coverage", "balanced").binomial(sizes, p, (4_000, 3)) / sizes).mean(axis=1)
    scale = 75 / (3 * 5)
    certified(np.array([kl_upper(x, 75, DELTA, scale) for x in balanced]) >= p.mean(), 1 - DELTA)
    certified(np.array([kl_lower(x, 75, DELTA, scale) for x in balanced]) <= p.mean(), 1 - DELTA)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clopper_pearson_lower(3, 2, DELTA), r"k: expected at most n = 2, got 3"),
        (lambda: clopper_pearson_upper(-1, 2, DELTA), r"k: expected a whole number of at least 0, got -1"),
        (lambda: clopper_pearson_lower(0, 0, DELTA), r"n: expected a whole number of at least 1, got 0"),
        (lambda: clopper_pearson_upper(1, 2, 0.0), r"delta: expected .* got 0.0"),
        (lambda: kl_lower(1.2, 10, DELTA), r"mean: expected a number in \[0, 1.0\], got 1.2"),
        (lambda: kl_upper(nan, 10, DELTA), r"mean: expected .* got nan"),
        (lambda: kl_upper(0.5, 10, 1.0), r"delta: .* got 1.0"),
        (lambda: kl_upper(0.5, 10, DELTA, scale=inf), r"scale: expected a finite number above 0, got inf"),
        (lambda: hoeffding_deviation(0, DELTA), r"n: .* got 0"),
        (lambda: hoeffding_deviation(5, DELTA, scale=-1.0), r"scale: .* got -1.0"),
        (lambda: maurer_pontil_upper([0.1], DELTA), r"losses: expected at least 2 values, got 1"),
        (lambda: maurer_pontil_upper([0.1, 1.3], DELTA), r"losses: expected values in \[0, 1.0\], got 0.1 to 1.3"),
        (lambda: maurer_pontil_upper([0.1, nan], DELTA), r"losses: expected finite values, got 1 NaN"),
        (lambda: maurer_pontil_upper([[0.1, 0.2]], DELTA), r"losses: expected one dimension, got shape \(1, 2\)"),
    ],
)
def test_named_errors(call: Callable[[], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
