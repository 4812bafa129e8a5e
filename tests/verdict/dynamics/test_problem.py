"""What of a run is analysed, which problem it is, and where it is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.records.errors import BadInput
from limen.records.trajectory import NOT_FINITE, Segment
from limen.verdict.dynamics.judge import judge

from .runs import MODES, curvature_of, noise_of, recorded


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


def test_without_noise_or_curvature_measured_numbers_stand_alone() -> None:
    found = judge("run", recorded(), None, None)
    assert found.verdict == "stationary"
    assert all(mode.temperature.measured.value is not None and mode.temperature.z is None for mode in found.modes)
    assert all(lag.predicted == {} for lag in found.lags)
    assert any("noise was not measured" in warning for warning in found.warnings)
    assert sum(answer.refused for answer in found.answers) >= 4
    assert found.identities["V"].z is not None
