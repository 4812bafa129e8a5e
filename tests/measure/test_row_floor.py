"""The certified floor of the row ball: around the truth of finite populations, narrower than that of the ball."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.ball import Rows, minimise
from limen.adapt.feature_map import design_map
from limen.adapt.losses import loss_range, per_example_loss
from limen.adapt.row_ball import minimise_rows
from limen.arrays.intervals import kl_lower
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.measure.betting import betting_upper
from limen.measure.row_floor import row_floor, row_radius

WORLD = gaussian_classes(10, 8, 6000, separation=1.5, seed=5)
PHI = design_map(WORLD.features[:100])
WHOLE = Rows(PHI(WORLD.features), WORLD.labels, 10)
RADIUS = 12.0


def parts(seed, n=600):
    rows = WHOLE.take(np.random.default_rng(seed).integers(0, 6000, n))
    return rows.take(np.arange(n - n // 5)), rows.take(np.arange(n - n // 5, n))


def test_it_holds_the_floor_of_its_class_and_is_narrower_than_the_side_of_the_ball_around_it():
    radius = row_radius(RADIUS, 10)
    floor = minimise_rows(WHOLE, radius)
    assert floor.minimum >= minimise(WHOLE, RADIUS).loss - 2e-4
    for seed in range(4):
        fit, holdout = parts(seed)
        found = row_floor(fit, holdout, radius, PHI.norm_bound)
        assert found.low <= floor.loss
        assert floor.minimum <= found.high
        assert found.grade == "certified"
        pool = Rows(np.concatenate([fit.features, holdout.features]), np.concatenate([fit.labels, holdout.labels]), 10)
        ball, top = minimise(pool, RADIUS), loss_range("log", 10, RADIUS, PHI.norm_bound)
        held = per_example_loss(holdout.features @ minimise(fit, RADIUS).weights, holdout.labels, "log")
        assert kl_lower(ball.minimum, 600, 0.025, top) < found.low
        assert found.high < betting_upper(held, 0.025, top)


def test_more_confidence_is_wider_and_a_large_radius_says_that_it_says_little():
    fit, holdout = parts(0)
    narrow, wide = (row_floor(fit, holdout, 2.0, PHI.norm_bound, confidence) for confidence in (0.9, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert "uninformative" not in narrow.reason
    assert "uninformative at this n" in row_floor(fit, holdout, 60.0, PHI.norm_bound).reason


def test_two_populations_have_no_floor():
    """Labels flipped two times in five where the rows are fitted, never where they are held out."""
    x = np.tile([[1.0], [-1.0]], (15_000, 1))
    labels = np.tile([0, 1], 15_000)
    noisy = np.where(np.random.default_rng(0).random(30_000) < 0.4, 1 - labels, labels)
    found = row_floor(Rows(x, noisy, 2), Rows(x[:3000], labels[:3000], 2), 0.3, 1.0)
    assert (found.value, found.low, found.high, found.confidence) == (None, None, None, None)
    assert "contradict each other" in found.reason
    assert row_floor(Rows(x, noisy, 2), Rows(x[:3000], noisy[:3000], 2), 0.3, 1.0).low is not None


def test_features_outside_the_bound_have_their_error():
    fit, holdout = parts(0)
    with pytest.raises(ValueError, match="norm_bound: expected at least"):
        row_floor(fit, holdout, 2.0, 0.5)
