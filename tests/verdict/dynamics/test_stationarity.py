"""Whether a run is at rest: drift, false alarms, runs that are too short, runs that have no equilibrium."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from limen.records.trajectory import NOT_FINITE, Segment
from limen.theory.sgd import Modes
from limen.verdict.dynamics.judge import judge

from .cases import BATCHES, INFLATION, STEPS, means, noisy, run, squares
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


def trend_p(x: np.ndarray) -> float:
    """Two-sided p of the slope of batch means, by hand: t = f⁻¹·b/s_b of BATCHES − 2."""
    m, b = means(x), np.arange(BATCHES) - (BATCHES - 1) / 2
    slope = b @ m / (b @ b)
    left = m - m.mean() - slope * b
    error = INFLATION * np.sqrt(left @ left / (BATCHES - 2) / (b @ b))
    return float(2 * stats.t.sf(abs(slope / error), BATCHES - 2))


def moved_to(p: float, x: np.ndarray) -> np.ndarray:
    """x with a trend in its first mode that gives that p (bisection); the second mode has none at all."""
    x = x.copy()
    x[:, 1] -= np.polyval(np.polyfit(np.arange(STEPS), x[:, 1], 1), np.arange(STEPS))
    ramp, low, high = np.linspace(-1, 1, STEPS), 0.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if trend_p(x[:, 0] + middle * ramp) > p else (low, middle)
    x[:, 0] += low * ramp
    return x


@pytest.mark.parametrize(("p", "verdict"), [(0.0245, "drifting"), (0.0255, "stationary"), (0.04, "stationary")])
def test_the_least_p_counts_twice_for_two_modes_and_drift_begins_at_a_twentieth(p: float, verdict: str) -> None:
    x, v = noisy()
    found = judge("run", *run(x=moved_to(p, x), v=v))
    assert found.p_value == pytest.approx(2 * p, rel=1e-3)
    assert found.verdict == verdict
    words = "the mean of a mode moves over the run" if verdict == "drifting" else "no drift in 2 modes"
    assert found.reason.startswith(words)
    assert f"p = {2 * p:.2g} after Holm" in found.reason


@pytest.mark.parametrize(
    ("ratio", "named"), [(1.16, True), (1.14, False), (0.84, True), (0.86, False)],
)  # fmt: skip
def test_a_virial_ratio_beyond_fifteen_hundredths_says_that_the_loss_is_another(ratio: float, named: bool) -> None:
    x, v = squares()
    v = v / np.sqrt([2.0, 0.5])  # ⟨v²⟩ = 1: 2h⟨x²⟩/(.15⟨v²⟩) is the ratio where ⟨v²⟩ = 2h⟨x²⟩/(.15·ratio)
    v = v * np.sqrt([2 * 4 / 0.15 / ratio, 2 * 4 / 0.15])
    found = judge("run", *run(x=x, v=v))
    said = [warning for warning in found.warnings if "not the quadratic" in warning]
    where = f"at the scale of the motion: curvature 4 (acts as {4 / ratio:.3g})"
    assert said == ([f"the loss is not the quadratic of its Hessian {where}"] if named else [])
    assert not any("not the quadratic" in w for w in judge("run", *run(x=x, v=v, sampling="reshuffle")).warnings)


def test_one_mode_is_one_mode_in_every_sentence() -> None:
    slow = judge("run", *run(eigenvalues=(4.0, 1e-6)))
    assert slow.reason.startswith("no drift in 1 mode (least p = ")
    assert slow.reason.endswith("; 1 of 2 modes is too slow for this run")
    trajectory, curvature, noise = run()
    for count, said in ((1, "1 shard of the recording is"), (2, "2 shards of the recording are")):
        info = replace(trajectory.info, damaged=count)
        warnings = judge("run", replace(trajectory, info=info), curvature, noise).warnings
        assert f"{said} damaged and left out" in warnings
    rising = judge("run", *run(eigenvalues=(4.0, -1.0))).warnings
    assert "1 recorded mode has negative curvature: no equilibrium; their noise is taken for flat" in rising


def test_noise_that_grows_with_the_distance_is_named_where_the_virial_holds() -> None:
    weak = judge("run", *run(noise={"variance": np.array([6.4, 1.6]), "variance_errors": np.array([0.01, 0.01])}))
    assert weak.identities["F"].z > 2
    assert abs(weak.identities["V"].z) < 3
    assert sum("multiplicative" in warning for warning in weak.warnings) == 1
    assert "the motion implies 1.2" in next(w for w in weak.warnings if "multiplicative" in w)
    assert not any("multiplicative" in warning for warning in judge("run", *run()).warnings)


def test_where_no_mode_could_tell_the_reason_says_why() -> None:
    flat = judge("run", *run(eigenvalues=(-1.0, -2.0)))
    assert flat.reason == "no recorded mode ever comes to rest (all flat or unstable)"
    assert flat.verdict == "not_identified"
    answer = next(at for at in flat.answers if at.question == "Is training stationary?")
    assert answer.answer == f"not answered: {flat.reason}"


def test_the_length_that_would_do_is_that_of_the_quickest_mode() -> None:
    trajectory, curvature, noise = run(eigenvalues=(4.0, 1e-4))
    excluded = trajectory.excluded.copy()
    excluded[100:] = NOT_FINITE
    found = judge("run", replace(trajectory, excluded=excluded), curvature, noise)
    # 5·2.885 = 14.43 a batch: ⌈14.43⌉ left out and ⌈12·14.43⌉
    assert found.reason == (
        "not finite after update 100; 3,900 updates excluded; "
        "the run has 100 steps of one setting; the quickest mode needs 189"
    )
