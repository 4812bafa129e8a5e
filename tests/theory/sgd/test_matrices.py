"""Second moments of noise that does not commute with the curvature; phase space; the identities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg

from limen.records.errors import BadInput
from limen.theory.sgd import Modes, discrete, identities, phase_space, stationary_covariance

SETTINGS = Modes([1.0], [1.0], learning_rate=0.05, momentum=0.9, batch_size=8, weight_decay=0.01)


def problem(d: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(d, d)), rng.normal(size=(d, d))
    return a @ a.T / d, b @ b.T / d


def test_closed_forms_solve_the_lyapunov_equation_for_any_noise() -> None:
    """T1."""
    h, sigma = problem()
    eta, beta, c = 0.05, 0.9, sigma / 8
    h_all, one = h + 0.01 * np.eye(5), np.eye(5)
    m = np.block([[one - eta * h_all, eta * beta * one], [-h_all, beta * one]])
    n = np.block([[eta**2 * c, eta * c], [eta * c, c]])
    expected = scipy.linalg.solve_discrete_lyapunov(m, n)
    assert np.abs(stationary_covariance(h, sigma, SETTINGS).joint - expected).max() < 1e-12 * np.abs(expected).max()


def test_identities_hold_to_rounding_and_break_for_another_covariance() -> None:
    """T8, and that each identity can fail."""
    h, sigma = problem()
    found = stationary_covariance(h, sigma, SETTINGS)
    for name, left in identities(h, sigma, found, SETTINGS).items():
        assert np.abs(left).max() < 1e-12, name
    wrong = replace(found, positions=found.positions * 1.01, mixed=found.mixed * 1.02)
    assert all(np.abs(left).max() > 1e-5 for left in identities(h, sigma, wrong, SETTINGS).values())


def test_angular_momentum_vanishes_iff_noise_and_curvature_commute() -> None:
    h, sigma = problem()
    turning = stationary_covariance(h, sigma, SETTINGS).mixed
    still = stationary_covariance(h, h @ h + 0.1 * h, SETTINGS).mixed
    assert np.abs(turning - turning.T).max() > 1e-3
    assert np.abs(still - still.T).max() < 1e-14


def test_diagonal_is_the_law_of_the_modes() -> None:
    h, sigma = problem()
    values, basis = np.linalg.eigh(h)
    law = discrete(replace(SETTINGS, curvature=values, noise=np.diag(basis.T @ sigma @ basis)))
    found = stationary_covariance(h, sigma, SETTINGS)
    assert np.diag(basis.T @ found.positions @ basis) == pytest.approx(law.position_variance, rel=1e-10)
    assert np.diag(basis.T @ found.velocities @ basis) == pytest.approx(law.velocity_variance, rel=1e-10)


def test_phase_space_decomposes_the_drift_and_its_current_is_antisymmetric() -> None:
    h, sigma = problem()
    space = phase_space(h, sigma, SETTINGS)
    q = space.current
    assert np.abs(q + q.T).max() < 1e-11
    assert np.abs(space.drift - (space.diffusion + q) @ space.modified_loss).max() < 1e-9
    assert np.abs(space.covariance_at(1e4) * space.kappa - space.covariance).max() < 1e-9


def test_noise_in_proportion_to_curvature_makes_positions_isotropic_and_the_current_a_rotation() -> None:
    h, _ = problem()
    settings = replace(SETTINGS, weight_decay=0.0)
    space = phase_space(h, 2.0 * h, settings)
    b, q, zero = space.covariance, space.current, np.zeros((5, 5))
    assert b == pytest.approx(np.block([[0.05 * 1.9 * np.eye(5), zero], [zero, 2 * h]]), abs=1e-10)
    assert q == pytest.approx(np.block([[zero, -2 * h], [2 * h, zero]]), abs=1e-10)


def test_eigen_form_of_the_covariance_and_current_is_the_general_one() -> None:
    space = phase_space(*problem(3), SETTINGS)
    alpha, r = np.linalg.eig(space.drift)
    inverse = np.linalg.inv(r)
    d = inverse @ space.diffusion @ inverse.T
    total = alpha[:, None] + alpha
    assert (r @ (2 * d / total) @ r.T).real == pytest.approx(space.covariance, abs=1e-10)
    assert (r @ (d * (alpha[:, None] - alpha) / total) @ r.T).real == pytest.approx(space.current, abs=1e-10)


@pytest.mark.parametrize(
    ("hessian", "noise", "message"),
    [
        (np.eye(2), np.eye(3), "shape"),
        ([[1.0, 2.0], [0.0, 1.0]], np.eye(2), "symmetric"),
        (np.diag([1.0, np.nan]), np.eye(2), "finite square"),
        (np.diag([1.0, -0.1]), np.eye(2), "edge of stability"),
        (np.diag([1.0, 100.0]), np.eye(2), "edge of stability"),
    ],
)
def test_bad_matrices_are_named(hessian: object, noise: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        stationary_covariance(hessian, noise, SETTINGS)  # type: ignore[arg-type]
