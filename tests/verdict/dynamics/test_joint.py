"""The joint p of temperatures: size under the law, power against one mode, nothing without a comparison."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from limen.records.dynamics import Compared
from limen.records.estimate import Estimate
from limen.verdict.dynamics.joint import joint_p
from limen.verdict.dynamics.judge import judge

from .runs import MODES, curvature_of, noise_of, recorded


def compared(z: float | None, n: int = 20) -> Compared:
    return Compared(Estimate(1.0, 0.9, 1.1, 0.95, "statistical", n), 1.0, z)


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_it_rejects_the_law_as_seldom_as_it_says_whatever_modes_share(shared: float) -> None:
    rng = np.random.default_rng(0)
    t = stats.t(19)
    common, own = rng.standard_normal((4000, 1)), rng.standard_normal((4000, 6))
    z = t.ppf(stats.norm.cdf(np.sqrt(shared) * common + np.sqrt(1 - shared) * own))
    p = np.array([joint_p([compared(float(at)) for at in row]) for row in z])
    assert (p < 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
    if not shared:
        assert (p < 0.05).mean() > 0.04  # and not much more seldom where modes share nothing


def test_one_mode_far_from_its_law_is_seen_and_few_batches_are_less_sure() -> None:
    many = joint_p([compared(5.0, 30), *(compared(0.3) for _ in range(9))])
    few = joint_p([compared(5.0, 12), *(compared(0.3) for _ in range(9))])
    assert many is not None
    assert few is not None
    assert many < few < 0.05
    assert joint_p([compared(None), compared(5.0, 30)]) == pytest.approx(2 * stats.t.sf(5.0, 29))
    assert joint_p([]) is None


def test_a_run_has_it_of_its_temperatures() -> None:
    right = judge("run", recorded(), curvature_of(), noise_of())
    wrong = judge("run", recorded(), curvature_of(), noise_of(factor=2.0))
    assert right.temperature_p is not None
    assert wrong.temperature_p is not None
    assert right.temperature_p > 0.01
    assert wrong.temperature_p < 1e-3
    assert right.to_json()["temperature_p_value"] == right.temperature_p
    assert judge("run", recorded(MODES), curvature_of(), None).temperature_p is None
