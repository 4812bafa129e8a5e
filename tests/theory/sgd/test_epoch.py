"""Reshuffled and same-order sampling against sums over the whole past, and against runs of the recursion."""

from __future__ import annotations

import numpy as np
import pytest

from limen.records.errors import BadInput
from limen.theory.sgd import (
    Epoch,
    Modes,
    discrete,
    epoch,
    same_order_displacement,
    same_order_variance,
    simulate,
)

STEPS = np.array([1, 2, 7, 10, 50, 51, 130, 777])
CASES = [
    (Modes([0.1], [1.0], 0.1, 0.9), 50), (Modes([0.02], [1.0], 0.1, 0.9), 13), (Modes([1.0], [1.0], 0.5, 0.9), 10),
    (Modes([0.5], [1.0], 0.1), 20), (Modes([1.9], [1.0], 1.0, 0.5), 7), (Modes([1.0], [1.0], 1.3), 9),
    (Modes([3.7], [1.0], 1.0, 0.9), 5), (Modes([4e-3], [1.0], 0.1, 0.9), 50),
    (Modes([0.1], [1.0], 0.1, 0.9, weight_decay=0.01, decoupled=True), 50),
    (Modes([0.1], [1.0], 0.1, 0.9, nesterov=True), 50), (Modes([0.1], [1.0], 0.1, 0.9, dampening=0.3), 12),
]  # fmt: skip


def impulses(modes: Modes, last: int = 60_000) -> np.ndarray:
    """What noise does to the position j steps later, by running the update."""
    from .systems import system

    m, w = system(modes)
    found, z = np.empty(last), w
    for j in range(last):
        found[j] = z[0]
        z = m @ z
    return found


@pytest.mark.parametrize(("modes", "m"), CASES)
def test_variance_and_displacement_are_quadratic_forms_of_the_noise_of_the_whole_past(modes: Modes, m: int) -> None:
    w, c = impulses(modes), modes.step_noise[0]

    def form(weights: np.ndarray) -> float:  # Cov n = CM/(M − 1)(δ − Λ_M)
        return float(c * m / (m - 1) * ((weights**2).sum() - (np.convolve(weights, np.ones(m)) ** 2).sum() / m**2))

    law = epoch(modes, m)
    assert law.position_variance[0] == pytest.approx(form(w), rel=1e-9)
    expected = []
    for t in STEPS:
        moved = np.concatenate([w, np.zeros(t)])
        moved[t:] -= w
        expected.append(form(moved))
    assert law.displacement(STEPS) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("modes", "m"), CASES)
def test_from_a_fixed_start_every_epoch_of_noise_sums_to_zero(modes: Modes, m: int) -> None:
    w, c = impulses(modes, 800), modes.step_noise[0]
    expected = []
    for t in STEPS:
        weights = w[:t][::-1].copy()  # noise of step i acts t − 1 − i steps later
        weights[0] /= 1 - modes.dampening
        sums = sum(weights[first : first + m].sum() ** 2 for first in range(0, t, m))
        expected.append(c * m / (m - 1) * ((weights**2).sum() - sums / m))
    assert epoch(modes, m).displacement(STEPS, "fixed") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("m", [2, 5, 12])
@pytest.mark.parametrize(("curvature", "eta", "beta"), [(0.0, 0.1, 0.9), (0.3, 0.1, 0.9), (2.0, 0.5, 0.5)])
@pytest.mark.parametrize("dampening", [0.3, 0.5, 0.97])
@pytest.mark.parametrize("white", [0.0, 0.4])
def test_a_dampened_fixed_start_is_a_quadratic_form_of_the_noise_of_its_epochs(
    m: int, curvature: float, eta: float, beta: float, dampening: float, white: float
) -> None:
    modes = Modes([curvature], [1.7], eta, beta, dampening=dampening, offset=[0.4])
    law = epoch(modes, m, white)
    for t in (1, 2, m - 1, m, m + 1, 3 * m + 1, 5 * m, 40 * m + 1):
        epochs = -(-t // m)
        bridge = (m * np.eye(m) - np.ones((m, m))) / (m - 1)  # Cov of an epoch's noises, in C
        noise = 1.7 * np.kron(np.eye(epochs), white * np.eye(m) + (1 - white) * bridge)[:t, :t]
        state, answers = np.array([0.4, 0.0]), np.zeros((2, t))
        for k in range(t):
            c = 1 - dampening if k else 1.0  # torch.optim.SGD
            system = np.array([[1 - eta * c * curvature, eta * beta], [-c * curvature, beta]])
            state, answers = system @ state, system @ answers
            answers[:, k] += [-eta * c, -c]
        expected = answers[0] @ noise @ answers[0] + (state[0] - 0.4) ** 2
        assert law.displacement([t], "fixed")[0] == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert law.displacement([1], "fixed") == pytest.approx(discrete(modes).displacement([1], "fixed"), rel=1e-12)


def test_a_dampened_fixed_start_keeps_its_digits_over_many_epochs() -> None:
    law = epoch(Modes([1e-7], [1.0], 0.1, 0.9, dampening=0.5), 50)
    assert law.displacement([100_000], "fixed") == pytest.approx(forward(law, 100_000), rel=1e-8)


def forward(law: Epoch, steps: int) -> float:
    """The variance after whole epochs, by adding up answers one by one."""
    p, m = law.problem, law.steps_per_epoch
    w = impulses(p, steps)[::-1].copy()
    w[0] /= 1 - p.dampening
    bridged = w.reshape(-1, m) - w.reshape(-1, m).mean(1, keepdims=True)
    return float(p.step_noise[0] * m / (m - 1) * (bridged**2).sum())


def test_flat_modes_do_not_diffuse_beyond_an_epoch_as_tabulated() -> None:
    modes = Modes([4e-4], [1.0], 0.1, 0.9)
    t = np.array([1, 10, 25, 50, 100, 200])
    ratio = epoch(modes, 50).displacement(t) / discrete(modes).displacement(t)
    assert ratio == pytest.approx([0.71, 0.60, 0.44, 0.25, 0.12, 0.056], abs=0.005)


@pytest.mark.parametrize("start", ["stationary", "fixed"])
def test_nearly_flat_modes_tend_to_flat_ones(start: str) -> None:
    t = np.array([1, 30, 500, 10**5])
    flat = epoch(Modes([0.0], [1.0], 0.1, 0.9), 50).displacement(t, start)  # type: ignore[arg-type]
    for h in (1e-12, 1e-10):
        nearly = epoch(Modes([h], [1.0], 0.1, 0.9), 50).displacement(t, start)  # type: ignore[arg-type]
        assert nearly == pytest.approx(flat, rel=1e-6)


def test_white_noise_alone_is_the_independent_law_and_shares_mix() -> None:
    modes = Modes([0.0, 0.1, 2.0], [1.0, 1.0, 3.0], 0.1, 0.9, 4)
    for start in ("stationary", "fixed"):
        iid = discrete(modes).displacement(STEPS, start)  # type: ignore[arg-type]
        assert epoch(modes, 20, white=1.0).displacement(STEPS, start) == pytest.approx(iid, rel=1e-10)  # type: ignore[arg-type]
        mixed = epoch(modes, 20, white=0.25).displacement(STEPS, start)  # type: ignore[arg-type]
        none = epoch(modes, 20).displacement(STEPS, start)  # type: ignore[arg-type]
        assert mixed == pytest.approx(0.25 * iid + 0.75 * none, rel=1e-10)
    assert epoch(modes, 20, white=1.0).position_variance[1:] == pytest.approx(discrete(modes).position_variance[1:])


def test_order_of_sampling_orders_flat_modes() -> None:
    """T7: i.i.d. ≫ reshuffled ≫ same order, and each within 3 standard errors of 2,000 runs."""
    modes, t, m = Modes([0.0], [1.0], 0.1, 0.9), np.array([25, 60, 525]), 50
    theory = {
        "iid": discrete(modes).displacement(t, "fixed"),
        "reshuffle": epoch(modes, m).displacement(t, "fixed"),
    }
    for sampling, expected in theory.items():
        x = simulate(modes, t, 2000, sampling, m, seed=1).positions[:, :, 0]  # type: ignore[arg-type]
        error = (x**2).std(axis=1) / np.sqrt(2000)
        assert (np.abs((x**2).mean(axis=1) - expected) < 3 * error).all(), sampling
    assert theory["iid"][2] > 20 * theory["reshuffle"][2]
    assert theory["reshuffle"][2] > 100 * same_order_displacement(modes, m, [500])[0]


def test_same_order_runs_on_a_closed_orbit_of_the_predicted_size() -> None:
    modes, m = Modes([0.2, 1.0], [1.0, 2.0], 0.1, 0.9), 20
    settled = 40 * m
    run = simulate(modes, settled + np.arange(0, m + 1, 5), 3000, "same-order", m)
    moved = ((run.positions - run.positions[0]) ** 2).sum(axis=2)
    expected = same_order_displacement(modes, m, [0, 5, 10, 15, 20])
    assert moved.mean(axis=1) == pytest.approx(expected, rel=0.06, abs=1e-6)
    assert expected[4] == pytest.approx(0, abs=1e-20)
    spread = (run.positions[0] ** 2).mean(axis=0)
    assert spread == pytest.approx(same_order_variance(modes, m), rel=0.08)


def test_stationary_runs_have_the_epoch_variance_averaged_over_phases() -> None:
    modes, m = Modes([0.05, 1.0], [1.0, 2.0], 0.1, 0.9), 10
    at = 3000 + np.arange(m)
    x = simulate(modes, at, 1500, "reshuffle", m).positions
    law = epoch(modes, m)
    assert (x**2).mean(axis=(0, 1)) == pytest.approx(law.position_variance, rel=0.05)
    assert law.position_variance[0] < 0.5 * discrete(modes).position_variance[0]


@pytest.mark.parametrize(
    ("m", "white", "message"), [(1, 0.0, "whole number ≥ 2"), (10, 1.5, "shares in"), (10, [0.1] * 3, "one per mode")]
)
def test_bad_epochs_are_named(m: int, white: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        epoch(Modes([1.0], [1.0], 0.1), m, white=white)  # type: ignore[arg-type]


def test_examples_that_an_epoch_drops_let_flat_modes_diffuse() -> None:
    """N = 100 examples in batches of 30: ten are left out of every epoch, another ten each time."""
    n, size, epochs, runs = 100, 30, 40, 2000
    rng = np.random.default_rng(0)
    values = rng.normal(size=n)
    values = (values - values.mean()) / values.std()
    x, v = np.zeros(runs), np.zeros(runs)
    for _ in range(epochs):
        order = rng.permuted(np.tile(np.arange(n), (runs, 1)), axis=1)
        for first in range(0, n - size + 1, size):
            v = 0.5 * v - values[order[:, first : first + size]].mean(axis=1)
            x = x + 0.1 * v
    modes = Modes([0.0], [1.0], 0.1, 0.5, size, examples=n)
    predicted = epoch(modes, n // size).displacement([epochs * (n // size)], "fixed")[0]
    error = (x**2).std() / np.sqrt(runs)
    assert abs((x**2).mean() - predicted) < 4 * error
    assert epoch(modes, n // size, white=0.0).displacement([120], "fixed")[0] < 0.05 * predicted
    assert epoch(modes, n // size).white.tolist() == [(n - 90) / (n - size)]


def test_exponents_from_a_fixed_start_compare_places_alike_in_their_epochs() -> None:
    modes, t = Modes([0.0, 0.1], [1.0, 1.0], 0.1, 0.9), np.array([10, 50, 999, 1000, 1001, 1025, 10_000])
    found = epoch(modes, 50).exponent(t, "fixed")
    assert np.isnan(found[:2]).all()
    assert (np.abs(found[2:]) < 0.2).all()  # a bridge and a confined mode: no growth from epoch to epoch
