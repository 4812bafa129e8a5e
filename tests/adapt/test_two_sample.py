"""Level and power of the same-population tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from limen.adapt.two_sample import two_sample


def draw(rng, n=150, d=5, shift=0.0, shares=(0.5, 0.3, 0.2)):
    return rng.normal(size=(n, d)) + shift, rng.choice(3, n, p=shares)


def test_level_under_one_population():
    rng = np.random.default_rng(0)
    found = [two_sample(draw(rng, 120), draw(rng, 180), 3) for _ in range(300)]
    for level in (0.05, 0.2):
        for kind in ("label_p", "feature_p"):
            rejections = sum(getattr(f, kind) < level for f in found)
            assert rejections <= binom.isf(1e-4, 300, level)  # a valid test rejects more with probability 1e-4
            assert rejections >= binom.ppf(1e-4, 300, 0.5 * level)  # and is not asleep
    assert sum(f.rejected() for f in found) <= binom.isf(1e-4, 300, 0.01)


@pytest.mark.parametrize("change", [{"shift": 0.5}, {"shares": (0.2, 0.3, 0.5)}])
def test_power_against_moved_features_and_moved_labels(change):
    rng = np.random.default_rng(1)
    assert sum(two_sample(draw(rng), draw(rng, **change), 3).rejected() for _ in range(50)) >= 45


def test_total_variation_and_area_are_what_they_say():
    rng = np.random.default_rng(2)
    a = (rng.normal(size=(400, 2)), np.repeat([0, 1], 200))
    b = (rng.normal(size=(400, 2)) + 100.0, np.repeat([0, 1], [100, 300]))
    found = two_sample(a, b, 2)
    assert found.label_total_variation == pytest.approx(0.25)
    assert found.feature_auc == 1.0


def test_more_features_than_rows_keep_the_level():
    rng = np.random.default_rng(3)
    found = [two_sample(draw(rng, 40, 100), draw(rng, 40, 100), 3).feature_p for _ in range(100)]
    assert sum(p < 0.1 for p in found) <= binom.isf(1e-4, 100, 0.1)
