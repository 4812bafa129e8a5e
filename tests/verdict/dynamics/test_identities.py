"""V, X, L and F on runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limen.records.dynamics import Dynamics
from limen.theory.sgd import epoch

from .runs import EXAMPLES, MODES


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
