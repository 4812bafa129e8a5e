"""Losses and errors on held-out rows against brute force and known populations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from limen.arrays.intervals import clopper_pearson_lower, clopper_pearson_upper
from limen.measure.risk import (
    balanced_error_estimate,
    error_estimate,
    label_weighted_loss,
    loss_estimate,
    mean_error,
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


def test_loss_is_the_mean_with_a_t_interval():
    losses = RNG.exponential(size=50)
    found = loss_estimate(losses, None, 0.95)
    low, high = scipy.stats.t.interval(0.95, 49, losses.mean(), scipy.stats.sem(losses))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_copies_of_rows_in_one_group_add_nothing():
    losses = RNG.exponential(size=50)
    alone, copied = mean_error(losses, None), mean_error(np.repeat(losses, 4), np.repeat(np.arange(50), 4))
    assert copied == pytest.approx(alone)
    assert mean_error(np.repeat(losses, 4), None)[1] < 0.6 * alone[1]


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
    low, high = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    wide = shift_estimate((np.repeat(a, 3), np.repeat(np.arange(40), 3)), (b, None), 0.95)
    assert (wide.low, wide.high) == pytest.approx((low, high))


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
