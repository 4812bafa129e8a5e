"""Whether a run is at rest: drift, false alarms, runs that are too short, runs that have no equilibrium."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from limen.records.trajectory import Segment
from limen.theory.sgd import Modes
from limen.verdict.dynamics.judge import judge

from .runs import MODES, curvature_of, noise_of, recorded


def test_a_drifting_run_is_called_so() -> None:
    found = judge("run", recorded(drift=0.2), curvature_of(), noise_of())
    assert found.verdict == "drifting"
    assert found.p_value is not None
    assert found.p_value < 1e-3


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


def test_one_order_for_ever_is_a_closed_orbit_and_no_equilibrium() -> None:
    found = judge("run", recorded(sampling="same-order"), curvature_of(), noise_of())
    assert found.verdict == "not_identified"
    assert "closed orbit" in found.reason
    assert all(mode.temperature.z is None for mode in found.modes)


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
