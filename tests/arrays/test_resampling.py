"""Bootstrap and jackknife: identities for the mean, coverage on skewed rows, degenerate input, named errors."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import pytest

from limen.arrays.means import t_interval
from limen.arrays.random import stream
from limen.arrays.resampling import bca_interval, jackknife

Rule = Callable[[np.ndarray], None]


def ratio(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(a.mean(axis=axis) / b.mean(axis=axis))


def deleted(x: np.ndarray, statistic: Callable[[np.ndarray], float], groups: int) -> list[float]:
    parts = np.array_split(np.arange(x.shape[0]), groups)
    return [statistic(np.delete(x, part, axis=0)) for part in parts]


def test_bca_of_a_mean_is_near_the_t_interval_and_reproducible() -> None:
    x = stream("test", "bca").normal(size=400)
    one, again = (bca_interval(x, np.mean, 0.95, 4000, stream("test", "resample")) for _ in range(2))
    plain = t_interval(x)
    assert one == again
    assert (one.low, one.high) == pytest.approx((plain.low, plain.high), abs=0.1 * (plain.high - plain.low))
    assert one.value == pytest.approx(x.mean())
    assert one.standard_error == pytest.approx(plain.standard_error, rel=0.05)


def test_bca_respects_monotone_transformations() -> None:
    x = stream("test", "transform").gamma(2.0, size=50)
    plain = bca_interval(x, np.mean, 0.9, 1000, stream("r"))
    logged = bca_interval(x, lambda v, axis: np.log(v.mean(axis=axis)), 0.9, 1000, stream("r"))
    assert (logged.low, logged.high) == pytest.approx((np.log(plain.low), np.log(plain.high)), abs=0.01)


def test_bca_draws_the_rows_of_a_tuple_together() -> None:
    x = stream("test", "paired").normal(5.0, 1.0, 100)
    interval = bca_interval((3 * x, x), ratio, 0.95, 500, stream("r"))
    assert (interval.low, interval.high) == pytest.approx((3.0, 3.0), abs=1e-12)


def test_bca_degenerate_answers() -> None:
    point = bca_interval([2.0, 2.0, 2.0], np.mean, 0.95, 200, stream("r"))
    assert (point.low, point.high, point.standard_error) == (2.0, 2.0, 0.0)
    # The largest value is not smooth: without any one row it stays 3, so the acceleration is 0/0.
    undefined = bca_interval([1.0, 2.0, 3.0, 3.0], np.max, 0.95, 200, stream("r"))
    assert (undefined.value, undefined.low, undefined.high) == (3.0, -inf, inf)


def test_jackknife_of_the_mean_is_the_t_interval_of_the_group_means() -> None:
    x = stream("test", "jackknife").normal(size=60)
    ours = jackknife(float(x.mean()), deleted(x, np.mean, 20), 0.9)
    plain = t_interval(x.reshape(20, 3).mean(axis=1), 0.9)
    assert (ours.low, ours.high, ours.dof) == pytest.approx((plain.low, plain.high, 19.0), rel=1e-10)
    assert ours.bias == pytest.approx(0.0, abs=1e-12)


def test_jackknife_finds_the_bias_of_the_plug_in_variance() -> None:
    x = stream("test", "variance").normal(size=40)
    ours = jackknife(float(x.var()), deleted(x, np.var, 40))
    assert ours.value - ours.bias == pytest.approx(x.var(ddof=1), rel=1e-10)


def test_jackknife_ignores_the_order_of_groups_and_shrinks_to_a_point() -> None:
    theta = stream("test", "order").normal(size=20)
    one, other = jackknife(0.1, theta), jackknife(0.1, theta[::-1])
    assert (one.low, one.high, one.bias) == pytest.approx((other.low, other.high, other.bias), rel=1e-12)
    still = jackknife(0.5, np.full(20, 0.5))
    assert (still.low, still.high, still.bias) == (0.5, 0.5, 0.0)


def test_coverage_of_the_jackknife_for_a_ratio(statistical: Rule) -> None:
    rng = stream("test-coverage", "jackknife")
    hits = []
    for _ in range(3000):
        x = rng.gamma(2.0, 1.0, (200, 1)) + np.stack([rng.normal(size=200), rng.exponential(size=200)], axis=1)
        totals = x.reshape(20, 10, 2).sum(axis=1)
        left = x.sum(axis=0) - totals
        full = float(x[:, 0].sum() / x[:, 1].sum())
        interval = jackknife(full, left[:, 0] / left[:, 1])
        hits.append(interval.low <= 2 / 3 <= interval.high)
    statistical(np.array(hits))


def test_coverage_of_bca(statistical: Rule) -> None:
    x = stream("test-coverage", "bca").gamma(4.0, 0.25, (2000, 200))
    rng = stream("test-coverage", "bca", "resamples")
    hits = []
    for row in x:
        interval = bca_interval(row, np.mean, 0.95, 500, rng)
        hits.append(interval.low <= 1.0 <= interval.high)
    statistical(np.array(hits))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jackknife(float("nan"), [1.0, 2.0]), "full: expected a finite number, got nan"),
        (lambda: jackknife(1.0, [1.0]), "deleted: expected at least 2 values, got 1"),
        (lambda: bca_interval([1.0], np.mean, 0.9, 200, stream("r")), r"values\[0\]: expected at least 2 values"),
        (lambda: bca_interval([1.0, 2.0], np.mean, 0.9, 20, stream("r")), "resamples: .* at least 100, got 20"),
        (lambda: bca_interval([1.0, 2.0], np.mean, 1.9, 200, stream("r")), "confidence: .* got 1.9"),
        (lambda: bca_interval(([1.0, 2.0], [1.0] * 3), ratio, 0.9, 200, stream("r")), r"one length, got \[2, 3\]"),
    ],
)
def test_named_errors(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
