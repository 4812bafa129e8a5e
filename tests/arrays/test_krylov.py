"""Laws of the eigenpair search: planted spectra, honest residuals, no ghosts, no missed copies, restarts and starts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limen.arrays.krylov import Wanted, basis_rows, lanczos, orthogonality, select
from limen.arrays.krylov_space import Space

N = 240
SPECTRA = {
    "separated": [10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    "cluster": [3, 3.001, 3.002, 2, 1.999, 1.0, 1.001, 0.999, 1.5, -2.5],
    "multiple": [5, 5, 5, 5, 5, 4, 4, 4, -3, -3],
    "outlier": [1e4, 7, 6, 5, -4, 3, 2.5, 2, 1.5, 1],
    "negative": [-9, -8, -7, -6, -5, -4, -3, -2, 8.5, 1],
}


def planted(values, seed=0, dtype=np.float64, bulk=0.2):
    """A matrix with these eigenvalues, the others in ±bulk."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(N, N)))[0]
    spectrum = np.concatenate([values, rng.uniform(-bulk, bulk, N - len(values))])
    whole = (q * spectrum) @ q.T
    return ((whole + whole.T) / 2).astype(dtype)


def start(dtype=np.float64, seed=1):
    return np.random.default_rng(seed).normal(size=N).astype(dtype)


def residuals(a, pairs):
    u = pairs.vectors.astype(np.float64)
    return np.linalg.norm(u @ a.astype(np.float64) - pairs.values[:, None] * u, axis=1)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("basis", [None, 14])
def test_planted_spectra_are_found_with_their_copies(name, dtype, basis):
    a = planted(SPECTRA[name], dtype=dtype)
    found = lanczos(lambda v: a @ v, N, Wanted(10, tolerance=1e-4, basis=basis), start(dtype))
    expected = np.array(sorted(SPECTRA[name], key=lambda x: -abs(x)))
    rounding = 50 * np.finfo(dtype).eps * np.abs(expected).max()
    assert found.converged.all()
    # as sets: values of equal size and unequal sign may come in either order
    assert np.abs(np.sort(found.values) - np.sort(expected)).max() <= 1e-4 * np.abs(expected).min() + rounding
    assert found.orthogonality < 100 * np.finfo(dtype).eps
    assert (np.diff(np.abs(found.values)) <= rounding).all()


@example(seed=1, count=6, basis=12, copies=3)  # the products are spent by a restart
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), count=st.integers(1, 8), basis=st.sampled_from([None, 12]), copies=st.integers(1, 3)
)
def test_the_residual_is_the_true_one_and_an_eigenvalue_lies_within_it(seed, count, basis, copies):
    rng = np.random.default_rng(seed)
    a = planted(np.repeat(rng.normal(size=5) * 3, copies), seed)
    found = lanczos(lambda v: a @ v, N, Wanted(count, tolerance=1e-2, basis=basis, seed=seed), start(seed=seed))
    scale = np.abs(a).sum(axis=0).max()
    above = found.residuals - residuals(a, found)
    assert above.min() > -1e-12 * scale  # a bound on it where copies were recovered
    assert found.recovered or above.max() < 1e-12 * scale
    distance = np.abs(np.linalg.eigvalsh(a)[None, :] - found.values[:, None]).min(axis=1)
    assert (distance <= found.residuals + 1e-12 * scale).all()


def test_what_the_matrix_lacks_in_symmetry_counts_in_the_residual():
    a = planted(SPECTRA["separated"])
    skew = a + 1e-3 * np.triu(np.ones((N, N)), 1) / N
    found = lanczos(lambda v: skew @ v, N, Wanted(3, tolerance=1e-2), start())
    u = found.vectors
    true = np.linalg.norm(u @ skew.T - found.values[:, None] * u, axis=1)
    assert np.abs(true - found.residuals).max() < 1e-10
    assert found.residuals.min() > 1e-6


def test_without_reorthogonalisation_ghosts_appear_and_the_check_sees_them():
    """The old way: the three-term recurrence alone, in float32, returns the outlier again and again."""
    a = planted(SPECTRA["outlier"], dtype=np.float32)
    rows, alpha, beta = [start(np.float32)], [], []
    rows[0] /= np.linalg.norm(rows[0])
    for j in range(80):
        image = a @ rows[j]
        alpha.append(float(rows[j] @ image))
        image = image - np.float32(alpha[-1]) * rows[j] - (np.float32(beta[-1]) * rows[j - 1] if j else 0)
        beta.append(float(np.linalg.norm(image)))
        rows.append(image / np.float32(beta[-1]))
    theta, s = np.linalg.eigh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))
    best = select(theta, 10, "magnitude")
    ghosts = (s[:, best].T @ np.stack(rows[:-1])).astype(np.float32)
    small = np.abs(beta[-1] * s[-1, best]) < 1e-3 * np.abs(theta[best])
    assert small.sum() >= 5  # "converged", by their residuals
    assert (np.abs(theta[best][small] - 1e4) < 1).sum() >= 2  # one eigenvalue, several times
    assert orthogonality(ghosts[small]) > 0.1
    ours = lanczos(lambda v: a @ v, N, Wanted(10), start(np.float32))
    assert ours.orthogonality < 1e-5
    assert (np.abs(ours.values - 1e4) < 1).sum() == 1


def test_copies_that_one_krylov_space_cannot_hold_are_recovered_only_with_the_check():
    """Every eigenvalue ten times, as the curvature of ten least-squares outputs: residuals alone do not tell."""
    one = np.linspace(1, 0, 40) ** 3 * 920
    a = np.kron(np.eye(10), np.diag(one))
    first = np.random.default_rng(1).normal(size=400)
    blind = lanczos(lambda v: a @ v, 400, Wanted(10, check=0), first)
    assert blind.converged.all()
    assert np.allclose(blind.values, one[:10], rtol=1e-5)
    seen = lanczos(lambda v: a @ v, 400, Wanted(10), first)
    assert seen.converged.all()
    assert seen.recovered > 0
    assert np.allclose(seen.values, 920.0, rtol=1e-5)
    assert seen.orthogonality < 1e-12


@pytest.mark.parametrize("ends", ["magnitude", "largest", "both"])
def test_the_ends_asked_for_are_returned(ends):
    values = [9, -8, 7, -6, 5, -4]
    a = planted(values)
    found = lanczos(lambda v: a @ v, N, Wanted(3, ends, tolerance=1e-8), start())
    assert np.allclose(found.values, {"magnitude": [9, -8, 7], "largest": [9, 7, 5], "both": [9, 7, -8]}[ends])


def test_a_full_basis_is_restarted_and_changes_only_the_cost():
    a = planted(np.linspace(1, 2, 12), bulk=0.9)
    free = lanczos(lambda v: a @ v, N, Wanted(6, tolerance=1e-6), start())
    tight = lanczos(lambda v: a @ v, N, Wanted(6, tolerance=1e-6, basis=10), start())
    assert free.restarts == 0
    assert tight.restarts > 0
    assert tight.products > free.products
    assert np.allclose(free.values, tight.values, rtol=1e-9)


def test_products_spent_returns_what_there_is_marked_as_not_converged():
    a = planted(np.linspace(1, 1.1, 20))
    found = lanczos(lambda v: a @ v, N, Wanted(10, tolerance=1e-10, products=15), start())
    assert found.products == 15
    assert not found.converged.all()
    assert np.abs(residuals(a, found) - found.residuals).max() < 1e-12


def test_a_warm_start_needs_fewer_products():
    a = planted(np.linspace(1, 3, 10))
    rng = np.random.default_rng(5)
    change = rng.normal(size=(N, N))
    later = a + 1e-4 * (change + change.T)
    before = lanczos(lambda v: a @ v, N, Wanted(10), start())
    cold = lanczos(lambda v: later @ v, N, Wanted(10), start())
    warm = lanczos(lambda v: later @ v, N, Wanted(10), before.vectors)
    assert warm.products <= 20 < cold.products
    assert np.allclose(warm.values, cold.values, rtol=1e-4)
    assert np.abs(residuals(later, warm) - warm.residuals).max() < 1e-12


@pytest.mark.parametrize("basis", [None, 13])
def test_a_start_of_another_matrix_ends_at_the_same_pairs(basis):
    a, other = planted(SPECTRA["cluster"]), planted(SPECTRA["separated"], seed=9)
    before = lanczos(lambda v: other @ v, N, Wanted(10), start())
    found = lanczos(lambda v: a @ v, N, Wanted(10, tolerance=1e-6, basis=basis), before.vectors)
    assert found.converged.all()
    assert np.allclose(np.sort(found.values), np.sort(np.array(SPECTRA["cluster"], float)), rtol=1e-6)
    assert np.abs(residuals(a, found) - found.residuals).max() < 1e-12


def test_the_identity_holds_for_a_block_of_starts_and_after_restarts():
    a = planted(SPECTRA["multiple"])
    space = Space(lambda v: a @ v, (30, N), np.dtype(np.float64), 0)
    space.begin(np.random.default_rng(2).normal(size=(4, N)))
    for _ in range(12):
        space.step()
        space.prefer(np.eye(space.used)[:, :2])
    values, coordinates, _ = space.ritz()
    space.restart(values[-5:], coordinates[:, -5:])
    for _ in range(6):
        space.step()
    used, rows = space.used, space.rows[: space.used + space.coming]
    assert space.coming == 4
    left = a @ rows[:used].T - rows[:used].T @ space.coefficients[:used, :used] - rows[used:].T @ space.coupling
    assert np.abs(left).max() < 1e-13
    assert orthogonality(rows) < 1e-14


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_matrices_of_low_rank_and_few_rows_end(rank):
    values = np.concatenate(([4.0, 3.0, 2.0][:rank], np.zeros(7 - rank)))
    found = lanczos(lambda v: values * v, 7, Wanted(5), np.ones(7))
    assert np.allclose(found.values, values[:5], atol=1e-12)
    assert found.converged.all()
    assert orthogonality(found.vectors) < 1e-12


def test_a_product_that_returns_its_argument_is_not_written_into():
    found = lanczos(lambda v: v, 9, Wanted(9))
    assert np.allclose(found.values, 1.0)
    assert found.orthogonality < 1e-5


def test_the_decomposition_identity_holds_in_float64():
    a = planted(SPECTRA["cluster"])
    space = Space(lambda v: a @ v, (30, N), np.dtype(np.float64), 0)
    space.begin(start())
    for _ in range(25):
        space.step()
    q, g = space.rows[:25], space.coefficients[:25, :25]
    left = a @ q.T - q.T @ g
    left -= np.outer(space.rows[25], space.coupling[0])
    assert np.abs(left).max() < 1e-13
    assert orthogonality(space.rows[:26]) < 1e-14


def test_bad_counts_and_starts_are_named():
    with pytest.raises(ValueError, match="1 to 5 pairs, got 6"):
        lanczos(lambda v: v, 5, Wanted(6))
    with pytest.raises(ValueError, match="vectors of 5 numbers, got shape"):
        lanczos(lambda v: v, 5, Wanted(2), np.ones(4))


def test_the_basis_never_is_smaller_than_two_more_than_the_pairs():
    assert basis_rows(Wanted(10, basis=3), 1000) == 12
    assert basis_rows(Wanted(10, basis=3), 11) == 11


def test_a_gap_is_to_what_was_seen_and_bounds_no_angle():
    """Two eigenvalues closer than the tolerance: converged, residual far below the gap, and not an eigenvector."""
    values = np.concatenate([[10.0, 9.9999], np.linspace(1.0, 0.0, N - 2)])
    pairs = lanczos(lambda v: values * v, N, Wanted(1), start())
    sine = float(np.sqrt(1 - pairs.vectors[0, 0] ** 2))
    assert pairs.converged.all()
    assert sine > 0.3 > 100 * pairs.residuals[0] / pairs.gaps[0]
    assert np.abs(pairs.values[0] - values[:2]).min() <= pairs.residuals[0]


def test_all_ten_copies_of_a_tenfold_eigenvalue_are_found_among_three_thousand() -> None:
    """Least squares with ten outputs: each eigenvalue comes ten times, and a copy starts with 1/n of a vector."""
    inputs = np.r_[915.0, 385.0, 203.0, 110.0, np.geomspace(60, 0.05, 296)]
    spectrum = np.repeat(inputs, 10)
    found = lanczos(lambda v: spectrum * v, len(spectrum), Wanted(10))
    assert found.values == pytest.approx(np.full(10, 915.0), rel=1e-3)
    assert found.converged.all()
    assert found.products < 250
