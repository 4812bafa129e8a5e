"""n*(ε, radius): exact curves, ends that hold, references, a world with its truth, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.fit import fit_task
from limen.arrays.random import stream
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.measure.budget import measure_budget
from limen.measure.label_frontier import RadiusCurve, label_frontier, radius_curve
from limen.measure.model_complexity import floor_by_radius, loss_by_radius
from limen.records.errors import BadInput
from limen.records.estimate import Estimate, not_identified
from limen.records.task import FitSpec, LabelledFeatures, Question, Task

N = np.array([50, 100, 200, 400, 800])


def floor(value, half=0.0):
    return Estimate(value, value - half, value + half, confidence=0.98, grade="statistical")


def curve(key=0, rows=400, error=0.5, radius=2.0, level=1.0):
    """Mean loss level + 50/n."""
    noise = error * stream("frontier", key).standard_normal((1, rows))
    return RadiusCurve(radius, N, level + 50 / N[:, None] + noise, floor(level, 0.01))


def test_a_curve_without_noise_is_read_off_exactly():
    quiet = replace(curve(error=0.0), floor=floor(1.0))
    found = {p.epsilon: p.labels for p in label_frontier([quiet], [0.5, 0.25, 0.0625, 0.01])}
    assert [found[e].value for e in (0.5, 0.25, 0.0625)] == [100.0, 200.0, 800.0]
    assert (found[0.25].low, found[0.25].high) == (100.0, 200.0)
    assert found[0.01].state == "not_identified"
    assert (found[0.01].low, found[0.01].high) == (800.0, None)
    at_once = label_frontier([quiet], [3.0])[0].labels
    assert (at_once.value, at_once.low, at_once.high) == (50.0, None, 50.0)
    assert "smallest label count" in at_once.assumptions[-1]


def test_between_label_counts_it_is_straight_in_their_logarithm():
    quiet = replace(curve(error=0.0), floor=floor(1.0))
    half_way = label_frontier([quiet], [(0.5 + 0.25) / 2])[0].labels.value
    assert half_way == pytest.approx(100 * 2**0.5, rel=1e-6)


def test_fewer_labels_for_a_larger_epsilon_and_the_ends_hold():
    hits = 0
    for key in range(100):
        points = label_frontier([curve(key)], [0.1, 0.2, 0.4])
        truth = [500.0, 250.0, 125.0]  # 50/n = ε
        for point, n in zip(points, truth, strict=True):
            e = point.labels
            hits += (e.low is None or e.low < n) and (e.high is None or n <= e.high * 2)
            assert e.low is None or e.high is None or e.low < e.high
        values = [p.labels.value for p in points if p.labels.value is not None]
        assert values == sorted(values, reverse=True)
    assert hits >= 0.95 * 300


def test_the_least_floor_is_harder_to_reach_than_ones_own():
    tight, loose = curve(1, radius=1.0, level=1.5), curve(1, radius=4.0, level=1.0)
    own = label_frontier([loose, tight], [0.25])
    least = label_frontier([loose, tight], [0.25], "least")
    assert [p.radius for p in own] == [1.0, 4.0]
    assert own[0].labels.value is not None
    assert least[0].labels.state == "not_identified"  # the tight ball never comes near
    assert least[1].labels.value == own[1].labels.value
    assert least[1].labels.confidence < own[1].labels.confidence


def test_more_noise_means_wider_ends():
    quiet, noisy = (label_frontier([curve(2, rows=r)], [0.2])[0].labels for r in (20_000, 100))
    assert (noisy.low or 0) <= quiet.low
    assert noisy.high is None or noisy.high >= quiet.high


def test_a_floor_without_a_point_identifies_nothing_and_misuse_is_named():
    lost = replace(curve(), floor=not_identified("midpoint drifts"))
    assert "midpoint drifts" in label_frontier([lost], [0.1])[0].labels.reason
    assert "midpoint drifts" in label_frontier([curve(), lost], [0.1], "least")[0].labels.reason
    with pytest.raises(BadInput) as caught:
        label_frontier([replace(curve(), n=N[::-1]), replace(curve(), holdout=np.zeros((2, 5)))], [-1.0])
    assert len(caught.value.problems) == 3


def test_a_world_at_two_radii():
    world = gaussian_classes(3, 4, 8_000, separation=1.0, label_noise=0.05, seed=1)
    rows = np.random.default_rng(0).choice(len(world), 3000, replace=False)
    features = LabelledFeatures(world.features[rows], world.labels[rows], ("a", "b", "c"))
    curves, budgets = [], []
    for radius in (0.5, 3.0):
        spec = FitSpec(labels=(20, 60, 180, 540, "all"), seeds=3, radius=radius, rich_head=False)
        fit = fit_task(Task("world", "gaussian", features), spec)
        budgets.append(measure_budget(fit, Question()))
        curves.append(radius_curve(fit, budgets[-1].terms["minimal_adaptation_loss"]))
    own = {p.radius: p.labels for p in label_frontier(curves, [0.1])}
    assert own[0.5].value < own[3.0].value  # a small ball is near its floor at once: low complexity, few labels
    by_radius = loss_by_radius(budgets)
    floors = [p.losses["minimal_adaptation_loss"].value for p in by_radius.points]
    assert [p.complexity for p in by_radius.points] == [0.5, 3.0]
    assert floors[0] > floors[1]
    path = floor_by_radius(budgets[1])
    lows = [p.losses["minimal_adaptation_loss"].low for p in path.points]
    assert lows == sorted(lows, reverse=True)
    assert path.axis == "radius"
    assert set(path.to_json()) == {"phase", "axis", "name", "points"}
