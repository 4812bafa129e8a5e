"""Each mode beside its law, and where no law is compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limen.records.dynamics import Dynamics
from limen.theory.sgd import Modes, discrete
from limen.verdict.dynamics.judge import judge

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
