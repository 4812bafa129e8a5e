"""Shares of classes: a geometric tail, and labels that follow it."""

from __future__ import annotations

import numpy as np
import pytest

from limen.data.worlds.imbalance import drawn_labels, equal_shares, long_tail


@pytest.mark.parametrize("classes", [2, 5, 40])
@pytest.mark.parametrize("ratio", [1.0, 10.0, 300.0])
def test_a_long_tail_is_geometric_with_the_ratio_asked_for(classes, ratio):
    shares = long_tail(classes, ratio)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] / shares[-1] == pytest.approx(ratio)
    assert np.allclose(np.diff(np.log(shares)), -np.log(ratio) / (classes - 1))


@pytest.mark.parametrize("shares", [None, long_tail(5, 20.0)])
def test_labels_follow_the_shares(shares):
    """Within 4.5 standard errors for every class."""
    n = 50_000
    found = np.bincount(drawn_labels(5, shares, n, np.random.default_rng(0)), minlength=5) / n
    p = equal_shares(5) if shares is None else shares
    assert (abs(found - p) < 4.5 * np.sqrt(p * (1 - p) / n)).all()


@pytest.mark.parametrize(("classes", "ratio", "name"), [(1, 2.0, "classes"), (3, 0.5, "ratio"), (3, np.inf, "ratio")])
def test_tails_that_are_none_are_refused(classes, ratio, name):
    with pytest.raises(ValueError, match=rf"{name}: expected .* got"):
        long_tail(classes, ratio)
