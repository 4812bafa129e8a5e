"""Each mode beside its law, and where no law is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.measure.dynamics.series import standard_error
from limen.records.dynamics import Dynamics
from limen.theory.sgd import Modes, discrete
from limen.verdict.dynamics.judge import judge
from limen.verdict.dynamics.modes import cut_of, mode_verdicts, needed_steps

from .cases import BATCH, BATCHES, BETA, ETA, MEMORY, NOISE, SIZE, VARIANCE, H, Q, means, noisy, problem, squares
from .runs import MODES, curvature_of, noise_of, recorded


def test_a_stationary_run_is_called_so_and_agrees_with_the_exact_law(independent: Dynamics) -> None:
    assert independent.verdict == "stationary"
    assert independent.law == "discrete"
    assert independent.unequilibrated_modes == 0
    law = discrete(MODES)
    for i, mode in enumerate(independent.modes):
        assert mode.temperature.predicted == pytest.approx(law.temperature[i], rel=1e-12)
        for compared in (mode.temperature, mode.position_variance, mode.velocity_variance):
            assert compared.z is not None
            assert abs(compared.z) < 4
    assert {name for name, found in independent.identities.items() if found.z is not None} == set("VXLF")
    assert all(abs(found.z or 0.0) < 4 for found in independent.identities.values())
    assert not independent.warnings


def test_wrong_noise_or_curvature_shows_in_z() -> None:
    twice = judge("run", recorded(), curvature_of(), noise_of(factor=2.0))
    assert all((mode.temperature.z or 0) < -4 for mode in twice.modes)
    assert (twice.identities["F"].z or 0) < -4
    stiff = replace(MODES, curvature=MODES.curvature * 2)
    trajectory = recorded()
    info = replace(trajectory.info, eigenvalues=tuple(stiff.curvature.tolist()))
    wrong = judge("run", replace(trajectory, info=info), curvature_of(stiff), noise_of(stiff))
    assert (wrong.identities["V"].z or 0) > 4
    assert any("not the quadratic" in warning for warning in wrong.warnings)


def test_negative_curvature_and_the_edge_of_stability_are_refused_by_name() -> None:
    modes = Modes([-0.01, 2.0], [1.0, 2.0], 0.1, 0.8, 16)
    trajectory = recorded(Modes([0.01, 2.0], [1.0, 2.0], 0.1, 0.8, 16))
    info = replace(trajectory.info, eigenvalues=(-0.01, 2.0))
    found = judge("run", replace(trajectory, info=info), curvature_of(modes), noise_of(modes))
    assert any("negative curvature" in warning for warning in found.warnings)
    assert found.modes[1].temperature.z is not None
    edge = Modes([34.5], [1.0], 0.1, 0.8, 16)
    near = judge("run", recorded(edge), curvature_of(edge), noise_of(edge))
    assert near.modes[0].temperature.z is None
    assert "edge of stability" in near.modes[0].temperature.reason


def test_decay_enters_curvature_and_its_pull_is_that_of_its_formula() -> None:
    modes = replace(MODES, weight_decay=0.2)
    found = judge("run", recorded(modes), curvature_of(modes), noise_of(modes))
    assert [mode.curvature for mode in found.modes] == pytest.approx((MODES.curvature + 0.2).tolist())
    assert all(abs(mode.temperature.z or 9) < 4 for mode in found.modes)
    pull = next(a.answer for a in found.answers if "decay pull" in a.question)
    assert f"{0.1 * 0.2 / 0.2:.2g} of their length a step" in pull


def test_predictions_are_those_of_the_closed_form_and_z_counts_the_error_of_the_noise() -> None:
    x, v = squares()  # ⟨x²⟩ = 1, 4 and ⟨v²⟩ = 2, ½ with no error at all: only that of the noise is left, 1 %
    found = mode_verdicts(problem(x=x, v=v, noise={"per_sample": False}))
    speed = NOISE / SIZE / ((1 - BETA**2) * (1 - Q))
    for i, mode in enumerate(found):
        seen = (mode.temperature, mode.position_variance, mode.velocity_variance)
        predicted = (H[i] * VARIANCE[i], VARIANCE[i], speed[i])
        measured = (H[i] * [1.0, 4.0][i], [1.0, 4.0][i], [2.0, 0.5][i])
        for at, law, value in zip(seen, predicted, measured, strict=True):
            assert at.predicted == pytest.approx(law, rel=1e-9)
            assert at.measured.value == pytest.approx(value, rel=1e-6)
            assert at.error == pytest.approx(0.01 * law, rel=1e-6)
            assert at.z == pytest.approx((value - law) / (0.01 * law), rel=1e-5)
        assert (mode.noise, mode.residual, mode.batches) == (NOISE[i], 0.0, BATCHES)
        assert mode.relaxation_steps == pytest.approx(MEMORY)
        # 2h⟨x²⟩/(η(1 + β)⟨v²⟩)
        assert mode.virial.value == pytest.approx(2 * measured[0] / (ETA * (1 + BETA) * measured[2]), rel=1e-6)


def test_errors_of_measurement_and_noise_add_in_squares() -> None:
    x, v = noisy()
    for i, mode in enumerate(mode_verdicts(problem(x=x, v=v, noise={"per_sample": False}))):
        at = mode.position_variance
        own = standard_error(at.measured)
        squares = means((x[:, i] - x[-BATCH * BATCHES :, i].mean()) ** 2)
        assert own == pytest.approx(squares.std(ddof=1) / np.sqrt(BATCHES), rel=1e-6)
        assert at.error == pytest.approx(np.hypot(own, 0.01 * at.predicted), rel=1e-9)
        assert at.z == pytest.approx((at.measured.value - at.predicted) / at.error, rel=1e-9)


@pytest.mark.parametrize(("q", "refused"), [(0.89, False), (0.91, True), (0.899, False), (0.901, True)])
def test_no_law_holds_from_nine_tenths_of_the_edge_on(q: float, refused: bool) -> None:
    sharp = q * 2 * (1 + BETA) / ETA
    mode = mode_verdicts(problem(eigenvalues=(sharp, 1.0)))[0]
    assert (mode.temperature.z is None) == refused
    assert mode.temperature.reason == (
        f"edge of stability: {q:.2f} of the learning rate at which the mode is unstable; no loss is quadratic there"
        if refused
        else ""
    )


@pytest.mark.parametrize(
    ("sampling", "relaxation", "least"),
    [("replacement", 3.0, 15), ("replacement", 1.0, 10), ("reshuffle", 3.0, 80), ("reshuffle", 20.0, 100),
     ("same-order", 3.0, 80), ("unknown", 3.0, 15)],
)  # fmt: skip
def test_a_mode_needs_thirteen_batches_of_five_relaxations_two_epochs_or_ten_steps(
    sampling: str, relaxation: float, least: int
) -> None:
    at = problem(sampling=sampling)
    assert needed_steps(at, relaxation) == 13 * least
    cut = cut_of(at, relaxation)
    count = min(30, (4000 - least) // least)
    assert cut is not None
    assert (cut.count, cut.length, cut.memory) == (count, (4000 - least) // count, relaxation)
    short = replace(at, rows=slice(0, 13 * least - 1))
    assert cut_of(short, relaxation) is None
    assert cut_of(replace(at, rows=slice(0, 13 * least)), relaxation).count == 12
    assert needed_steps(at, np.inf) == np.inf
    assert cut_of(at, np.inf) is None


@pytest.mark.parametrize("measured", [-0.1, 0.0])
def test_noise_measured_at_zero_or_below_is_none_and_has_no_error_to_share(measured: float) -> None:
    at = problem(noise={"variance": np.array([8.0, measured]), "variance_errors": np.array([0.08, 0.1])})
    mode = mode_verdicts(at)[1]
    assert mode.noise == 0.0
    assert mode.temperature.predicted == 0.0
    assert mode.temperature.error == pytest.approx(standard_error(mode.temperature.measured), rel=1e-9)


def test_decoupled_decay_holds_a_rising_mode_which_has_no_temperature_all_the_same() -> None:
    decay = {"decoupled": True, "weight_decay": (0.5,)}  # a = −.001 + .05·(1 − β) > 0: it is stable
    mode = mode_verdicts(problem(eigenvalues=(4.0, -0.01), settings=decay))[1]
    assert mode.equilibrated
    assert mode.temperature.measured.value is None
    assert mode.temperature.measured.reason == "the curvature is not above 0"
    assert mode.position_variance.z is None
    assert mode.position_variance.reason == "curvature at or below 0: this mode has no equilibrium"


def test_an_unstable_neighbour_leaves_a_mode_its_law_under_independent_batches_only() -> None:
    rising = (4.0, -1.0)
    first, second = mode_verdicts(problem(eigenvalues=rising))
    assert first.temperature.predicted == pytest.approx(H[0] * VARIANCE[0], rel=1e-9)
    assert second.regime == "unstable"
    assert not second.equilibrated
    apart = mode_verdicts(problem(eigenvalues=rising, sampling="reshuffle"))[0]
    assert apart.temperature.z is None
    assert apart.temperature.reason == "no law of this sampling: examples or batch size unknown"


def test_drift_is_not_tested_on_a_closed_orbit() -> None:
    assert all(mode.p_drift is None for mode in mode_verdicts(problem(sampling="same-order")))
    assert all(mode.p_drift is not None for mode in mode_verdicts(problem(sampling="reshuffle")))
