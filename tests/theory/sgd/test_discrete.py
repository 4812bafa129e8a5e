"""The closed forms against powers and Lyapunov equations of the 2 × 2 systems, for every kind of update."""

from __future__ import annotations

import numpy as np
import pytest

from limen.records.errors import BadInput
from limen.theory.sgd import Modes, Unstable, discrete

from .systems import from_fixed, name, stationary, system, zoo

STEPS = np.array([0, 1, 2, 3, 7, 30, 100, 1000])


def test_stationary_moments_solve_the_lyapunov_equation() -> None:
    for modes in zoo():
        law, p = discrete(modes), stationary(modes)
        assert law.position_variance[0] == pytest.approx(p[0, 0], rel=2e-9), name(modes)
        assert law.velocity_variance[0] == pytest.approx(p[1, 1], rel=1e-9), name(modes)


def test_stationary_displacement_and_autocorrelations_are_those_of_the_powers() -> None:
    for modes in zoo():
        law, p, power = discrete(modes), stationary(modes), np.eye(2)
        displacement = law.displacement(STEPS)
        r, c = law.position_autocorrelation(STEPS)[:, 0], law.velocity_autocorrelation(STEPS)[:, 0]
        m = system(modes)[0]
        for t in range(STEPS[-1] + 1):
            for i in np.flatnonzero(t == STEPS):
                moved = power @ p
                assert displacement[i] == pytest.approx(2 * (p - moved)[0, 0], rel=1e-6, abs=1e-9 * p[0, 0]), name(
                    modes
                )
                assert r[i] == pytest.approx(moved[0, 0] / p[0, 0], abs=1e-8), name(modes)
                assert c[i] == pytest.approx(moved[1, 1] / p[1, 1], abs=1e-7), name(modes)
            power = m @ power


def test_displacement_from_a_fixed_start_is_the_recursion_itself_to_ten_digits() -> None:
    for modes in zoo():
        means, variances = from_fixed(modes, int(STEPS[-1]))
        expected = variances[STEPS] + (means[STEPS] - modes.offset[0]) ** 2
        assert discrete(modes).displacement(STEPS, "fixed") == pytest.approx(expected, rel=1e-10, abs=0), name(modes)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_flat_mode_from_rest_has_its_own_closed_form(beta: float) -> None:
    t = np.array([1, 2, 5, 40, 10**3, 10**6])
    found = discrete(Modes([0.0], [3.0], 0.1, beta, 4)).displacement(t, "fixed")
    sums = t - 2 * beta * (1 - beta**t) / (1 - beta) + beta**2 * (1 - beta ** (2.0 * t)) / (1 - beta**2)
    assert found == pytest.approx(0.1**2 * 0.75 / (1 - beta) ** 2 * sums, rel=1e-10)


@pytest.mark.parametrize("start", ["stationary", "fixed"])
def test_nearly_flat_modes_tend_to_flat_ones_without_losing_digits(start: str) -> None:
    t = np.array([1, 10, 1000])
    flat = discrete(Modes([0.0], [1.0], 0.1, 0.9)).displacement(t, start)  # type: ignore[arg-type]
    for h in (1e-300, 1e-14, 1e-10):
        nearly = discrete(Modes([h], [1.0], 0.1, 0.9)).displacement(t, start)  # type: ignore[arg-type]
        assert nearly == pytest.approx(flat, rel=1e-6 if h == 1e-10 else 1e-10)


@pytest.mark.parametrize("start", ["stationary", "fixed"])
@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99])
def test_critical_damping_is_no_place_of_its_own(start: str, beta: float) -> None:
    critical = (1 - np.sqrt(beta)) ** 2
    a = critical * (1 + np.array([-1e-2, -1e-6, -1e-13, 0.0, 1e-13, 1e-6, 1e-2]))
    found = discrete(Modes(a, np.ones(7), 1.0, beta)).mode_displacement([3, 50, 10**4], start)  # type: ignore[arg-type]
    assert found[:, 1:6] == pytest.approx(np.broadcast_to(found[:, 3:4], (3, 5)), rel=1e-4)
    assert found[:, 2:5] == pytest.approx(np.broadcast_to(found[:, 3:4], (3, 3)), rel=1e-9)
    for column in (0, 6):
        modes = Modes(a[column : column + 1], np.ones(1), 1.0, beta)
        if start == "fixed":
            assert found[:2, column] == pytest.approx(from_fixed(modes, 50)[1][[3, 50]], rel=1e-10)


def test_autocorrelation_closed_form_is_the_recursion_to_two_thousand_steps() -> None:
    """T3: r(k) = φr(k − 1) − βr(k − 2), r(0) = 1, r(1) = φ/(1 + β)."""
    k = np.arange(2001)
    for beta in (0.0, 0.5, 0.9, 0.99):
        a = np.geomspace(1e-4, 2 if beta else 1.99, 40)
        found = discrete(Modes(a, np.ones(40), 1.0, beta)).position_autocorrelation(k)
        phi, r = 1 + beta - a, [np.ones(40)]
        r.append(phi / (1 + beta))
        for _ in k[2:]:
            r.append(phi * r[-1] - beta * r[-2])
        assert np.abs(found - np.array(r)).max() < 1e-12


def test_local_displacement_is_the_squared_velocity_of_plain_heavy_ball_only() -> None:
    plain = discrete(Modes([0.5], [1.0], 0.1, 0.9, 8))
    assert plain.local_displacement == pytest.approx(0.01 * plain.velocity_variance[0], rel=1e-12)
    for changed in ({"nesterov": True}, {"decoupled": True, "weight_decay": 0.5}):
        law = discrete(Modes([0.5], [1.0], 0.1, 0.9, 8, **changed))  # type: ignore[arg-type]
        assert abs(law.local_displacement / (0.01 * law.velocity_variance[0]) - 1) > 1e-3


def test_excess_loss_is_the_kinetic_energy_times_the_step() -> None:
    """½ Σ h Var x = ¼η(1 + β)E‖v‖² for heavy ball, at any stable learning rate."""
    law = discrete(Modes(np.geomspace(0.01, 30, 9), np.linspace(1, 5, 9), 0.1, 0.9, 8))
    assert law.excess_loss == pytest.approx(0.1 * 1.9 / 4 * law.velocity_variance.sum(), rel=1e-12)


def test_thresholds_of_the_continuous_law_are_those_tabulated() -> None:
    """T2: 1/(1 − q) − 1 = 1 %, 5 %, 10 %, 50 % at these η·h; unstable at 2(1 + β)."""
    table = {0.0: (0.0198, 0.095, 0.182, 0.667, 2), 0.5: (0.0297, 0.143, 0.273, 1.0, 3),
             0.9: (0.0376, 0.181, 0.345, 1.27, 3.8), 0.99: (0.0394, 0.190, 0.362, 1.33, 3.98)}  # fmt: skip
    for beta, (*places, edge) in table.items():
        for share, a in zip((0.01, 0.05, 0.1, 0.5), places, strict=True):
            law = discrete(Modes([a], [1.0], 1.0, beta))
            continuous = 1 / (2 * (1 - beta) * a)
            assert law.position_variance[0] / continuous - 1 == pytest.approx(share, rel=0.02)
        assert discrete(Modes([1.0], [1.0], 0.5, beta)).max_stable_learning_rate == pytest.approx(edge)


def test_regimes_are_named_and_bounded_by_the_square_roots_of_momentum() -> None:
    beta = 0.9
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2
    a = [0.0, low * 0.99, low, low * 1.01, high * 0.999, high * 1.0005]
    assert discrete(Modes(a, np.ones(6), 1.0, beta)).regime.tolist() == [
        "flat", "overdamped", "critical", "underdamped", "underdamped", "flipping",
    ]  # fmt: skip
    without = discrete(Modes([0.5, 1.0, 1.5], np.ones(3), 1.0))
    assert without.regime.tolist() == [
        "overdamped",
        "critical",
        "flipping",
    ]  # one step forgets all at a = 1: no rotation
    allowed = discrete(Modes([4.0, -0.1], np.ones(2), 1.0, beta), allow_unstable=True)
    assert allowed.regime.tolist() == ["unstable", "unstable"]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"nesterov": True},
        {"weight_decay": 0.3, "decoupled": True},
        {"dampening": 0.5},
        {"nesterov": True, "weight_decay": 0.3, "decoupled": True},
    ],
)
def test_edge_of_stability_is_where_the_largest_root_leaves_the_circle(changed: dict[str, object]) -> None:
    def radius(rate: float) -> float:
        modes = Modes([2.0], [1.0], rate, 0.8, **changed)  # type: ignore[arg-type]
        return float(np.abs(np.linalg.eigvals(system(modes)[0])).max())

    limit = discrete(Modes([2.0], [1.0], 0.01, 0.8, **changed)).max_stable_learning_rate  # type: ignore[arg-type]
    assert limit is not None
    assert radius(limit * 0.999) < 1 < radius(limit * 1.001)


def test_relaxation_is_the_memory_of_the_slowest_root() -> None:
    for modes in zoo():
        root = np.abs(np.linalg.eigvals(system(modes)[0])).max()
        found = discrete(modes).relaxation_steps[0]
        assert np.exp(-1 / max(found, 1e-300)) == pytest.approx(root, abs=1e-7), name(modes)  # double roots: √ε
        if root > 0.9:
            assert found == pytest.approx(-1 / np.log(root), rel=1e-5), name(modes)
    slow = discrete(Modes([1e-12, 0.0], [1.0, 1.0], 0.1, 0.9)).relaxation_steps
    assert slow[0] == pytest.approx(0.1 / 1e-13, rel=1e-6)
    assert slow[1] == np.inf


def test_unstable_rates_are_refused_with_the_limit_and_allowed_from_a_fixed_start() -> None:
    modes = Modes([1.0, 50.0], [1.0, 1.0], 0.1, 0.9, offset=[0.1])
    with pytest.raises(Unstable, match=r"at most 0\.076") as refused:
        discrete(modes)
    assert "1 of 2 modes" in str(refused.value)
    law = discrete(modes, allow_unstable=True)
    assert np.isnan(law.position_variance[1])
    assert np.isnan(law.displacement([3])).all()
    expected = [from_fixed(Modes([h], [1.0], 0.1, 0.9, offset=[0.1]), 40) for h in (1.0, 50.0)]
    total = sum(v[40] + (m[40] - 0.1) ** 2 for m, v in expected)
    assert law.displacement([40], "fixed")[0] == pytest.approx(total, rel=1e-10)
    with pytest.raises(Unstable, match="grows without bound"):
        discrete(Modes([-0.1], [1.0], 0.1))


def test_exponents_of_the_limits() -> None:
    """3 from rest and 2 at equilibrium before momentum has turned over, 1 of a flat mode, 0 of a saturated one."""
    flat = discrete(Modes([0.0], [1.0], 1e-3, 0.9999))
    assert flat.exponent([30], "fixed")[0] == pytest.approx(3, abs=0.06)
    assert flat.exponent([30])[0] == pytest.approx(2, abs=0.01)
    assert flat.exponent([10**8])[0] == pytest.approx(1, abs=1e-3)
    assert discrete(Modes([1.0], [1.0], 0.1, 0.9)).exponent([10**5])[0] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("tau", [1.25, 1.5, 1.75])
def test_a_power_law_of_curvatures_makes_anomalous_diffusion(tau: float) -> None:
    """T5: density ρ^−τ of curvatures with noise ∝ ρ: exponent τ − 1 while modes still saturate one after the other."""
    rho = np.geomspace(1e-9, 1, 4000)
    law = discrete(Modes(rho, rho, 0.5, 0.0, weight=rho ** (1 - tau)))  # log-spaced: density ρ^−τ is weight ρ^(1−τ)
    assert law.exponent([10**4, 10**5], "fixed") == pytest.approx(tau - 1, abs=0.03)


def test_weights_count_modes_and_sums_are_over_modes() -> None:
    once = discrete(Modes([0.1, 0.1, 3.0], [1.0, 1.0, 2.0], 0.1, 0.9))
    counted = discrete(Modes([0.1, 3.0], [1.0, 2.0], 0.1, 0.9, weight=[2.0, 1.0]))
    for start in ("stationary", "fixed"):
        assert counted.displacement(STEPS, start) == pytest.approx(once.displacement(STEPS, start), rel=1e-14)  # type: ignore[arg-type]
        assert once.mode_displacement(STEPS, start).sum(axis=1) == pytest.approx(once.displacement(STEPS, start))  # type: ignore[arg-type]
    assert counted.excess_loss == pytest.approx(once.excess_loss)


def test_batches_of_distinct_examples_have_less_noise() -> None:
    drawn = discrete(Modes([1.0], [1.0], 0.1, batch_size=50))
    distinct = discrete(Modes([1.0], [1.0], 0.1, batch_size=50, examples=100))
    assert distinct.position_variance[0] / drawn.position_variance[0] == pytest.approx(50 / 99)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: error: expected a number above 0"),
        ({"learning_rate": float("nan")}, "expected a finite number"),
        ({"momentum": 1.0}, r"expected a number in \[0, 1\)"),
        ({"batch_size": 0}, "expected a whole number ≥ 1"),
        ({"noise": [-1.0]}, "expected variances ≥ 0"),
        ({"curvature": [np.nan]}, "1 NaN or infinite"),
        ({"curvature": [1.0, 2.0], "noise": [1.0, 2.0, 3.0]}, "lists of different lengths"),
        ({"nesterov": True}, "momentum above 0 and no dampening"),
        ({"weight_decay": -1.0}, "expected a number ≥ 0"),
        ({"examples": 3, "batch_size": 4}, r"≥ batch_size \(4\)"),
    ],
)
def test_settings_out_of_range_are_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Modes(**({"curvature": [1.0], "noise": [1.0], "learning_rate": 0.1} | changed))  # type: ignore[arg-type]


def test_several_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        Modes([1.0], [-1.0], -0.1, 2.0, 0)
    assert {p.where for p in refused.value.problems} == {"noise", "learning_rate", "momentum", "batch_size"}


@pytest.mark.parametrize("steps", [[-1], [1.5], ["x"], [[1]]])
def test_steps_are_whole_numbers(steps: list[object]) -> None:
    with pytest.raises(BadInput, match="whole numbers of steps"):
        discrete(Modes([1.0], [1.0], 0.1)).displacement(steps)  # type: ignore[arg-type]


@pytest.mark.torch
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"dampening": 0.5},
        {"momentum": 0.8},
        {"momentum": 0.8, "dampening": 0.5},
        {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.8, "weight_decay": 0.3},
    ],
)
def test_the_mean_moves_as_torch_moves_it(changed: dict[str, object]) -> None:
    """Without noise the displacement is that of torch.optim.SGD itself on ½hx²."""
    torch = pytest.importorskip("torch")
    x = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    optimizer, path = torch.optim.SGD([x], lr=0.1, **changed), [0.0]
    for _ in range(30):
        optimizer.zero_grad()
        (0.5 * 2.0 * x**2).backward()
        optimizer.step()
        path.append((float(x.detach()) - 1.0) ** 2)
    law = discrete(Modes([2.0], [0.0], 0.1, offset=[1.0], **changed))  # type: ignore[arg-type]
    assert law.displacement(np.arange(31), "fixed") == pytest.approx(path, rel=1e-10, abs=1e-15)
