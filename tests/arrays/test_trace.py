"""Laws of the trace estimators: unbiased, honest about their error, exact at low rank, equal to the slow definition."""

from __future__ import annotations

import numpy as np
import pytest

from limen.arrays.random import stream
from limen.arrays.trace import hutchinson, xtrace

N = 120
SPECTRA = {"steep": np.exp(-np.arange(N) / 2.0), "slow": np.arange(1, N + 1) ** -1.0, "mixed": np.linspace(-1, 2, N)}


def matrix(values, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(N, N)))[0]
    return (q * values) @ q.T


@pytest.mark.parametrize("name", SPECTRA)
def test_it_is_the_definition_one_probe_left_out_after_the_other(name):
    a, m, each = matrix(SPECTRA[name]), 6, []
    omega = np.stack([stream("xtrace", 3, N, i).standard_normal(N) for i in range(m)], axis=1)
    for i in range(m):
        q = np.linalg.qr(a @ np.delete(omega, i, axis=1))[0]
        x = omega[:, i] - q @ (q.T @ omega[:, i])
        each.append(np.trace(q.T @ a @ q) + (N - m + 1) * (x @ a @ x) / (x @ x))
    found = xtrace(lambda v: v @ a, N, m, seed=3, dtype=np.float64)
    assert np.isclose(found.value, np.mean(each), rtol=1e-10)
    assert np.isclose(found.standard_error, np.std(each, ddof=1) / np.sqrt(m), rtol=1e-8)
    assert found.products == 2 * m


@pytest.mark.parametrize("name", SPECTRA)
def test_unbiased_with_an_error_of_the_right_size(name):
    a, true = matrix(SPECTRA[name]), SPECTRA[name].sum()
    found = [xtrace(lambda v: v @ a, N, 8, seed, np.float64) for seed in range(150)]
    misses = np.array([f.value - true for f in found])
    stated = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert abs(misses.mean()) < 4 * misses.std() / np.sqrt(len(misses))
    assert 0.6 < stated / misses.std() < 1.6


def test_a_steep_spectrum_is_where_it_beats_hutchinson_at_equal_products():
    a, true = matrix(SPECTRA["steep"]), SPECTRA["steep"].sum()
    ours = np.std([xtrace(lambda v: v @ a, N, 10, seed, np.float64).value - true for seed in range(60)])
    plain = np.std([hutchinson(lambda v: v @ a, N, 20, seed, np.float64).value - true for seed in range(60)])
    assert ours < plain / 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_low_rank_is_exact(dtype):
    a = matrix(np.where(np.arange(N) < 3, 5.0, 0.0)).astype(dtype)
    found = xtrace(lambda v: v @ a, N, 8, dtype=dtype)
    assert np.isclose(found.value, 15.0, rtol=100 * np.finfo(dtype).eps)
    assert found.standard_error < 1e-3 if dtype is np.float32 else found.standard_error < 1e-12


def test_one_probe_has_no_error():
    with pytest.raises(ValueError, match="at least 2"):
        xtrace(lambda v: v, N, 1)


@pytest.mark.parametrize(("top", "probes"), [(1, 8), (1, 2), (30, 10), (30, 30), (30, 34)])
def test_a_bulk_that_is_small_beside_a_few_large_eigenvalues_counts(top, probes):
    """float32, n = 2·10⁵: of an image the bulk is 2 ‰ and less, of the trace it is half."""
    size = 200_000
    values = np.full(size, 5e-4, np.float32)
    values[:top] = 100 / top
    true = float(values.sum(dtype=np.float64))
    found = xtrace(lambda v: v * values, size, probes)
    assert found.probes == probes
    assert abs(found.value - true) < 5 * found.standard_error + 1e-4 * true
    if probes >= top + 4 or top == 1:
        assert abs(found.value - true) < 0.01 * true


def test_an_error_of_zero_is_only_for_what_products_cannot_tell():
    """A bulk below the rounding of float32: the error covers what it may add."""
    size, values = 200_000, np.full(200_000, 1e-8, np.float32)
    values[0] = 100.0
    found = xtrace(lambda v: v * values, size, 8)
    assert abs(found.value - float(values.sum(dtype=np.float64))) < 4 * found.standard_error + 1e-9
    assert found.standard_error < 0.1
    assert xtrace(lambda v: 0 * v, size, 3).standard_error == 0.0


def test_probes_are_those_used():
    a = np.diag(np.linspace(1, 2, 10))
    found = xtrace(lambda v: v @ a, 10, 8, dtype=np.float64)
    assert (found.probes, found.products) == (5, 10)
