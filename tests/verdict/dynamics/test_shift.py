"""A shift that all temperatures share is seen where none of them shows it; displacements have a z at every lag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.records.dynamics import Dynamics, Lag
from limen.records.estimate import Estimate
from limen.verdict.dynamics.joint import displacement_p, octaves
from limen.verdict.dynamics.judge import judge

from .runs import curvature_of, noise_of, recorded


def found(sampling: str, factor: float = 1.0, seed: int = 0) -> Dynamics:
    return judge("run", recorded(sampling=sampling, seed=seed, steps=4000), curvature_of(), noise_of(factor=factor))


@pytest.mark.parametrize("sampling", ["replacement", "reshuffle"])
def test_the_mean_ratio_is_one_under_the_law_and_moves_with_the_noise(sampling: str) -> None:
    z, alone = [], []
    for seed in range(12):
        right, hot = found(sampling, seed=seed), found(sampling, 1 / 1.3, seed)
        assert right.temperature_shift is not None
        assert hot.temperature_shift is not None
        assert right.temperature_shift.z is not None
        z.append(right.temperature_shift.z)
        ratio = hot.temperature_shift.measured.value
        assert ratio == pytest.approx(1.3 * right.temperature_shift.measured.value)
        assert hot.temperature_shift.z > 2
        alone.append(np.mean([abs(mode.temperature.z) for mode in hot.modes if mode.temperature.z is not None]))
        assert hot.temperature_p < right.temperature_p
        assert hot.temperature_shift.z > alone[-1]
    assert abs(np.mean(z)) < 3 / np.sqrt(len(z))
    assert np.std(z) < 1.6
    assert any("together" in warning for warning in found(sampling, 1 / 1.3).warnings)


def test_the_page_s_numbers_of_a_shift_are_in_the_document() -> None:
    hot = found("reshuffle", 1 / 1.3).to_json()
    assert hot["temperature_shift"]["predicted"] == 1.0
    assert hot["temperature_shift"]["z"] > 2
    assert hot["multiplicative_ratio"] > 1
    at = [row for row in hot["displacement"] if row["lag"] in hot["displacement_tested"]]
    assert all(set(row["z"]) == {"discrete", "langevin", "epoch"} for row in at)
    assert np.mean([row["z"]["epoch"] for row in at]) > 2
    assert hot["displacement_p_value"] < 0.05


def test_z_of_a_displacement_joins_time_sketch_and_noise() -> None:
    trajectory = recorded()
    told = judge("run", trajectory, curvature_of(), noise_of())
    wide = judge("run", trajectory, curvature_of(), replace(noise_of(), per_sample=False))
    of_noise = 0.01  # every mode is known to a hundredth, where batches measured it; here, examples measured all
    for at, broad in zip(told.lags, wide.lags, strict=True):
        law = at.predicted["discrete"]
        if at.measured.low is None or law is None:
            assert at.z["discrete"] is None
            continue
        error = (at.measured.value - at.measured.low) / 1.959963984540054
        assert at.z["discrete"] == pytest.approx((at.measured.value - law) / error)
        apart = (at.measured.value - law) / np.hypot(error, of_noise * law)
        assert broad.z["discrete"] == pytest.approx(apart)


def test_one_lag_an_octave_is_tested_and_holm_counts_them() -> None:
    plain = Estimate(1.0)
    at = [Lag(lag, plain, {}, plain, {}, {"discrete": 0.1 * lag}) for lag in range(1, 25)]
    at.append(Lag(30, plain, {}, plain, {}, {"discrete": None}))
    tested = octaves(at, "discrete")
    assert [lag.lag for lag in tested] == [1, 2, 4, 8, 16]
    from scipy import stats

    assert displacement_p(tested, "discrete") == pytest.approx(5 * 2 * stats.t.sf(1.6, 15))
    assert octaves(at, "epoch") == ()
    assert displacement_p((), "epoch") is None


def test_one_order_is_one_draw_and_its_spread_is_in_the_error() -> None:
    z, ratios, errors = [], [], []
    for seed in range(30):
        told = judge("run", recorded(sampling="same-order", seed=seed, steps=3000), curvature_of(), noise_of())
        shift = told.temperature_shift
        assert all(mode.temperature.z is None for mode in told.modes)
        assert shift is not None
        assert told.temperature_p is not None
        z.append(shift.z)
        ratios.append(shift.measured.value)
        errors.append(shift.error)
    assert abs(np.mean(z)) < 0.6  # noise of the simulation is 640/624 of that of distinct examples
    assert 0.7 < np.std(z) < 1.3
    assert np.std(ratios) == pytest.approx(np.mean(errors), rel=0.3)
