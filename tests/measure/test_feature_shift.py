"""AUC between two populations: its closed form, the slow count, coverage, groups, no overlap, real embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from limen.arrays.random import stream
from limen.measure.feature_shift import _placements, feature_shift
from limen.records.errors import BadInput


def gaussian(n, shift, key=0, d=3):
    return stream("feature shift test", n, shift, key, d).standard_normal((n, d)) + shift * np.eye(d)[0]


def test_placements_are_the_slow_count():
    s, t = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 3.0, 0.0])
    below, above = _placements(s, t)
    slow = (t[None, :] > s[:, None]) + 0.5 * (t[None, :] == s[:, None])
    assert below == pytest.approx(slow.mean(axis=1))
    assert above == pytest.approx(slow.mean(axis=0))


def test_two_gaussians_have_the_auc_of_theory():
    found = feature_shift(gaussian(4000, 0.0), gaussian(3000, 1.0))
    truth = norm.cdf(1 / 2**0.5)
    assert found.auc.low <= truth <= found.auc.high
    assert found.auc.value == pytest.approx(truth, abs=0.01)
    assert found.p < 1e-9
    assert found.n == (4000, 3000)


def test_coverage_of_the_classifiers_auc():
    # one direction: any classifier is the same, so the AUC it is conditional on is known
    truth = norm.cdf(0.8 / 2**0.5)
    found = [feature_shift(gaussian(120, 0.0, k, 1), gaussian(80, 0.8, k, 1)).auc for k in range(300)]
    assert 0.92 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.98


def test_one_population_is_at_one_half_and_its_p_is_uniform():
    found = [feature_shift(gaussian(100, 0.0, 2 * k), gaussian(100, 0.0, 2 * k + 1)) for k in range(200)]
    assert np.mean([f.auc.value for f in found]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([f.p < 0.1 for f in found]) == pytest.approx(0.1, abs=0.06)


def test_no_overlap_has_a_low_end_that_falls_with_fewer_rows():
    many, few = (feature_shift(gaussian(n, 0.0), gaussian(n, 50.0)).auc for n in (400, 40))
    assert many.value == few.value == many.high == 1.0
    assert few.low < many.low < 1.0


def test_rows_that_are_copies_widen_the_interval_only_as_groups():
    a, b = (np.repeat(gaussian(30, s), 10, axis=0) for s in (0.0, 0.5))
    units = np.repeat(np.arange(30), 10)
    alone, grouped = feature_shift(a, b).auc, feature_shift(a, b, (units, units)).auc
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_features_of_different_encoders_and_few_rows_are_refused():
    with pytest.raises(BadInput, match="3 and 2 columns"):
        feature_shift(gaussian(30, 0.0), gaussian(30, 0.0, d=2))
    with pytest.raises(BadInput, match="20 rows or more"):
        feature_shift(gaussian(5, 0.0), gaussian(30, 0.0))


def test_banking77_halves_are_alike_and_two_sets_of_intents_are_not(shared_data):
    with np.load(shared_data / "banking77" / "minilm-test.npz") as table:
        x, y = table["X"].astype(np.float64), np.unique(table["y"], return_inverse=True)[1]
    order = stream("banking halves").permutation(len(x))
    alike = feature_shift(x[order[:1500]], x[order[1500:]])
    apart = feature_shift(x[y < 30], x[y >= 30])
    assert alike.auc.low <= 0.5 <= alike.auc.high
    assert apart.auc.low > 0.9
