"""The constants of docs/how-sure.md by hand: which share of 1 − confidence each end has, and every part of a width.

Rows take two values equally often, so that the spread is their half distance and there is no skewness; with 400 rows
the quantiles of t and of the normal law differ by 0.3 %, so widths are held to 1 %.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from limen.measure.comparison import compare
from limen.measure.finer import class_gap
from limen.measure.floor import certified_sides
from limen.measure.risk import balanced_error_estimate
from limen.records.stage import StageRecord

M, FIT = 400, 1600
POOL = M + FIT
Z = 1.96


def two_valued(middle, half, n=M):
    """[n] alternating between middle − half and middle + half."""
    return middle + half * np.tile([-1.0, 1.0], n // 2)


def record(data=None, arrays=None, name="a"):
    """A fit of 1,600 rows with a holdout of 400; every loss is 1 ± 0.5 unless it is given."""
    pool = two_valued(1.0, 0.5, POOL)
    facts = {
        "encoder": name, "task": "t", "method": "linear-probe", "loss": "log", "classes": 2, "dimension": 3,
        "n_fit": FIT, "n_holdout": M, "same_population": False, "population_checks": [], "radius": 1.0,
        "loss_range": 4.0, "pool": {"n": POOL, "minimum": 0.9, "folds": 5}, "holdout_minimum": 0.9,
        "rich_head": {"landmarks": 10},
    }  # fmt: skip
    rows = {
        "curve_holdout_loss": two_valued(1.0, 0.5)[None], "holdout_own_loss": two_valued(1.0, 0.5),
        "curve_holdout_prediction": np.zeros((1, M), dtype=int), "holdout_labels": np.arange(M) % 2,
        "holdout_rows": np.arange(M), "fit_rows": M + np.arange(FIT), "half_rows": np.arange(POOL // 2),
        "pool_train_loss": pool, "pool_cross_validated_loss": pool,
        "half_train_loss": pool[: POOL // 2], "half_cross_validated_loss": pool[: POOL // 2],
    }  # fmt: skip
    return StageRecord("fit", 4, facts | (data or {}), rows | (arrays or {}))


def held(losses):
    return {"curve_holdout_loss": losses[None]}


# ------------------------------------------------------------------ certified sides: δ = 0.05/3


def test_the_certified_low_end_has_a_third_of_the_error_probability():
    """kl⁻¹ of a mean at the top of the range is b·δ^(1/N); in between, kl(mean ‖ low) = ln(1/δ)/N."""
    top = record({"pool": {"n": POOL, "minimum": 4.0, "folds": 5}})
    assert certified_sides(top, 0.95).low == pytest.approx(4.0 * (0.05 / 3) ** (1 / POOL), rel=1e-12)
    p, q = 0.9 / 4, certified_sides(record(), 0.95).low / 4
    assert q < p
    divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert divergence == pytest.approx(math.log(60) / POOL, rel=1e-6)


def test_the_certified_upper_end_has_a_third_of_the_error_probability():
    """Bets 2^−j/(b − m), half of the weight on the first: at the end the wealth is 1/δ = 60."""
    bets = [2.0**-j for j in range(7)]  # down to about 1/√M
    weights = [*(bet / 2 for bet in bets[:-1]), bets[-1]]
    for loss in (0.0, 2.0):
        high = certified_sides(record(arrays=held(np.full(M, loss))), 0.95).high
        wealth = sum(w * (1 + bet * (high - loss) / (4.0 - high)) ** M for w, bet in zip(weights, bets, strict=True))
        assert wealth == pytest.approx(60, rel=1e-6)


def test_the_certified_low_end_of_the_loss_has_a_third_of_the_error_probability():
    most = certified_sides(record(arrays=held(np.full(M, 4.0))), 0.95).loss_low
    assert most == pytest.approx(4.0 * (0.05 / 3) ** (1 / M), rel=1e-12)


# ------------------------------------------------------------------ comparisons


def moving(arrays, name):
    """A record whose midpoint moves by more than its noise when the labels double, so that the swap bound is told."""
    half = np.full(POOL // 2, 3.0)
    return record({"holdout_minimum": 0.7}, {"half_train_loss": half, "half_cross_validated_loss": half} | arrays, name)


def test_the_swap_bound_starts_from_the_certified_minimum_not_from_the_mean_own_loss():
    """L̂_S(g_a) − min_b + z·s/√m: the least loss of b on the holdout, 0.7, lies below the 1.0 of the weights found."""
    a = moving(held(two_valued(1.3, 0.5)) | {"holdout_own_loss": two_valued(1.1, 0.2)}, "a")
    b = moving(held(two_valued(1.2, 0.6)) | {"holdout_own_loss": two_valued(1.0, 0.1)}, "b")
    found = compare(a, b)[0].floor_difference
    assert found.method == "paired swap bound"
    assert found.high - (1.3 - 0.7) == pytest.approx(Z * 0.4 / math.sqrt(M), rel=0.01)  # g_a − own_b = 0.3 ± 0.4
    assert -found.low - (1.2 - 0.7) == pytest.approx(Z * 0.4 / math.sqrt(M), rel=0.01)  # g_b − own_a = 0.1 ± 0.4


def midpoints(pool, half, name):
    """A record whose midpoint losses are `pool` and, of half of the rows, `half`."""
    of = {"pool_train_loss": pool, "pool_cross_validated_loss": pool}
    return record(arrays=of | {"half_train_loss": half, "half_cross_validated_loss": half}, name=name)


def test_the_difference_of_floors_is_widened_by_its_drift():
    """0.2 ± (z·s/√N + |drift|): the differences are 0.2 ± 0.2, and 0.22 on half of the rows."""
    a = midpoints(two_valued(1.0, 0.5, POOL), two_valued(1.02, 0.5, POOL // 2), "a")
    b = midpoints(two_valued(0.8, 0.3, POOL), two_valued(0.8, 0.3, POOL // 2), "b")
    found = compare(a, b)[0].floor_difference
    width = Z * 0.2 / math.sqrt(POOL) + 0.02
    assert found.value == pytest.approx(0.2)
    assert (found.high - 0.2, 0.2 - found.low) == pytest.approx((width, width), rel=0.01)


# ------------------------------------------------------------------ class gap: each bound at half of 1 − confidence


def gap(own, rich, **minima):
    """Low end of the class gap; the bound whose minimum is not given is far below."""
    data = {
        "pool": {"n": POOL, "minimum": minima.get("pool", -9.0), "folds": 5},
        "holdout_minimum": minima.get("holdout", -9.0),
    }
    return class_gap(record(data, {"rich_holdout_loss": rich, "holdout_own_loss": own}), 0.95)


def test_the_paired_bound_of_the_class_gap_has_half_of_the_error_probability():
    found = gap(two_valued(1.0, 0.5), np.full(M, 0.1), holdout=0.9)
    assert found.method.startswith("paired")
    assert 0.9 - 0.1 - found.low == pytest.approx(Z * 0.5 / math.sqrt(M), rel=0.01)


def test_the_pooled_bound_has_the_noise_of_the_fit_rows_and_of_the_holdout():
    """Losses 1 ± 0.5: n/N of the mean over 1,600 fit rows, and ℓ·m/N − rich = 0.1 ± 0.1 over 400 held-out rows."""
    found = gap(two_valued(1.0, 0.5), np.full(M, 0.1), pool=0.9)
    assert found.method.startswith("pooled")
    error = math.hypot(0.8 * 0.5 / math.sqrt(FIT), 0.1 / math.sqrt(M))
    assert 0.9 - 0.1 - found.low == pytest.approx(Z * error, rel=0.01)


@pytest.mark.parametrize("sign", [-1, 1])
def test_negative_skewness_lowers_the_class_gap_further_and_positive_does_not_raise_it(sign):
    """One row in ten 5 from the others: s = 1.5, |γ| = 0.8/0.3; γ·s/(6m)·(1 + 2z²) is a tenth of the width."""
    tail = np.where(np.arange(M) % 10 == 0, 5.0, 0.0)
    rich = 10.0 + (tail if sign < 0 else -tail)  # own − rich has the opposite tail
    found = gap(np.full(M, 10.0), rich, holdout=10.0)
    assert found.method.startswith("paired")
    width = Z * 1.5 / math.sqrt(M)
    skew = (0.8 / 0.3) * 1.5 / (6 * M) * (1 + 2 * Z**2)
    assert 10.0 - rich.mean() - found.low == pytest.approx(width + (skew if sign < 0 else 0.0), rel=0.01)


# ------------------------------------------------------------------ balanced error


def test_each_end_of_the_balanced_error_has_half_of_the_error_probability():
    """Classes of equal size: no error of m has the upper end 1 − 0.025^(1/m), all of m the lower end 0.025^(1/m)."""
    labels = np.arange(M) % 4
    none = balanced_error_estimate(np.zeros(M, dtype=bool), labels, 4, None, 0.95)
    every = balanced_error_estimate(np.ones(M, dtype=bool), labels, 4, None, 0.95)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / M), rel=1e-12)
    assert every.low == pytest.approx(0.025 ** (1 / M), rel=1e-12)


def test_an_error_is_at_most_one_however_few_rows_a_class_has():
    """One row of a class of two: losses up to m/2, so the bound alone would exceed 1."""
    labels = np.array([1] + [0] * 49)
    found = balanced_error_estimate(np.arange(50) == 0, labels, 2, None, 0.95)
    assert (found.value, found.high) == (0.5, 1.0)
    assert 0 < found.low < 0.5
    assert "at most 1" in found.method
    even = balanced_error_estimate(np.zeros(50, dtype=bool), labels, 2, None, 0.95)
    assert even.high == pytest.approx(min(1.0, 25 * (1 - 0.025 ** (1 / 50))))
