"""Gaussian images: moments, and least errors against conditional covariances written another way."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from limen.data.worlds.pretraining.gaussian_field import SCALE, GaussianField

FIELD = GaussianField("test", side=4, correlation=0.7, rows=4000)


def test_the_covariance_is_that_of_the_statement():
    for u in range(16):
        for v in range(16):
            distance = abs(u // 4 - v // 4) + abs(u % 4 - v % 4)
            assert FIELD.covariance[u, v] == pytest.approx(0.7**distance, rel=1e-12)


def test_images_have_its_moments_and_stay_in_range():
    images = FIELD.columns("world:test")["image"]
    assert images.shape == (4000, 4, 4, 1)
    assert 0 < images.min() < images.max() < 1
    z = (images.reshape(4000, 16).astype(np.float64) - 0.5) / SCALE
    assert np.abs(z.mean(axis=0)).max() < 4 / math.sqrt(4000)
    assert np.abs(z.T @ z / 4000 - FIELD.covariance).max() < 5 * math.sqrt(2 / 4000)


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_the_autoencoder_is_the_error_of_the_linear_estimate(noise):
    s = FIELD.covariance
    gain = s @ np.linalg.inv(s + noise**2 * np.eye(16))
    error = (np.eye(16) - gain) @ s @ (np.eye(16) - gain).T + noise**2 * gain @ gain.T
    assert FIELD.autoencoder(noise) == pytest.approx(np.trace(error) / 16, rel=1e-10)


@pytest.mark.parametrize(("patches", "share"), [(2, 0.25), (2, 0.5), (2, 0.75), (4, 0.1)])
def test_masked_is_the_inverse_of_the_precision_of_what_is_hidden(patches, share):
    precision, size = np.linalg.inv(FIELD.covariance), 4 // patches
    errors = []
    for subset in combinations(range(patches**2), math.ceil(round(share * patches**2, 9))):
        pixels = [
            4 * (size * (p // patches) + a) + size * (p % patches) + b
            for p in subset for a in range(size) for b in range(size)
        ]  # fmt: skip
        errors.append(np.trace(np.linalg.inv(precision[np.ix_(pixels, pixels)])) / len(pixels))
    assert FIELD.masked(patches, share) == pytest.approx(float(np.mean(errors)), rel=1e-10)


def test_all_hidden_costs_the_variance_and_too_many_subsets_are_not_gone_through():
    assert FIELD.masked(2, 0.9) == pytest.approx(1.0, rel=1e-12)
    assert GaussianField("large", side=8, correlation=0.5, rows=1).masked(8, 0.5) is None
