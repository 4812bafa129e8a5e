"""The verdict on runs whose truth is known, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from limen.records.dynamics import Dynamics
from limen.records.errors import BadInput
from limen.records.trajectory import NOT_FINITE, Segment
from limen.theory.sgd import Modes, discrete, epoch
from limen.verdict.dynamics.judge import judge

from .runs import EXAMPLES, MODES, curvature_of, noise_of, recorded


@pytest.fixture(scope="module")
def independent() -> Dynamics:
    return judge("run", recorded(), curvature_of(), noise_of())


@pytest.fixture(scope="module")
def reshuffled() -> Dynamics:
    return judge("run", recorded(sampling="reshuffle"), curvature_of(), noise_of())


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


def test_displacement_lies_on_the_law_of_the_sampling_and_laws_differ(
    independent: Dynamics, reshuffled: Dynamics
) -> None:
    for found, own in ((independent, "discrete"), (reshuffled, "epoch")):
        z = []
        for lag in found.lags:
            assert set(lag.predicted) == {"discrete", "langevin", "epoch"}
            if lag.measured.low is not None and lag.measured.high is not None and lag.measured.value is not None:
                error = (lag.measured.high - lag.measured.low) / 3.92
                z.append((lag.measured.value - (lag.predicted[own] or 0.0)) / error)
        assert max(abs(x) for x in z) < 4
    late = reshuffled.lags[-1]
    assert (late.predicted["epoch"] or 0) < 0.95 * (late.predicted["discrete"] or 0)


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


def test_a_drifting_run_is_called_so() -> None:
    found = judge("run", recorded(drift=0.2), curvature_of(), noise_of())
    assert found.verdict == "drifting"
    assert found.p_value is not None
    assert found.p_value < 1e-3


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


def test_false_alarms_of_drift_are_as_rare_as_they_say() -> None:
    small = replace(MODES, curvature=MODES.curvature[2:], noise=MODES.noise[2:], offset=np.zeros(2), weight=np.ones(2))
    verdicts = [
        judge("run", recorded(small, 4000, seed=s), curvature_of(small), noise_of(small)).verdict for s in range(60)
    ]
    assert verdicts.count("drifting") <= 8  # 5 % of 60 are 3; 9 and more have probability .004


def test_a_short_run_says_how_long_it_would_have_to_be() -> None:
    found = judge("run", recorded(steps=60), curvature_of(), noise_of())
    assert found.verdict == "not_identified"
    needed = int(found.reason.split("needs ")[1].replace(",", ""))
    assert judge("run", recorded(steps=needed), curvature_of(), noise_of()).verdict == "stationary"
    assert judge("run", recorded(steps=needed - 1), curvature_of(), noise_of()).verdict == "not_identified"
    for word in ("How far", "averaging", "times lower"):
        assert next(a for a in found.answers if word in a.question).refused
    assert found.unequilibrated_modes == 4
    assert all(mode.temperature.measured.value is None for mode in found.modes)
    assert all("would do" in mode.temperature.reason for mode in found.modes)
    assert all(identity.measured.value is None for identity in found.identities.values())


def test_modes_that_are_too_slow_are_counted_not_judged() -> None:
    modes = Modes([1e-5, 2.0], [1.0, 2.0], 0.1, 0.8, 16)
    found = judge("run", recorded(modes), curvature_of(modes), noise_of(modes))
    assert found.unequilibrated_modes == 1
    assert not found.modes[0].equilibrated
    assert found.modes[1].equilibrated
    assert "1 of 2 modes" in found.reason


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


def test_without_noise_or_curvature_measured_numbers_stand_alone() -> None:
    found = judge("run", recorded(), None, None)
    assert found.verdict == "stationary"
    assert all(mode.temperature.measured.value is not None and mode.temperature.z is None for mode in found.modes)
    assert all(lag.predicted == {} for lag in found.lags)
    assert any("noise was not measured" in warning for warning in found.warnings)
    assert sum(answer.refused for answer in found.answers) >= 4
    assert found.identities["V"].z is not None


def test_another_optimizer_is_measured_and_not_predicted() -> None:
    trajectory = recorded()
    settings = replace(trajectory.info.optimizer, name="AdamW")
    info = replace(trajectory.info, approximate="a frozen preconditioner", optimizer=settings,
                   segments=(replace(trajectory.info.segments[0], settings=settings),))  # fmt: skip
    found = judge("run", replace(trajectory, info=info), curvature_of(), noise_of())
    assert all(mode.temperature.z is None and "AdamW is not SGD" in mode.temperature.reason for mode in found.modes)
    assert any("AdamW" in warning for warning in found.warnings)
    assert all(identity.z is None for identity in found.identities.values())


def test_the_longest_good_stretch_of_one_setting_is_analysed() -> None:
    trajectory = recorded(steps=6000)
    settings = trajectory.info.optimizer
    lower = replace(settings, learning_rate=0.01)
    segments = (Segment(1, 4000, settings, 16, False), Segment(4001, 6000, lower, 16, False))
    excluded = trajectory.excluded.copy()
    excluded[99] = NOT_FINITE
    trajectory = replace(trajectory, excluded=excluded, info=replace(trajectory.info, segments=segments, not_finite=1))
    found = judge("run", trajectory, curvature_of(), noise_of())
    assert found.analysed == (101, 4000)
    assert found.excluded == 1
    assert [segment["learning_rate"] for segment in found.segments] == [0.1, 0.01]


def test_a_run_without_a_good_row_and_modes_of_another_model_are_errors() -> None:
    trajectory = recorded(steps=100)
    with pytest.raises(BadInput, match="none is usable"):
        judge("run", replace(trajectory, excluded=np.full(100, NOT_FINITE, dtype=np.uint8)), None, None)
    other = replace(MODES, curvature=MODES.curvature * 1.1)
    with pytest.raises(BadInput, match="other eigenvalues") as refused:
        judge("run", trajectory, curvature_of(other), noise_of(other))
    assert {problem.where for problem in refused.value.problems} == {"curvature", "noise"}


def test_noise_outside_of_the_modes_makes_flat_directions_diffuse() -> None:
    trajectory = recorded()
    larger = replace(trajectory, info=replace(trajectory.info, parameters=100))  # four of a hundred directions
    found = judge("run", larger, curvature_of(), noise_of(trace=20.0))
    assert any("taken for flat" in warning for warning in found.warnings)
    tight = judge("run", recorded(), curvature_of(), noise_of())
    assert (found.lags[-1].predicted["discrete"] or 0) > 2 * (tight.lags[-1].predicted["discrete"] or 0)


def test_orbits_turn_as_the_law_says(independent: Dynamics, reshuffled: Dynamics) -> None:
    assert len(independent.orbits) == 4
    for orbit in independent.orbits:
        assert orbit.ellipse is not None
        assert orbit.turn is not None
        low, high = orbit.measured_turn.low, orbit.measured_turn.high
        assert low is not None
        assert high is not None
        assert low - (high - low) < orbit.turn < high + (high - low)
    assert all(orbit.turn is None for orbit in reshuffled.orbits)


def test_thirteen_questions_are_answered_in_words_and_the_document_is_plain(independent: Dynamics) -> None:
    assert len(independent.answers) == 13
    assert [answer.refused for answer in independent.answers].count(True) == 1  # heavy tails: too few batches
    drop = next(answer for answer in independent.answers if "times lower" in answer.question)
    excess = discrete(MODES).excess_loss
    assert excess is not None
    assert float(drop.answer.split()[1]) == pytest.approx(0.9 * excess, rel=0.1)
    text = json.dumps(independent.to_json(), allow_nan=False)
    plain = json.loads(text)
    assert set(plain) >= {
        "steps",
        "segments",
        "stationary",
        "displacement",
        "exponent",
        "modes",
        "identities",
        "answers",
    }
    assert set(plain["stationary"]) >= {"verdict", "p_value", "unequilibrated_modes"}
    assert set(plain["modes"][0]) >= {"curvature", "residual", "noise", "temperature", "predicted", "z"}
    assert set(plain["displacement"][0]) == {"lag", "measured", "predicted"}


def test_answers_that_need_equilibrium_are_refused_where_there_is_none() -> None:
    drifting = judge("run", recorded(drift=0.2), curvature_of(), noise_of())
    stiff = replace(MODES, curvature=MODES.curvature * 2)
    trajectory = recorded()
    info = replace(trajectory.info, eigenvalues=tuple(stiff.curvature.tolist()))
    bent = judge("run", replace(trajectory, info=info), curvature_of(stiff), noise_of(stiff))
    for found, why in ((drifting, "not stationary"), (bent, "not the quadratic")):
        for word in ("How far", "averaging", "times lower"):
            answer = next(a for a in found.answers if word in a.question)
            assert answer.refused
            assert why in answer.answer or "not known to be stationary on a quadratic loss" in answer.answer
    assert all(drifting.identities[name].z is None for name in "VLF")
    assert drifting.identities["X"].z is not None


def test_one_order_for_ever_is_a_closed_orbit_and_no_equilibrium() -> None:
    found = judge("run", recorded(sampling="same-order"), curvature_of(), noise_of())
    assert found.verdict == "not_identified"
    assert "closed orbit" in found.reason
    assert all(mode.temperature.z is None for mode in found.modes)


def test_long_lags_have_a_value_and_no_interval(independent: Dynamics) -> None:
    long = [lag for lag in independent.lags if lag.lag > 12_000 / 16]
    assert all(lag.measured.low is None for lag in long)
    assert all(lag.measured.low is not None for lag in independent.lags if lag.lag <= 12_000 / 16)


def test_a_schedule_has_no_equilibrium_and_blames_nobody() -> None:
    trajectory = recorded()
    segments = (replace(trajectory.info.segments[0], varying=True),)
    found = judge(
        "run", replace(trajectory, info=replace(trajectory.info, segments=segments)), curvature_of(), noise_of()
    )
    assert found.verdict == "not_identified"
    assert "learning rate changes" in found.reason
    assert all(mode.temperature.z is None for mode in found.modes)
    assert all(identity.z is None for identity in found.identities.values())
    assert not any("not the quadratic" in warning for warning in found.warnings)
    steady = (
        Segment(1, 8000, trajectory.info.optimizer, 16, True),
        Segment(8001, 12_000, trajectory.info.optimizer, 16, False),
    )
    kept = judge("run", replace(trajectory, info=replace(trajectory.info, segments=steady)), curvature_of(), noise_of())
    assert kept.analysed == (8001, 12_000)
    assert kept.verdict == "stationary"


def test_groups_of_different_decay_are_no_single_problem() -> None:
    trajectory = recorded()
    settings = replace(trajectory.info.optimizer, weight_decay=(0.5, 0.0))
    segments = (replace(trajectory.info.segments[0], settings=settings),)
    found = judge(
        "run", replace(trajectory, info=replace(trajectory.info, segments=segments)), curvature_of(), noise_of()
    )
    assert all(found.identities[name].z is None for name in "VLF")
    for word in ("How far", "times lower", "decay pull"):
        assert next(a for a in found.answers if word in a.question).refused


def test_numbers_of_the_answers_are_those_of_their_formulas(independent: Dynamics) -> None:
    def said(word: str) -> str:
        return next(a.answer for a in independent.answers if word in a.question)

    law, reshuffling = discrete(MODES), epoch(replace(MODES, examples=EXAMPLES), 40)
    assert float(said("How far").split()[0]) == pytest.approx(np.sqrt(law.displacement([12_000])[0]), rel=1e-2)
    assert "in 120,000" in said("How far")
    assert said("times the batch").startswith("0.4 keeps the spread")
    assert "0.2 keeps the size of a step" in said("times the batch")
    best = (1 - np.sqrt(0.1 * 0.4)) ** 2
    assert f"momentum {best:.4g}" in said("Over- or underdamped")
    ratio = reshuffling.position_variance / law.position_variance
    assert f"{ratio.min():.2g} to {ratio.max():.2g}" in said("reshuffling")
    from limen.theory.sgd import excess_loss_saved, window_average

    assert float(said("averaging").split("saves ")[1].split()[0]) == pytest.approx(
        excess_loss_saved(law, window_average(law, 40)), rel=1e-2
    )
    assert said("proportional").startswith("consistent with it")


def test_decay_enters_curvature_and_its_pull_is_that_of_its_formula() -> None:
    modes = replace(MODES, weight_decay=0.2)
    found = judge("run", recorded(modes), curvature_of(modes), noise_of(modes))
    assert [mode.curvature for mode in found.modes] == pytest.approx((MODES.curvature + 0.2).tolist())
    assert all(abs(mode.temperature.z or 9) < 4 for mode in found.modes)
    pull = next(a.answer for a in found.answers if "decay pull" in a.question)
    assert f"{0.1 * 0.2 / 0.2:.2g} of their length a step" in pull
