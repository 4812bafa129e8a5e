"""V, X, L and F: numbers of series whose moments are known, and runs whose truth is known."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from limen.records.dynamics import Dynamics
from limen.theory.sgd import epoch
from limen.verdict.dynamics.identities import identities
from limen.verdict.dynamics.modes import mode_verdicts
from limen.verdict.dynamics.problem import run_problem

from .cases import BATCH, BATCHES, BETA, ETA, INFLATION, STEPS, TWO, H, means, noisy, problem, squares
from .runs import EXAMPLES, MODES, curvature_of, noise_of, recorded


def test_reshuffled_runs_have_the_virial_of_the_epoch_law_and_no_other_identity(reshuffled: Dynamics) -> None:
    law = epoch(replace(MODES, examples=EXAMPLES), EXAMPLES // 16)
    virial = reshuffled.identities["V"]
    expected = 2 * MODES.curvature @ law.position_variance / (0.1 * 1.8 * law.velocity_variance.sum())
    assert virial.predicted == pytest.approx(expected)
    assert expected < 0.99
    assert abs(virial.z or 9) < 4
    assert abs(reshuffled.identities["X"].z or 9) < 4
    for name in "LF":
        assert reshuffled.identities[name].z is None
        assert "independent" in reshuffled.identities[name].reason
    assert reshuffled.law == "epoch"
    assert all(abs(mode.temperature.z or 9) < 4 for mode in reshuffled.modes)


def test_values_are_the_formulas_of_the_moments() -> None:
    x, v = squares()
    at = problem(x=x, v=v, noise={"per_sample": False})
    found = identities(at, mode_verdicts(at))
    # h = 4, 1; Σh⟨x²⟩ = 8, Σ⟨v²⟩ = 2.5, Σ⟨xv⟩ = 2, ΣC = 1
    assert found["V"].measured.value == pytest.approx(2 * 8 / (ETA * (1 + BETA) * 2.5), rel=1e-6)
    assert found["X"].measured.value == pytest.approx(2 * 2 / (ETA * 2.5), rel=1e-6)
    # ¾⟨v²⟩ − h²⟨x²⟩ + h⟨xv⟩: 1.5 − 16 + 4 and .375 − 4 + 1
    assert found["F"].measured.value == pytest.approx(-13.125, rel=1e-6)
    # no error of the motion is left, only that of the noise measured: .01·√(8² + 2²)/10
    assert found["F"].error == pytest.approx(0.01 * np.sqrt(68) / 10, rel=1e-6)
    assert found["F"].z == pytest.approx(-14.125 / (0.01 * np.sqrt(68) / 10), rel=1e-6)
    assert found["V"].predicted == found["X"].predicted == found["F"].predicted == 1.0
    assert found["V"].z is None
    assert found["V"].reason == "no error: the series does not vary"


def jackknife(above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
    """Mean of the pseudo-values of a ratio, and their standard error, widened for neighbours that correlate."""
    n = len(above)
    pseudo = [
        n * above.sum() / below.sum() - (n - 1) * np.delete(above, i).sum() / np.delete(below, i).sum()
        for i in range(n)
    ]
    return float(np.mean(pseudo)), INFLATION * float(np.std(pseudo, ddof=1)) / np.sqrt(n)


def test_errors_and_z_of_v_x_and_f_are_those_of_batches() -> None:
    x, v = noisy()
    at = problem(x=x, v=v, noise={"per_sample": False})
    found = identities(at, mode_verdicts(at))
    tail = x[-BATCH * BATCHES :].mean(axis=0)
    x, v = x - tail, v - v[-BATCH * BATCHES :].mean(axis=0)
    own, pull = means(v**2).sum(axis=1), means(x * v).sum(axis=1)
    value, error = jackknife(2 * pull, ETA * own)
    assert found["X"].measured.value == pytest.approx(value, rel=1e-9)
    assert found["X"].error == pytest.approx(error, rel=1e-6)
    assert found["X"].z == pytest.approx((value - 1) / error, rel=1e-6)
    raw = noisy()[1]
    lost = means(x).var(axis=0, ddof=1) / BATCHES
    value, error = jackknife(2 * (means(x**2) + lost) @ H, ETA * (1 + BETA) * means(raw**2).sum(axis=1))
    assert found["V"].measured.value == pytest.approx(value, rel=1e-9)
    assert found["V"].error == pytest.approx(error, rel=1e-6)
    implied = means((1 - BETA**2) * v**2 - H**2 * x**2 + 2 * BETA * H * x * v).sum(axis=1)
    error = np.hypot(INFLATION * implied.std(ddof=1) / np.sqrt(BATCHES), 0.01 * np.sqrt(68) / 10)
    assert found["F"].measured.value == pytest.approx(implied.mean(), rel=1e-9)
    assert found["F"].error == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize(("h", "seed"), [((4.0, 1.0), 0), ((4.0, 2.0, 1.0), 1), ((4.0, 2.0, 1.0), 0)])
def test_l_is_the_difference_from_its_law_and_whether_it_holds_follows_from_the_record(
    h: tuple[float, ...], seed: int
) -> None:
    x, v = noisy(len(h), seed)
    wide = replace(TWO, curvature=np.array(h), noise=np.array(h), offset=np.zeros(len(h)), weight=np.ones(len(h)))
    trajectory = recorded(wide, STEPS)
    at = run_problem(replace(trajectory, positions=x.astype(np.float32), velocities=v.astype(np.float32)),
                     curvature_of(wide), noise_of(wide))  # fmt: skip
    found = identities(at, mode_verdicts(at))["L"]
    x, v = x - x[-BATCH * BATCHES :].mean(axis=0), v - v[-BATCH * BATCHES :].mean(axis=0)
    pairs = []
    for i, j in itertools.combinations(range(len(h)), 2):
        apart = means(x[:, j] * v[:, i] - x[:, i] * v[:, j] - (h[j] - h[i]) / (1 - BETA) * x[:, i] * x[:, j])
        error = INFLATION * apart.std(ddof=1) / np.sqrt(BATCHES)
        pairs.append((abs(apart.mean() / error), float(apart.mean()), float(error)))
    t, value, error = max(pairs)
    p = min(1.0, len(pairs) * 2 * stats.t.sf(t, BATCHES - 1))  # Holm's least
    assert found.predicted == 0.0
    assert found.measured.value == pytest.approx(value, rel=1e-6)
    assert found.error == pytest.approx(error, rel=1e-6)
    assert found.z is not None
    assert found.z == pytest.approx(np.copysign(stats.norm.isf(p / 2), value), rel=1e-6, abs=1e-9)
    half = stats.t.isf(0.025 / len(pairs), BATCHES - 1) * error
    assert (found.measured.low, found.measured.high) == pytest.approx((value - half, value + half), rel=1e-6)
    assert found.measured.confidence == 0.95
    assert (found.measured.low <= 0 <= found.measured.high) == (p >= 0.05) == (abs(found.z) < 1.96)


def test_l_is_zero_where_the_law_holds_and_not_where_curvature_is_another(independent: Dynamics) -> None:
    at = independent.identities["L"]
    assert at.predicted == 0.0
    assert at.measured.low < 0 < at.measured.high
    assert abs(at.z) < 1.96
    x, v = noisy()
    turning = np.stack([v[:, 0], x[:, 0]], axis=1)  # x₁ = v₂, x₂ = v₁: E[x₁v₂ − x₂v₁] = E x₁² − E x₂², of 4 to 1
    at = problem(x=turning * [2.0, 1.0], v=np.stack([turning[:, 1], 2 * turning[:, 0]], axis=1))
    found = identities(at, mode_verdicts(at))["L"]
    assert abs(found.z) > 6
    assert not found.measured.low < 0 < found.measured.high


def test_refused_l_keeps_its_difference_without_z(reshuffled: Dynamics) -> None:
    at = reshuffled.identities["L"]
    assert at.measured.value is not None
    assert (at.predicted, at.z, at.error) == (0.0, None, None)
    one = problem(eigenvalues=(4.0, -1.0))
    found = identities(one, mode_verdicts(one))
    assert found["L"].measured.reason == "angular momentum needs two equilibrated modes"
    assert found["V"].z is not None
    plain = at.to_json()
    assert set(plain) == {"measured", "predicted", "error", "z", "reason"}


@pytest.mark.parametrize(
    ("facts", "drifting", "why"),
    [
        ({}, True, "this run drifts"),
        ({"sampling": "unknown"}, False, "drawn in an unknown way"),
        ({"sampling": "same-order"}, False, "in one order for ever"),
        ({"batch_size": None}, False, "batch size"),
    ],
)
def test_v_l_and_f_are_not_judged_where_their_assumptions_fail(facts: dict[str, Any], drifting: bool, why: str) -> None:
    at = problem(**facts)
    found = identities(at, mode_verdicts(at), drifting)
    for name in "VLF":
        assert found[name].z is None
        assert why in found[name].reason
    assert found["V"].predicted is None
    assert found["X"].z is not None


def test_there_is_no_identity_without_a_mode_at_rest_or_heavy_ball() -> None:
    for facts in ({"settings": {"nesterov": True}}, {"eigenvalues": (-1.0, -2.0)}):
        at = problem(**facts)
        assert all(found.measured.value is None for found in identities(at, mode_verdicts(at)).values())


def test_without_noise_f_is_an_amount() -> None:
    x, v = squares()
    at = problem(x=x, v=v, noise=None)
    found = identities(at, mode_verdicts(at))["F"]
    assert found.measured.value == pytest.approx(-13.125, rel=1e-6)
    assert found.reason == "gradient noise was not measured"
