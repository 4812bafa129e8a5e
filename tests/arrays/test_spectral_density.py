"""Laws of stochastic Lanczos quadrature: exact moments, Gauss's degree, a band that covers, weights of copies."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.arrays.spectral_density import Probing, blurred, lanczos_quadrature

N = 150


def matrix(values, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(N, N)))[0]
    return (q * values) @ q.T


VALUES = np.concatenate([[30.0, 12.0, -4.0], np.random.default_rng(3).gamma(0.5, size=N - 3)])


def test_moments_are_those_of_the_trace_within_their_errors():
    a = matrix(VALUES)
    found = lanczos_quadrature(lambda v: v @ a, N, Probing(probes=40, steps=12), np.float64)
    for power in range(1, 5):
        value, error = found.moment(power)
        assert abs(value - (VALUES**power).mean()) < 4 * error


@pytest.mark.parametrize("steps", [3, 6])
def test_each_probe_is_exact_up_to_the_degree_of_gauss(steps):
    a = matrix(VALUES)
    found = lanczos_quadrature(lambda v: v @ a, N, Probing(probes=2, steps=steps), np.float64)
    for i in range(2):
        z = stream("spectral density", 0, N, i).standard_normal(N)
        z /= np.linalg.norm(z)
        for power in range(2 * steps + 1):
            true = z @ np.linalg.matrix_power(a, power) @ z
            got = float((found.weights[i] * found.nodes[i] ** power).sum())
            assert np.isclose(got, true, rtol=1e-9) == (power < 2 * steps)


def test_reorthogonalised_nodes_have_no_copies_and_both_ways_have_the_same_density():
    a = matrix(VALUES).astype(np.float32)
    plain = lanczos_quadrature(lambda v: v @ a, N, Probing(probes=4, steps=60))
    kept = lanczos_quadrature(lambda v: v @ a, N, Probing(probes=4, steps=60, reorthogonalise=True))
    tops = [int((np.abs(q.nodes[0] - 30.0) < 0.01).sum()) for q in (plain, kept)]
    assert tops[0] > tops[1] == 1
    assert np.allclose(blurred(plain, 0.5).density, blurred(kept, 0.5).density, atol=2e-3)


def test_the_band_covers_the_blurred_density_of_the_matrix():
    a, width, inside = matrix(VALUES), 0.7, []
    for seed in range(60):
        found = blurred(lanczos_quadrature(lambda v: v @ a, N, Probing(8, 40, seed=seed), np.float64), width)
        true = np.exp(-0.5 * ((found.points[:, None] - VALUES) / width) ** 2).mean(axis=1) / (
            width * np.sqrt(2 * np.pi)
        )
        middle = true > 1e-3
        inside.append(((found.low <= true) & (true <= found.high))[middle].mean())
    assert 0.90 < np.mean(inside) < 0.99


def test_a_matrix_of_few_rows_ends_early_and_is_exact():
    a = np.diag([1.0, 1.0, 2.0])
    found = lanczos_quadrature(lambda v: v @ a, 3, Probing(probes=5, steps=10), np.float64)
    assert found.nodes.shape == (5, 3)
    assert np.allclose(found.weights.sum(axis=1), 1)
    live = found.weights > 1e-12
    assert np.allclose(np.abs(found.nodes[live] - 1.5), 0.5)


def test_bands_need_probes_and_a_width():
    one = lanczos_quadrature(lambda v: v, 3, Probing(probes=1), np.float64)
    with pytest.raises(ValueError, match="at least 2 for a band"):
        blurred(one)
    with pytest.raises(ValueError, match="width"):
        blurred(lanczos_quadrature(lambda v: 1.0 * v, 3, Probing(probes=2), np.float64), 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("value", "width"), [(3.0, 0.06), (-0.5, 0.01), (0.0, 0.02)])
def test_a_multiple_of_the_identity_is_one_spike_of_stated_width(value, width, dtype):
    found = blurred(lanczos_quadrature(lambda v: dtype(value) * v, 3000, Probing(probes=3), dtype))
    assert found.width == pytest.approx(width, rel=1e-5)
    assert found.points[found.density.argmax()] == pytest.approx(value, abs=width / 50)
    assert float((found.density * np.gradient(found.points)).sum()) == pytest.approx(0.9973, abs=1e-3)
