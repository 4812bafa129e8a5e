"""Averaging, multiplicative noise, rescaling, and runs of the recursion beside the laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.records.errors import BadInput
from limen.theory.sgd import (
    Modes,
    continuous_share,
    correction,
    discrete,
    epoch,
    excess_loss_saved,
    exponential_average,
    finite_data_covariance,
    gaussian_regression,
    identities,
    langevin,
    rescale,
    simulate,
    simulate_regression,
    stationary_covariance,
    two_checkpoints,
    validity,
    window_average,
)  # fmt: skip

MODES = Modes([0.05, 0.4, 3.0], [1.0, 2.0, 1.0], 0.1, 0.9, 8)


def correlation(steps: int) -> np.ndarray:
    return discrete(MODES).position_autocorrelation(np.arange(steps))


def test_averages_are_the_sums_they_stand_for() -> None:
    law, r = discrete(MODES), correlation(20_000)
    k = np.arange(20_000)[:, None]
    alpha = 0.97
    slow = (1 - alpha) / (1 + alpha) * (2 * (alpha**k * r).sum(axis=0) - 1)
    assert exponential_average(law, alpha) == pytest.approx(slow, rel=1e-10)
    w = 300
    slow = (w + 2 * ((w - k[1:w]) * r[1:w]).sum(axis=0)) / w**2
    assert window_average(law, w) == pytest.approx(slow, rel=1e-9)
    assert two_checkpoints(law, 40) == pytest.approx((1 + r[40]) / 2)


def test_nesterov_and_reshuffled_averages_follow_their_own_correlations() -> None:
    for law in (discrete(replace(MODES, nesterov=True)), epoch(MODES, 25), langevin(MODES)):
        r, k = law.position_autocorrelation(np.arange(2000)), np.arange(2000)[:, None]
        w, alpha = 100, 0.9
        assert window_average(law, w) == pytest.approx((w + 2 * ((w - k[1:w]) * r[1:w]).sum(axis=0)) / w**2, rel=1e-9)
        slow = (1 - alpha) / (1 + alpha) * (2 * (alpha**k * r).sum(axis=0) - 1)
        assert exponential_average(law, alpha) == pytest.approx(slow, rel=1e-9)
    assert (window_average(epoch(MODES, 25), 25) < 0.75 * window_average(discrete(MODES), 25)).all()


def test_long_windows_reach_the_limit_of_polyak() -> None:
    """T4: W·Var(average)/(C/h²) → 1 whatever the learning rate and momentum."""
    for eta, beta in [(0.1, 0.9), (0.3, 0.0), (0.01, 0.5)]:
        modes = replace(MODES, learning_rate=eta, momentum=beta)
        law, w = discrete(modes), 20_000_000
        variance = window_average(law, w) * law.position_variance
        assert w * variance / (modes.step_noise / modes.curvature**2) == pytest.approx(np.ones(3), rel=1e-4)


def test_what_an_average_saves_of_the_excess_loss() -> None:
    law = discrete(MODES)
    ratio = window_average(law, 50)
    assert excess_loss_saved(law, ratio) == pytest.approx(
        0.5 * (MODES.curvature * law.position_variance * (1 - ratio)).sum()
    )
    flat = discrete(replace(MODES, curvature=np.array([0.0, 1.0, 1.0])))
    assert excess_loss_saved(flat, window_average(flat, 5)) is None


@pytest.mark.parametrize("alpha", [-0.1, 1.0])
def test_memory_of_an_average_is_below_one(alpha: float) -> None:
    with pytest.raises(BadInput, match=r"\[0, 1\)"):
        exponential_average(discrete(MODES), alpha)


def test_heavy_tail_boundary_of_one_mode_is_the_direct_calculation() -> None:
    for size in (1, 4, 32):
        limit = 2 / (1 + 2 / size)
        below, above = (gaussian_regression(Modes([1.0], [1.0], limit * f, 0, size), 1.0) for f in (0.999, 1.001))
        assert not below.heavy_tailed
        assert above.heavy_tailed
        assert np.isinf(above.position_variance).all()


def test_one_mode_of_multiplicative_noise_is_the_second_moment_recursion() -> None:
    """E(1 − ηx̄²)² = 1 − 2η + η²(1 + 2/S): Var = η²σ²/S/(2η − η²(1 + 2/S)) for β = 0, ρ = 1."""
    eta, size = 0.3, 4
    found = gaussian_regression(Modes([1.0], [1.0], eta, 0, size), 2.0).position_variance[0]
    assert found == pytest.approx(eta**2 * 2.0 / size / (2 * eta - eta**2 * (1 + 2 / size)), rel=1e-12)


def test_gaussian_regression_is_within_three_percent_of_runs_on_fresh_examples() -> None:
    """T6, with momentum and several modes: W = .4, replicas of a run on fresh Gaussian rows."""
    rho, eta, beta, size, replicas = np.array([1.0, 0.5, 0.25, 0.1]), 0.06, 0.9, 2, 4000
    rng = np.random.default_rng(0)
    x, v, total, count = np.zeros((replicas, 4)), np.zeros((replicas, 4)), np.zeros(4), 0
    for step in range(1500):
        rows = rng.normal(size=(replicas, size, 4)) * np.sqrt(rho)
        residual = np.einsum("rsd,rd->rs", rows, x) - rng.normal(size=(replicas, size))
        v = beta * v - np.einsum("rs,rsd->rd", residual, rows) / size
        x = x + eta * v
        if step >= 700 and step % 20 == 0:
            total, count = total + (x**2).mean(axis=0), count + 1
    found = gaussian_regression(Modes(rho, rho, eta, beta, size), 1.0)
    assert 0.2 < found.feedback < 0.8
    assert total / count == pytest.approx(found.position_variance, rel=0.03)
    assert (found.additive_ratio < 1 - found.feedback + 1e-9).all()


def regression(n: int = 512, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, d)) @ np.diag(np.geomspace(1, 0.3, d))
    return x, x @ rng.normal(size=d) + rng.normal(size=n)


def test_finite_data_noise_agrees_with_real_minibatches_and_additive_noise_does_not() -> None:
    x, y = regression()
    n, d = x.shape
    settings = Modes([1.0], [1.0], learning_rate=0.06, momentum=0.9, batch_size=16, weight_decay=0.01)
    minimum = np.linalg.solve(x.T @ x / n + 0.01 * np.eye(d), x.T @ y / n)
    covariance, sigma = finite_data_covariance(x, y - x @ minimum, settings)
    run = simulate_regression(x, y, settings, 800 + 10 * np.arange(30), 400)
    measured = (run.positions**2).sum(axis=2)
    error = measured.mean(axis=0).std() / np.sqrt(400)
    assert abs(measured.mean() - np.trace(covariance.positions)) < 4 * error
    gradients = x * (y - x @ minimum)[:, None]
    additive = stationary_covariance(x.T @ x / n, np.cov(gradients.T, bias=True), settings)
    assert np.trace(additive.positions) < 0.97 * np.trace(covariance.positions)
    # the identities hold with the noise that the fluctuation makes (V needs no noise at all)
    assert max(np.abs(left).max() for left in identities(x.T @ x / n, sigma, covariance, settings).values()) < 1e-9


def test_noise_that_feeds_on_itself_without_bound_is_refused() -> None:
    x, y = regression(64, 3)
    settings = Modes([1.0], [1.0], learning_rate=0.4, momentum=0.9, batch_size=1)
    with pytest.raises(BadInput, match="feeds on itself"):
        finite_data_covariance(x, y, settings)


def test_reshuffling_a_regression_shrinks_the_weights_far_more_than_the_steps() -> None:
    x, y = regression()
    settings = Modes([1.0], [1.0], learning_rate=0.01, momentum=0.9, batch_size=16)
    at = 1000 + 7 * np.arange(40)
    runs = {s: simulate_regression(x, y, settings, at, 60, s) for s in ("replacement", "reshuffle")}  # type: ignore[arg-type]
    spread = {s: (r.positions**2).sum(axis=2).mean() for s, r in runs.items()}
    speed = {s: (r.velocities**2).sum(axis=2).mean() for s, r in runs.items()}
    assert spread["reshuffle"] < 0.5 * spread["replacement"]
    assert 0.7 < speed["reshuffle"] / speed["replacement"] < 1.0


@pytest.mark.parametrize(
    "changed", [{}, {"nesterov": True}, {"dampening": 0.4}, {"weight_decay": 0.2, "decoupled": True}]
)
def test_runs_of_the_recursion_move_as_the_exact_law_says(changed: dict[str, object]) -> None:
    modes = Modes([0.0, 0.3, 5.0], [1.0, 2.0, 1.0], 0.1, 0.8, 4, offset=[0.5, -0.5, 0.1], **changed)  # type: ignore[arg-type]
    t = np.array([1, 5, 40, 300])
    x = simulate(modes, t, 4000, seed=2).positions - modes.offset
    found, error = (x**2).mean(axis=1), (x**2).std(axis=1) / np.sqrt(4000)
    assert (np.abs(found - discrete(modes).mode_displacement(t, "fixed")) < 4.5 * error + 1e-15).all()


def test_sampling_orders_are_refused_without_their_epoch() -> None:
    with pytest.raises(BadInput, match="at least 2 for reshuffle"):
        simulate(MODES, [1], 1, "reshuffle")
    with pytest.raises(BadInput, match="expected one of iid"):
        simulate(MODES, [1], 1, "sobol")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="ascending"):
        simulate(MODES, [3, 1], 1)
    with pytest.raises(BadInput, match="N ≥ 8"):
        simulate_regression(np.ones((4, 2)), np.ones(4), MODES, [1], 1)


def test_rescaling_keeps_what_it_says() -> None:
    modes = Modes([1e-6, 1e-5], [1.0, 2.0], 0.1, 0.9, 32)
    law = discrete(modes)
    for momentum in (None, 0.8):
        kept = discrete(rescale(modes, 128, "equilibrium", momentum).settings)
        assert kept.position_variance == pytest.approx(law.position_variance, rel=1e-3)
        local = discrete(rescale(modes, 128, "local", momentum).settings)
        assert local.local_displacement == pytest.approx(law.local_displacement, rel=1e-3)
    diffusion = rescale(modes, 128, "diffusion").settings
    flat = [
        discrete(replace(m, curvature=np.zeros(2))).displacement([10**7 // m.batch_size]) for m in (modes, diffusion)
    ]
    assert flat[1][0] == pytest.approx(flat[0][0], rel=1e-2)  # over as many examples
    portrait = rescale(modes, 128, "portrait")
    assert portrait.temperature_ratio == pytest.approx(0.25)
    assert portrait.settings.learning_rate == 0.1
    with pytest.raises(BadInput, match="expected one of equilibrium"):
        rescale(modes, 64, "everything")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "modes",
    [
        Modes([2.0, 0.1], [1.0, 1.0], 0.9, 0.9), Modes([2.0], [1.0], 0.9, 0.9, dampening=0.3),
        Modes([2.0], [1.0], 0.9, 0.5, weight_decay=0.2, decoupled=True), Modes([1.0], [1.0], 0.4, 0.0),
        Modes([2.0], [1.0], 0.9, 0.9, weight_decay=0.2),
    ],
)  # fmt: skip
def test_the_share_of_the_continuous_law_is_that_of_its_variances(modes: Modes) -> None:
    share = (langevin(modes).position_variance / discrete(modes).position_variance).min()
    assert continuous_share(modes) == pytest.approx(share, rel=1e-12)
    at = replace(modes, learning_rate=validity(modes, 0.05))
    assert (discrete(at).position_variance / langevin(at).position_variance).max() == pytest.approx(1.05, rel=1e-12)


def test_nesterov_momentum_has_no_continuous_law_to_be_near() -> None:
    modes = Modes([2.0], [1.0], 0.3, 0.9, nesterov=True)
    assert continuous_share(modes) is None
    with pytest.raises(BadInput, match="no continuous law"):
        validity(modes, 0.05)


def test_validity_is_where_the_correction_reaches_the_tolerance() -> None:
    modes = Modes([2.0], [1.0], 0.1, 0.9)
    at = replace(modes, learning_rate=validity(modes, 0.05))
    assert 1 / (1 - correction(at)) - 1 == pytest.approx(0.05)
    assert validity(Modes([0.0], [1.0], 0.1), 0.05) == np.inf
    assert not rescale(Modes([2.0], [1.0], 1.8, 0.9, 8), 64).stable


def test_the_edge_is_that_of_the_update_in_force() -> None:
    nesterov = Modes([1.0], [1.0], 1.3, 0.9, nesterov=True)
    assert correction(nesterov) == pytest.approx(1.3 * 2.8 / 3.8)
    assert not rescale(replace(nesterov, learning_rate=0.9), 2).stable
    assert correction(Modes([1.0], [1.0], 1.3, 0.9, dampening=0.5)) == pytest.approx(1.3 * 0.5 / 3.8)


def test_weight_decay_is_refused_where_its_noise_is_not_known() -> None:
    with pytest.raises(BadInput, match="without dampening and decay"):
        gaussian_regression(Modes([1.0], [1.0], 0.1, weight_decay=0.1), 1.0)
