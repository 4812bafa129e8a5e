"""The continuous law against matrix exponentials, against the exact law, and the published sum's defect."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.linalg

from limen.records.errors import BadInput
from limen.theory.sgd import Modes, discrete, langevin, phase_space

STEPS = np.array([1, 2, 5, 30, 300])


def cases() -> list[Modes]:
    grid = product([1e-4, 0.00263, 0.1, 0.3, 1.0, 3.0], [0.1, 1.0], [0.0, 0.5, 0.9, 0.99])
    return [Modes([h], [2.0], eta, b, 4, offset=[0.7]) for h, eta, b in grid if eta * h < 2 * (1 + b)]


def test_moments_and_displacements_are_those_of_the_matrix_exponential() -> None:
    for modes in cases():
        law, space = langevin(modes), phase_space([[modes.curvature[0]]], [[2.0]], modes)
        p = space.covariance / space.kappa
        assert law.position_variance[0] == pytest.approx(p[0, 0], rel=1e-8)
        assert law.velocity_variance[0] == pytest.approx(p[1, 1], rel=1e-8)
        fixed, stationary = law.displacement(STEPS, "fixed"), law.displacement(STEPS)
        r = law.position_autocorrelation(STEPS)[:, 0]
        for i, t in enumerate(STEPS):
            power = scipy.linalg.expm(-space.drift * t * modes.learning_rate)
            grown = (p - power @ p @ power.T)[0, 0] + (0.7 * (1 - power[0, 0])) ** 2
            assert fixed[i] == pytest.approx(grown, rel=1e-7, abs=1e-9 * p[0, 0])
            assert stationary[i] == pytest.approx(2 * (p - power @ p)[0, 0], rel=1e-7, abs=1e-9 * p[0, 0])
            assert r[i] == pytest.approx((power @ p)[0, 0] / p[0, 0], abs=1e-9)


def test_exact_moments_are_the_continuous_ones_over_one_less_q() -> None:
    modes = Modes(np.geomspace(1e-3, 18, 20), np.ones(20), 0.2, 0.9, 32, 0.01)
    q = 0.2 * modes.stiffness / (2 * 1.9)
    exact, continuous = discrete(modes), langevin(modes)
    for quantity in ("position_variance", "velocity_variance"):
        ratio = getattr(continuous, quantity) / getattr(exact, quantity)
        assert ratio == pytest.approx(1 - q, rel=1e-12)


def test_midpoints_have_the_continuous_variance_at_any_learning_rate() -> None:
    """T9: Var ½(x_k + x_{k−1}) = ½Var x (1 + r(1)) = ηC/(2(1 − β)h)."""
    modes = Modes(np.geomspace(1e-3, 37, 30), np.ones(30), 0.1, 0.9, 8)
    law = discrete(modes)
    midpoint = law.position_variance * (1 + law.position_autocorrelation([1])[0]) / 2
    assert midpoint == pytest.approx(langevin(modes).position_variance, rel=1e-11)


@pytest.mark.parametrize("start", ["stationary", "fixed"])
def test_the_laws_meet_as_the_learning_rate_goes_to_zero(start: str) -> None:
    curvature, time = np.geomspace(0.01, 10, 12), np.array([3.0, 30.0])
    apart = []
    for eta in (1e-2, 1e-3, 1e-4):
        modes = Modes(curvature, curvature, eta, 0.9, 32)
        steps = (time / eta).astype(int)
        exact = discrete(modes).displacement(steps, start)  # type: ignore[arg-type]
        apart.append(np.abs(langevin(modes).displacement(steps, start) / exact - 1).max())  # type: ignore[arg-type]
    assert apart[0] > 5 * apart[1] > 25 * apart[2]


def test_flat_and_nearly_flat_modes_agree() -> None:
    for start in ("stationary", "fixed"):
        flat = langevin(Modes([0.0], [1.0], 0.1, 0.9)).displacement(STEPS, start)  # type: ignore[arg-type]
        nearly = langevin(Modes([1e-13], [1.0], 0.1, 0.9)).displacement(STEPS, start)  # type: ignore[arg-type]
        assert nearly == pytest.approx(flat, rel=1e-9)
    late = langevin(Modes([0.0], [1.0], 0.1, 0.9)).displacement([10**7], "fixed")[0]
    assert late / 10**7 == pytest.approx(0.01 / 0.01, rel=1e-4)  # η²C/(1 − β)² a step, as the exact law's


@pytest.mark.parametrize(
    ("eta", "beta", "ratio"), [(0.01, 0.9, 1.07), (0.1, 0.9, 1.60), (0.3, 0.9, 2.24), (0.1, 0.0, 23.7)]
)
def test_the_published_sum_diffuses_where_nothing_does(eta: float, beta: float, ratio: float) -> None:
    rho = np.geomspace(0.01, 10, 12)
    modes = Modes(rho, rho, eta, beta, 32)
    found = langevin(modes).displacement_published([400])[0] / discrete(modes).displacement([400])[0]
    assert found == pytest.approx(ratio, rel=0.01)


def test_the_published_sum_is_the_double_sum() -> None:
    modes = Modes([0.5], [1.0], 0.2, 0.8, 4)
    law = langevin(modes)
    c = law.velocity_autocorrelation(np.arange(9))[:, 0] * law.velocity_variance[0] * 0.04
    slow = [sum(c[abs(i - j)] for i in range(t) for j in range(t)) for t in (0, 1, 2, 8)]
    assert law.displacement_published([0, 1, 2, 8]) == pytest.approx(slow, rel=1e-12)


def test_nesterov_has_no_such_law() -> None:
    with pytest.raises(BadInput, match="looks ahead"):
        langevin(Modes([1.0], [1.0], 0.1, 0.9, nesterov=True))


def test_frequencies_are_low_against_the_exact_ones_as_tabulated() -> None:
    """Frequency Langevin/exact at β = .9: .999, .995, .977, .952, .893 at ηh = .01, .1, .5, 1, 2."""
    for a, ratio in [(0.01, 0.999), (0.1, 0.995), (0.5, 0.977), (1.0, 0.952), (2.0, 0.893)]:
        law = langevin(Modes([a], [1.0], 1.0, 0.9))
        exact = np.arccos((1.9 - a) / (2 * np.sqrt(0.9)))
        assert np.sqrt(law.frequency2[0] - law.friction[0] ** 2) / exact == pytest.approx(ratio, abs=2e-3)


def test_a_dampened_fixed_start_lacks_what_its_docstring_says() -> None:
    d, steps = 0.5, np.array([1, 2, 5, 40])
    dampened = Modes([0.0, 0.3], [1.0, 2.0], 0.1, 0.9, dampening=d, offset=[0.0])
    plain = Modes([0.0, 0.3], [1.0, 2.0], 0.1 * (1 - d), 0.9, offset=[0.0])
    law = langevin(dampened)
    assert law.displacement(steps, "fixed") == pytest.approx(langevin(plain).displacement(steps, "fixed"), rel=1e-12)
    more = (1 / (1 - d) ** 2 - 1) * law.step_variance * law.recursion.impulse(steps) ** 2
    apart = discrete(dampened).mode_displacement(steps, "fixed") - discrete(plain).mode_displacement(steps, "fixed")
    assert apart == pytest.approx(more, rel=1e-9)
    first = law.displacement([1], "fixed") / discrete(dampened).displacement([1], "fixed")
    assert 0 < first[0] < (1 - d) ** 2
    pulled = discrete(Modes([0.3], [0.0], 0.1, 0.9, dampening=d, offset=[1.0])).displacement([1], "fixed")
    slower = discrete(Modes([0.3], [0.0], 0.05, 0.9, offset=[1.0])).displacement([1], "fixed")
    assert np.sqrt(pulled) - np.sqrt(slower) == pytest.approx([d * 0.1 * 0.3], rel=1e-12)
