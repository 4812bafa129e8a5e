"""Phase portraits turn as the law says."""

from __future__ import annotations

from limen.records.dynamics import Dynamics


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
