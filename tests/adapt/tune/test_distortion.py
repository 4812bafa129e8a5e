"""Distortion and alignment against the two-layer linear model, where theory gives the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from limen.adapt.tune.distortion import feature_distortion, head_alignment, one_direction
from limen.records.errors import BadInput

D, K = 6, 3


def flow(v: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, time: float = 40.0, step: float = 2e-3):
    """Gradient flow of ½ mean (vᵀBx − y)² from (v, B), by Runge-Kutta of order 4."""

    def slope(v, b):
        features = x @ b.T
        wrong = features @ v - y
        return -features.T @ wrong / len(x), -np.outer(v, wrong @ x) / len(x)

    for _ in range(round(time / step)):
        k1 = slope(v, b)
        k2 = slope(v + step / 2 * k1[0], b + step / 2 * k1[1])
        k3 = slope(v + step / 2 * k2[0], b + step / 2 * k2[1])
        k4 = slope(v + step * k3[0], b + step * k3[1])
        v = v + step / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        b = b + step / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
    return v, b


def orthonormal(rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((D, K)))[0].T


@pytest.mark.parametrize("slope", [0.3, 2.0, -1.5])
def test_along_one_direction_the_distortion_is_that_of_the_formula(slope: float) -> None:
    rng = np.random.default_rng(3)
    b0, e = orthonormal(rng), np.linalg.qr(rng.standard_normal((D, 1)))[0][:, 0]
    x = rng.standard_normal((9, 1)) * e
    _, b = flow(np.zeros(K), b0, x, slope * (x @ e))
    moved = feature_distortion(np.stack([b0 @ e, 0 * b0 @ e]), np.stack([b @ e, 0 * b @ e]))
    expected = one_direction(float(np.linalg.norm(b0 @ e)), slope)
    assert math.isclose(2 * moved.distance.value, expected, rel_tol=1e-6)


def test_inputs_orthogonal_to_the_training_inputs_do_not_move() -> None:
    rng = np.random.default_rng(5)
    b0, basis = orthonormal(rng), np.linalg.qr(rng.standard_normal((D, D)))[0]
    inside, outside = basis[:, :2], basis[:, 2:]
    x = rng.standard_normal((20, 2)) @ inside.T
    v0 = rng.standard_normal(K)
    v, b = flow(v0, b0, x, x @ rng.standard_normal(D))
    seen, unseen = x, rng.standard_normal((20, D - 2)) @ outside.T
    assert feature_distortion(seen @ b0.T, seen @ b.T).relative > 0.05
    assert feature_distortion(unseen @ b0.T, unseen @ b.T).relative < 1e-12
    # what gradient flow keeps, and so what one_direction rests on
    assert np.allclose(np.outer(v, v) - b @ b.T, np.outer(v0, v0) - b0 @ b0.T, atol=1e-9)


def test_the_probe_first_leaves_features_and_wins_outside_the_span() -> None:
    """y = v*ᵀB₀x: the probe is right everywhere; fine-tuning from another head distorts and is wrong outside."""
    rng = np.random.default_rng(7)
    b0, needed = orthonormal(rng), rng.standard_normal(K)
    basis = np.linalg.qr(rng.standard_normal((D, D)))[0][:, :4]  # 4 > K directions: the probe is identified
    x, everywhere = rng.standard_normal((30, 4)) @ basis.T, rng.standard_normal((500, D))
    truth = (everywhere @ b0.T) @ needed
    errors, moved, gaps = [], [], []
    for v0 in (np.linalg.lstsq(x @ b0.T, x @ b0.T @ needed, rcond=None)[0], np.zeros(K)):
        v, b = flow(v0, b0, x, x @ b0.T @ needed, time=60)
        errors.append(float(((everywhere @ b.T @ v - truth) ** 2).mean()))
        moved.append(feature_distortion(x @ b0.T, x @ b.T).relative)
        gaps.append(head_alignment(v0, needed).gap)
    assert gaps[0] < 1e-6 < gaps[1]
    assert moved[0] < 1e-9 < 0.05 < moved[1]
    assert errors[0] < 1e-12 < 1e-3 < errors[1]


def test_alignment_of_matrices_is_that_of_their_entries() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 4))
    assert head_alignment(a, b) == head_alignment(a.ravel(), b.ravel())
    assert head_alignment(-3 * b, b).cosine == pytest.approx(-1.0)
    assert head_alignment(-b, b).gap == pytest.approx(0.0, abs=1e-6)  # φ reads squares: the sign is in the cosine
    assert math.isnan(head_alignment(0 * b, b).cosine)


def test_distortion_is_in_rows_and_in_units_of_spread() -> None:
    rng = np.random.default_rng(1)
    frozen, move = rng.standard_normal((400, 5)), np.array([0.3, 0, 0, 0.4, 0])
    moved = feature_distortion(frozen, frozen + move)
    assert moved.distance.value == pytest.approx(0.5)
    assert moved.distance.error == pytest.approx(0.0, abs=1e-12)
    assert feature_distortion(7 * frozen, 7 * (frozen + move)).relative == pytest.approx(moved.relative)
    assert feature_distortion(frozen, frozen + move, np.arange(400) // 4).distance.units == 100
    assert math.isnan(feature_distortion(np.zeros((3, 2)), np.ones((3, 2))).relative)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(BadInput, match="two matrices of one shape"):
        feature_distortion(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(BadInput, match="heads of one shape"):
        head_alignment(np.zeros(2), np.zeros(3))
    with pytest.raises(BadInput, match="nothing moves"):
        one_direction(0.0, 1.0)
