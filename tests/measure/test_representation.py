"""Surrogates without labels: closed forms, unbiased traces by enumeration, invariances, coverage, real embeddings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.special import hyp0f1
from scipy.stats import vonmises

from limen.arrays.random import stream
from limen.measure.representation import (
    _moments,
    _traces,
    alignment,
    effective_rank,
    rank_me,
    spectral_loss,
    uniformity,
)
from limen.records.errors import BadInput


def sphere(n, d, key=0):
    x = stream("sphere", n, d, key).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def covered(estimate, truth):
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("d", [2, 5])
def test_uniform_points_have_the_uniformity_of_the_sphere(d):
    truth = -4.0 + np.log(hyp0f1(d / 2, 4.0))
    assert uniformity(sphere(3000, d)).value == pytest.approx(truth, abs=0.03)


def test_coverage_of_uniformity_where_its_projections_vary():
    def draw(i, n):  # points on a circle, more of them on one side
        angles = stream("von mises", i).vonmises(0.0, 1.0, n)
        return np.column_stack([np.cos(angles), np.sin(angles)])

    grid = np.linspace(-np.pi, np.pi, 400, endpoint=False)
    weight = vonmises.pdf(grid, 1.0) / vonmises.pdf(grid, 1.0).sum()
    truth = np.log(weight @ np.exp(-4 * (1 - np.cos(grid[:, None] - grid))) @ weight)
    assert 0.93 <= np.mean([covered(uniformity(draw(i, 150)), truth) for i in range(400)]) <= 0.97


def test_uniformity_is_the_slow_double_loop_and_ignores_lengths():
    u = sphere(12, 3)
    pairs = [np.exp(-2 * ((u[i] - u[j]) ** 2).sum()) for i in range(12) for j in range(12) if i != j]
    scaled = u * np.arange(1, 13)[:, None]
    assert uniformity(scaled).value == pytest.approx(np.log(np.mean(pairs)), abs=1e-12)


def test_alignment_of_noisy_views_and_its_bounds():
    u = sphere(500, 4)
    assert alignment(u, 3 * u).value == pytest.approx(0.0, abs=1e-12)
    assert alignment(u, -u).value == pytest.approx(4.0)
    assert alignment(u, -u, power=1).value == pytest.approx(2.0)
    others = alignment(u, np.roll(u, 1, axis=0))
    assert covered(others, 2.0)  # independent views: 2 − 2 E u·u′ = 2


def test_the_traces_have_no_bias_on_a_population_of_three_points():
    values = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 2.0]])
    covariance = np.cov(values, rowvar=False, bias=True)
    drawn = [values[list(rows)] for rows in product(range(3), repeat=5)]
    found = np.mean([_traces(5, *_moments(x), x) for x in drawn], axis=0)
    assert found == pytest.approx([np.trace(covariance) ** 2, (covariance**2).sum()], rel=1e-10)


def test_effective_rank_covers_that_of_the_population_where_the_plug_in_is_far_below():
    scales = np.arange(1, 21) ** -0.5
    truth = (scales**2).sum() ** 2 / (scales**4).sum()
    rows = [stream("ranks", i).standard_normal((100, 20)) * scales for i in range(300)]
    found = [effective_rank(x) for x in rows]
    assert 0.92 <= np.mean([covered(e, truth) for e in found]) <= 0.98
    plug_in = np.mean([np.trace(c := np.cov(x, rowvar=False)) ** 2 / (c**2).sum() for x in rows])
    assert np.mean([e.value for e in found]) == pytest.approx(truth, rel=0.03)
    assert plug_in < 0.95 * truth


def test_ranks_do_not_change_with_rotation_and_scale_and_centring_changes_only_one():
    x = stream("rotation").standard_normal((200, 6)) * np.arange(1, 7)
    turn = np.linalg.qr(stream("turn").standard_normal((6, 6)))[0]
    for rank in (rank_me, effective_rank):
        assert rank(5 * x @ turn).value == pytest.approx(rank(x).value, rel=1e-9)
    assert effective_rank(x + 100).value == pytest.approx(effective_rank(x).value, rel=1e-6)
    assert rank_me(x + 100).value < 0.8 * rank_me(x).value


def test_rank_me_of_one_direction_is_one_and_of_no_feature_is_not_identified():
    assert rank_me(np.outer(np.arange(5.0), np.ones(3))).value == pytest.approx(1.0)
    assert rank_me(np.zeros((5, 3))).state == "not_identified"


def graph(k):
    """Two blocks of three inputs: views of an input are any input of its block."""
    similar = np.kron(np.eye(2), np.ones((3, 3))) / 18
    values, vectors = np.linalg.eigh(6 * similar)
    features = (vectors[:, ::-1][:, :k] * np.sqrt(np.maximum(values[::-1][:k], 0))) * np.sqrt(6)
    return similar, features


def pairs_of(similar, features, n, key):
    drawn = stream("pairs", key).choice(36, n, p=similar.reshape(-1))
    return features[drawn // 6], features[drawn % 6]


def test_the_spectral_loss_of_the_optimum_on_a_graph():
    similar, features = graph(2)
    truth = -2.0  # two eigenvalues 1
    found = [spectral_loss(*pairs_of(similar, features, 80, i)) for i in range(200)]
    given = [spectral_loss(*pairs_of(similar, features, 80, i), "given") for i in range(200)]
    assert np.mean([e.value for e in given]) == pytest.approx(truth, abs=0.02)
    # the loss is degenerate at its minimum (projections vanish up to block sizes): intervals are cautious there
    assert np.mean([e.value for e in found]) == pytest.approx(truth, abs=0.05)


def test_coverage_of_the_spectral_loss_of_other_features():
    similar, _ = graph(2)
    features = np.kron(np.eye(2), np.ones((3, 1))) + 0.5 * stream("other").standard_normal((6, 2))
    a = (similar * (features @ features.T)).sum()
    b = ((features @ features.T) ** 2).mean()
    for scale, truth in (("given", -2 * a + b), ("best", -(a**2) / b)):
        found = [spectral_loss(*pairs_of(similar, features, 200, i), scale) for i in range(400)]
        assert 0.92 <= np.mean([covered(e, truth) for e in found]) <= 0.98


def test_the_best_scale_is_the_least_over_scales():
    similar, _ = graph(2)
    f, g = pairs_of(similar, stream("scale").standard_normal((6, 3)), 50, 0)
    scales = np.geomspace(0.05, 5, 4000)
    least = min(spectral_loss(s * f, s * g, "given").value for s in scales[::40])
    assert spectral_loss(f, g).value <= least
    assert spectral_loss(f, g).value == pytest.approx(least, rel=5e-3)
    assert spectral_loss(f, -f).value == 0.0


def test_rows_without_a_direction_and_views_of_other_rows_are_refused():
    with pytest.raises(BadInput, match=r"1 rows are 0 .*row 2"):
        uniformity(np.array([[1.0], [1.0], [0.0], [1.0]]))
    with pytest.raises(BadInput, match="one view a row"):
        alignment(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(BadInput, match="finite"):
        rank_me(np.array([[np.nan]]))
