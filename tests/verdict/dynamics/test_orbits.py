"""Phase portraits: the ellipse of the law, the turn of an update, as predicted and as measured."""

from __future__ import annotations

import numpy as np
import pytest

from limen.records.dynamics import Dynamics
from limen.verdict.dynamics.judge import judge

from .cases import BETA, ETA, NOISE, SIZE, STEPS, VARIANCE, H, Q, run


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


def test_the_ellipse_is_that_of_the_stationary_moments_and_the_turn_that_of_the_update_on_it() -> None:
    for i, orbit in enumerate(judge("run", *run()).orbits):
        speed = NOISE[i] / SIZE / ((1 - BETA**2) * (1 - Q[i]))
        assert orbit.ellipse == pytest.approx((VARIANCE[i], ETA / 2 * speed, speed), rel=1e-9)
        p, c, s = orbit.ellipse
        # x = √p·z₁, v = c/√p·z₁ + k·z₂ with k = √(s − c²/p) make the ellipse a circle
        k = np.sqrt(s - c**2 / p)
        ahead = np.array([[1 - ETA * H[i], ETA * BETA], [-H[i], BETA]])
        columns = ahead @ np.array([[np.sqrt(p), 0.0], [c / np.sqrt(p), k]])
        w1 = columns[0] / np.sqrt(p)
        w2 = (columns[1] - c / np.sqrt(p) * w1) / k
        assert orbit.turn == pytest.approx(np.arctan2(w2[0] - w1[1], w1[0] + w2[1]), rel=1e-9)
        assert orbit.turn < 0  # velocity leads: clockwise


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_measured_turn_is_that_of_a_path_that_turns_evenly(way: float) -> None:
    at = 2 * np.pi / 12 * np.arange(STEPS)  # twelve steps a turn, whole turns a batch
    x, v = np.stack([np.cos(at), 5 * np.cos(at)], axis=1), -way * np.stack([3 * np.sin(at), np.sin(at)], axis=1)
    for orbit in judge("run", *run(x=x, v=v)).orbits:
        assert orbit.measured_turn.value == pytest.approx(-way * 2 * np.pi / 12, rel=1e-5)
        assert orbit.measured_turn.high - orbit.measured_turn.low < 1e-6
        assert len(orbit.positions) == len(orbit.velocities) == 400


def test_the_interval_of_a_turn_is_two_jackknife_errors_over_batches() -> None:
    trajectory, curvature, noise = run()
    found = judge("run", trajectory, curvature, noise).orbits[0].measured_turn
    z = np.stack([trajectory.positions[:, 0], trajectory.velocities[:, 0]], axis=1).astype(float)
    z = (z - z[-3960:].mean(axis=0))[-3961:]
    z = np.linalg.solve(np.linalg.cholesky(np.cov(z.T)), z.T).T
    cross = (z[1:, 1] * z[:-1, 0] - z[1:, 0] * z[:-1, 1]).reshape(30, 132).mean(axis=1)
    dot = (z[1:] * z[:-1]).sum(axis=1).reshape(30, 132).mean(axis=1)
    left = np.array([np.arctan2(np.delete(cross, i).sum(), np.delete(dot, i).sum()) for i in range(30)])
    error = np.sqrt(29 / 30 * ((left - left.mean()) ** 2).sum())
    assert found.value == pytest.approx(np.arctan2(cross.sum(), dot.sum()), rel=1e-6)
    assert (found.high - found.low) / 2 == pytest.approx(2 * error, rel=1e-4)
    assert found.n == 30


def test_a_path_on_a_line_has_no_turn() -> None:
    line = np.outer(np.sin(np.arange(STEPS)), [1.0, 1.0])
    none = judge("run", *run(x=line, v=line)).orbits[0].measured_turn
    assert none.reason == "positions and velocities lie on a line"


def test_a_reshuffled_run_has_an_ellipse_and_no_turn_predicted() -> None:
    for orbit in judge("run", *run(sampling="reshuffle")).orbits:
        assert orbit.turn is None
        assert orbit.ellipse is not None
        assert orbit.ellipse[1] == pytest.approx(ETA / 2 * orbit.ellipse[2])
    assert all(orbit.ellipse is None for orbit in judge("run", *run(noise=None)).orbits)
