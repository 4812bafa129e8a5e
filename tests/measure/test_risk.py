"""Losses and errors on held-out rows against brute force and known populations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from limen.arrays.intervals import clopper_pearson_lower, clopper_pearson_upper, mean_of
from limen.measure.risk import (
    balanced_error_estimate,
    error_estimate,
    label_weighted_loss,
    loss_estimate,
    shift_estimate,
)

RNG = np.random.default_rng(0)


def test_error_is_certified_by_clopper_pearson_for_independent_rows_only():
    wrong = np.arange(200) < 14
    found = error_estimate(wrong, None, 0.9)
    expected = clopper_pearson_lower(14, 200, 0.05), clopper_pearson_upper(14, 200, 0.05)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.grade == "certified"
    grouped = error_estimate(wrong, np.arange(200) // 2, 0.9)
    assert grouped.grade == "statistical"
    assert grouped.n == 100
    assert grouped.value == found.value


def test_loss_is_the_mean_with_a_t_interval_moved_by_its_skewness():
    losses = RNG.exponential(size=50)
    found = loss_estimate(losses, None, 0.95)
    low, high = scipy.stats.t.interval(0.95, 49, losses.mean(), scipy.stats.sem(losses))
    moved = scipy.stats.skew(losses) / 50 * losses.std(ddof=1) * (1 + 2 * scipy.stats.t.isf(0.025, 49) ** 2) / 6
    assert moved > 0
    assert (found.low, found.high) == pytest.approx((low + moved, high + moved))
    mirrored = loss_estimate(-losses, None, 0.95)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_the_upper_end_of_a_skewed_loss_covers_as_often_as_it_says():
    """Nominal 98.3 %: the plain t end fell to 94 % at 80 rows of such losses."""
    losses, plain, ours = RNG.lognormal(0.0, 1.2, (2000, 80)), 0, 0
    truth, t = np.exp(0.72), scipy.stats.t.isf(0.05 / 3, 79)
    for rows in losses:
        plain += truth <= rows.mean() + t * scipy.stats.sem(rows)
        ours += truth <= loss_estimate(rows, None, 1 - 0.1 / 3).high
    assert plain / 2000 < 0.95
    assert ours - plain > 0.015 * 2000


@pytest.mark.parametrize(("units", "says"), [(20, "fewer than 50 units: the upper end under-covers"), (400, "")])
def test_too_few_units_say_so(units, says):
    found = loss_estimate(np.random.default_rng(3).exponential(size=units), None, 0.95)
    assert found.assumptions == (("independent rows", says) if says else ("independent rows",))
    lone = np.r_[np.zeros(99), 1.0]
    assert "100 units of skewness 9.8, where 97" in loss_estimate(lone, None, 0.95).assumptions[1]
    symmetric = loss_estimate(np.tile([-1.0, 1.0], 10), None, 0.95)
    assert symmetric.assumptions[1] == "fewer than 50 units: an end may under-cover"


def test_the_mean_never_leaves_its_interval():
    for units in (3, 4, 6, 12):
        for confidence in (0.9, 0.9999):
            found = loss_estimate(np.r_[np.zeros(units - 1), 1.0], None, confidence)
            assert found.low <= found.value <= found.high


def test_copies_of_rows_in_one_group_add_nothing():
    losses = RNG.exponential(size=50)
    alone, copied = mean_of(losses), mean_of(np.repeat(losses, 4), np.repeat(np.arange(50), 4))
    assert (copied.error, copied.dof, copied.high(0.01)) == pytest.approx((alone.error, alone.dof, alone.high(0.01)))
    assert mean_of(np.repeat(losses, 4)).error < 0.6 * alone.error


def test_balanced_error_is_the_mean_over_classes():
    labels = RNG.choice(4, 500, p=[0.5, 0.3, 0.15, 0.05])
    wrong = RNG.random(500) < 0.1 + 0.2 * labels
    found = balanced_error_estimate(wrong, labels, 4, None, 0.95)
    brute = 0.0
    for c in range(4):
        mine = [bool(w) for w, y in zip(wrong, labels, strict=True) if y == c]
        brute += sum(mine) / len(mine) / 4
    assert found.value == pytest.approx(brute)
    assert found.low < brute < found.high


def test_balanced_error_covers_the_truth_given_the_labels():
    labels, rates = np.repeat([0, 1, 2], [30, 60, 210]), np.array([0.4, 0.2, 0.05])
    hits = 0
    for _ in range(500):
        found = balanced_error_estimate(RNG.random(300) < rates[labels], labels, 3, None, 0.9)
        hits += found.low <= rates.mean() <= found.high
    assert scipy.stats.beta.ppf(0.99, hits + 1, max(500 - hits, 1e-9)) >= 0.9


def test_balanced_error_without_a_row_of_a_class_is_not_identified():
    found = balanced_error_estimate(np.zeros(10, dtype=bool), np.zeros(10, dtype=int), 3, None, 0.95)
    assert found.value is None
    assert "2 of 3 classes have no held-out row (first: label 1)" in found.reason


def test_shift_is_a_welch_interval():
    a, b = RNG.normal(1.0, 1.0, 40), RNG.normal(0.0, 3.0, 90)
    found = shift_estimate((a, None), (b, None), 0.95)
    welch = scipy.stats.ttest_ind(a, b, equal_var=False)
    error, t = scipy.stats.sem(a), scipy.stats.t.isf(0.025, welch.df)
    third = (
        scipy.stats.skew(a) * scipy.stats.sem(a) ** 3 / 40**0.5
        - scipy.stats.skew(b) * scipy.stats.sem(b) ** 3 / 90**0.5
    )
    moved = third / (error**2 + scipy.stats.sem(b) ** 2) * (1 + 2 * t**2) / 6
    low, high = (end + moved for end in welch.confidence_interval(0.95))
    assert (found.low, found.high) == pytest.approx((low, high))
    wide = shift_estimate((np.repeat(a, 3), np.repeat(np.arange(40), 3)), (b, None), 0.95)
    plain = welch.confidence_interval(0.95)
    assert (wide.low, wide.high) == pytest.approx((min(low, plain.low), max(high, plain.high)))


@pytest.mark.parametrize("groups", [None, np.zeros(1, dtype=int)])
def test_one_unit_gives_a_point_and_says_why(groups):
    alone, many = (np.array([2.0]), groups), (np.array([0.0, 1.0]), None)
    found = [loss_estimate(*alone, 0.95), shift_estimate(alone, many, 0.95), shift_estimate(many, alone, 0.95)]
    assert [f.value for f in found] == [2.0, 1.5, -1.5]
    for one in found:
        assert (one.grade, one.low, one.high, one.confidence) == ("point", None, None, None)
        assert one.n == 1
        assert "one independent unit" in one.assumptions[0]


def test_rows_of_one_group_are_one_unit_however_many():
    losses, groups = RNG.exponential(size=30), np.zeros(30, dtype=int)
    found = loss_estimate(losses, groups, 0.95)
    assert (found.value, found.grade, found.n) == (pytest.approx(losses.mean()), "point", 1)
    assert error_estimate(losses > 1, groups, 0.95).grade == "point"
    assert shift_estimate((losses, groups), (losses, None), 0.95).grade == "point"
    groups[0] = 1
    assert loss_estimate(losses, groups, 0.95).grade == "statistical"


def population(shares, n, rng):
    """Losses depend on the label and noise only: the law of the loss given the label never changes."""
    labels = rng.choice(3, n, p=shares)
    return rng.exponential(1.0, n) * np.array([0.2, 1.0, 3.0])[labels], labels


def test_label_weighting_recovers_the_truth_under_pure_label_shift():
    train, here = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6])
    truth, plain = float(train @ [0.2, 1.0, 3.0]), float(here @ [0.2, 1.0, 3.0])
    hits, values = 0, []
    for _ in range(400):
        losses, labels = population(here, 300, RNG)
        found = label_weighted_loss((losses, None), labels, train, 0.95)
        values.append(found.value)
        hits += found.low <= truth <= found.high
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / 20
    assert abs(plain - truth) > 1
    assert 0.91 <= hits / 400 <= 0.985  # nominal 95 %, standard error 1.1 %


def test_label_weighting_to_the_own_mix_changes_nothing():
    losses, labels = population([0.2, 0.3, 0.5], 200, RNG)
    shares = np.bincount(labels, minlength=3) / 200
    assert label_weighted_loss((losses, None), labels, shares, 0.95).value == pytest.approx(losses.mean())


def test_label_weighting_without_a_row_of_a_needed_class_is_not_identified():
    losses, labels = np.ones(5), np.array([0, 0, 1, 1, 0])
    assert label_weighted_loss((losses, None), labels, np.array([0.4, 0.3, 0.3]), 0.95).value is None
    assert label_weighted_loss((losses, None), labels, np.array([0.5, 0.5, 0.0]), 0.95).value == pytest.approx(1.0)


def test_label_weighting_covers_with_few_rows_a_class():
    """20 classes of 3 rows on average: .79 where the variance within a class had n_c in place of n_c − 1."""
    means, hits, known = np.linspace(0.0, 2.0, 20), 0, 0
    for _ in range(600):
        labels = np.r_[np.tile(np.arange(20), 2), RNG.integers(0, 20, 20)]
        losses = means[labels] + RNG.exponential(size=60)
        found = label_weighted_loss((losses, None), labels, np.full(20, 0.05), 0.95)
        known += found.value is not None
        hits += found.value is not None and found.low <= means.mean() + 1 <= found.high
    assert known == 600
    assert hits / known >= 0.91


def test_label_weighting_with_one_row_of_a_needed_class_is_not_identified():
    losses, labels = np.arange(5.0), np.array([0, 0, 1, 2, 2])
    found = label_weighted_loss((losses, None), labels, np.array([0.4, 0.3, 0.3]), 0.95)
    assert found.value is None
    assert "1 class of the train mix has one row here" in found.reason
    assert label_weighted_loss((losses, None), labels, np.array([0.5, 0.0, 0.5]), 0.95).value is not None
