"""The predicted curve against simulated ridge fits, and against the cases that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.ball import Rows
from limen.adapt.losses import one_hot
from limen.adapt.ridge import ridge_grid
from limen.theory.ridge_curve import LinearProblem, linear_problem, pooled_problem, ridge_curve

P, NOISE = 80, 2.0
PENALTIES = np.array([0.003, 0.03, 0.3, 3.0])
SPECTRUM = np.arange(1, P + 1) ** -1.0


def world(outputs=2, seed=0):
    """Power-law spectrum, random Θ [P, outputs], total noise NOISE."""
    theta = np.random.default_rng(seed).normal(size=(P, outputs)) / np.sqrt(outputs)
    return theta, LinearProblem(SPECTRUM, (theta**2).sum(axis=1), NOISE)


def draw(theta, n, rng, rows="gaussian"):
    z = rng.normal(size=(n, P)) if rows == "gaussian" else rng.choice([-1.0, 1.0], size=(n, P))
    x = z * np.sqrt(SPECTRUM)
    return x, x @ theta + rng.normal(size=(n, theta.shape[1])) * np.sqrt(NOISE / theta.shape[1])


@pytest.mark.parametrize("rows", ["gaussian", "signs"])
@pytest.mark.parametrize("n", [50, 80, 240])
def test_simulated_losses_follow_the_curve(n, rows):
    theta, problem = world()
    curve = ridge_curve(problem, [n], PENALTIES)
    rng = np.random.default_rng(n)
    measured = np.empty((150, 4, PENALTIES.size))
    for index in range(len(measured)):
        x, y = draw(theta, n, rng, rows)
        values, vectors = np.linalg.eigh(x.T @ x / n)
        for j, penalty in enumerate(PENALTIES):
            w = vectors @ ((vectors.T @ (x.T @ y / n)) / (values + penalty)[:, None])
            degrees = (values / (values + penalty)).sum()
            train = ((x @ w - y) ** 2).sum(axis=1).mean()
            test = SPECTRUM @ ((w - theta) ** 2).sum(axis=1) + NOISE
            measured[index, :, j] = test, train, degrees, train / (1 - degrees / n) ** 2
    predicted = np.stack([curve.test_loss, curve.training_loss, curve.effective_dimension, curve.test_loss])[:, 0]
    mean, error = measured.mean(axis=0), measured.std(axis=0) / np.sqrt(len(measured))
    # 1 % or 4 standard errors; 3 % where n is near the effective dimension (df1 > n/2)
    near = np.where(curve.effective_dimension[0] > n / 2, 0.03, 0.01)
    assert (np.abs(mean - predicted) <= near * predicted + 4 * error).all(), mean / predicted


def test_the_fixed_point_is_solved_to_rounding():
    _, problem = world()
    counts, penalties = np.array([1, 10, 79, 80, 81, 10_000]), np.geomspace(1e-12, 1e4, 30)
    curve = ridge_curve(problem, counts.tolist(), penalties)
    balance = curve.kappa * (1 - curve.effective_dimension / counts[:, None])
    assert (np.abs(balance - penalties) <= 1e-14 * curve.kappa).all()
    assert (curve.kappa >= penalties).all()


def test_least_squares_limits():
    _, problem = world()
    curve = ridge_curve(problem, [40, 80, 100, 800], [0.0])
    assert curve.training_loss[:2, 0].tolist() == [0.0, 0.0]  # interpolation
    assert curve.test_loss[1, 0] == np.inf
    np.testing.assert_allclose(curve.test_loss[2:, 0], NOISE / (1 - P / np.array([100, 800])), rtol=1e-12)
    np.testing.assert_allclose(curve.training_loss[2:, 0], NOISE * (1 - P / np.array([100, 800])), rtol=1e-12)


def test_zero_penalty_is_the_limit_of_small_ones():
    _, problem = world()
    at, near = (ridge_curve(problem, [40, 100], [penalty]) for penalty in (0.0, 1e-9))
    np.testing.assert_allclose(near.test_loss, at.test_loss, rtol=1e-5)
    np.testing.assert_allclose(near.training_loss, at.training_loss, rtol=1e-5, atol=1e-12)


def test_isotropic_interpolator_has_the_closed_form_of_hastie_et_al():
    # γ = p/n > 1, Σ = I, λ → 0: ‖Θ‖²(1 − 1/γ) + σ²/(γ − 1) + σ²   (Ann. Stat. 50, 2022)
    p, n, signal = 300, 100, 5.0
    curve = ridge_curve(LinearProblem(np.ones(p), np.full(p, signal / p), NOISE), [n], [0.0])
    gamma = p / n
    assert curve.test_loss[0, 0] == pytest.approx(signal * (1 - 1 / gamma) + NOISE / (gamma - 1) + NOISE, rel=1e-10)


def test_best_penalty_of_an_isotropic_signal_is_noise_over_signal():
    # Σ = I: argmin_λ is σ²p/(n‖Θ‖²)
    p, n, signal = 60, 90, 5.0
    best = NOISE * p / (n * signal)
    curve = ridge_curve(LinearProblem(np.ones(p), np.full(p, signal / p), NOISE), [n], best * np.array([0.99, 1, 1.01]))
    assert curve.test_loss[0].argmin() == 1


def test_many_rows_reach_the_penalised_population_and_many_penalties_the_zero_adapter():
    theta, problem = world()
    curve = ridge_curve(problem, [10**9], [0.5])
    shrunk = theta * (SPECTRUM / (SPECTRUM + 0.5))[:, None]
    assert curve.test_loss[0, 0] == pytest.approx(SPECTRUM @ ((shrunk - theta) ** 2).sum(1) + NOISE, rel=1e-6)
    power = SPECTRUM @ problem.alignment + NOISE
    far = ridge_curve(problem, [10], [1e9])
    assert far.test_loss[0, 0] == pytest.approx(power, rel=1e-6)
    assert far.training_loss[0, 0] == pytest.approx(power, rel=1e-6)


def test_directions_without_variance_do_not_exist():
    problem = LinearProblem(np.r_[SPECTRUM, 0.0], np.r_[np.ones(P), 7.0], NOISE)
    without = LinearProblem(SPECTRUM, np.ones(P), NOISE)
    left, right = (ridge_curve(case, [40, 90], [0.0, 0.1]) for case in (problem, without))
    np.testing.assert_array_equal(left.test_loss, right.test_loss)


def test_moments_give_back_the_problem_whatever_the_basis():
    theta, problem = world()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(P, P)))[0]
    second = rotation @ np.diag(SPECTRUM) @ rotation.T
    power = float(SPECTRUM @ problem.alignment) + NOISE
    found = linear_problem(second, second @ (rotation @ theta), power)
    np.testing.assert_allclose(found.spectrum[::-1], SPECTRUM, rtol=1e-10)
    np.testing.assert_allclose(found.alignment[::-1], problem.alignment, rtol=1e-8)
    assert found.noise == pytest.approx(NOISE, rel=1e-10)


def test_pooled_estimates_are_unbiased():
    theta, _ = world()
    rng = np.random.default_rng(3)
    x, _ = draw(theta, 200, rng)
    values, vectors = np.linalg.eigh(x.T @ x / 200)
    truth = ((vectors.T @ theta) ** 2).sum(axis=1)
    found = []
    for _ in range(300):
        y = x @ theta + rng.normal(size=(200, 2)) * np.sqrt(NOISE / 2)
        pooled = pooled_problem(x, y)
        found.append(np.r_[pooled.noise, pooled.spectrum * pooled.alignment])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(mean - np.r_[NOISE, values * truth]) < 4.5 * error).all()


def test_a_pool_of_labelled_rows_predicts_the_measured_grid():
    # Gaussian features, labels drawn from a linear score: noise is neither Gaussian nor of one variance
    theta, _ = world(outputs=3)
    rng = np.random.default_rng(5)

    def labelled(n):
        x = rng.normal(size=(n, P)) * np.sqrt(SPECTRUM)
        return np.hstack([x, np.ones((n, 1))]), (x @ theta + rng.gumbel(size=(n, 3))).argmax(axis=1)

    x, labels = labelled(4000)
    counts, penalties = [60, 120, 300], np.array([0.01, 0.1, 1.0])
    curve = ridge_curve(pooled_problem(x, one_hot(labels, 3)), counts, penalties)
    grids = [ridge_grid(Rows(*labelled(300), 3, "squared"), counts, penalties) for _ in range(60)]
    for name, predicted in (
        ("leave_one_out_loss", curve.test_loss),
        ("gcv", curve.test_loss),
        ("training_loss", curve.training_loss),
        ("effective_dimension", curve.effective_dimension),
    ):
        measured = np.mean([getattr(grid, name) for grid in grids], axis=0)
        np.testing.assert_allclose(measured, predicted, rtol=0.05, err_msg=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearProblem(np.array([-1.0]), np.ones(1), 1.0), "eigenvalues ≥ 0"),
        (lambda: LinearProblem(np.ones(2), np.ones(1), 1.0), "2 eigenvalues"),
        (lambda: LinearProblem(np.ones(1), np.ones(1), -1.0), "noise"),
        (lambda: ridge_curve(world()[1], [0], [1.0]), "label counts ≥ 1"),
        (lambda: ridge_curve(world()[1], [], [1.0]), "label counts ≥ 1"),
        (lambda: ridge_curve(world()[1], [5], [-1.0]), "penalties ≥ 0"),
        (lambda: linear_problem(np.eye(1), np.ones((1, 1)), 0.5), "below the 1.0"),
        (lambda: pooled_problem(np.eye(3), np.ones((3, 1))), "pool more rows"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
