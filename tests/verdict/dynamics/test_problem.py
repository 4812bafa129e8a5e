"""What of a run is analysed, which problem it is, and where it is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from limen.arrays.spectral_density import Probing, lanczos_quadrature
from limen.records.curvature import Curvature, Density
from limen.records.errors import BadInput
from limen.records.estimate import not_identified
from limen.records.trajectory import NOT_FINITE, Segment
from limen.theory.sgd import Modes, discrete
from limen.verdict.dynamics.judge import judge
from limen.verdict.dynamics.problem import run_problem, segments_of

from .cases import EXAMPLES, TWO, VARIANCE, around, problem, run
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
    assert any("to" in warning and "(flat)" in warning for warning in found.warnings)
    flat, tight = (run_problem(at, curvature_of(), noise_of(trace=20.0)).whole for at in (larger, trajectory))
    assert discrete(flat).displacement([600])[0] > 2 * discrete(tight).displacement([600])[0]


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


def spectrum(
    nodes: list[list[float]], weights: list[list[float]], examples: int = EXAMPLES, modes: Modes = TWO
) -> Curvature:
    """Curvature with this density."""
    none = np.zeros(1)
    density = Density(np.array(nodes), np.array(weights), none, none, none, none, 0.1, 0.95, np.zeros(4), np.zeros(4))
    return replace(curvature_of(modes), density=density, examples=examples)


def test_the_noise_left_lies_on_the_density_in_proportion_to_multiplicity_and_curvature_to_the_slope() -> None:
    nodes, weights = [[0.1, 0.4, 5.0], [-0.2, 0.4, 5.0]], [[0.5, 0.4, 0.1], [0.6, 0.3, 0.1]]
    seen = spectrum(nodes, weights, modes=replace(TWO, curvature=np.array([10.0, 1.0])))
    noise = {"trace": around(30.0, 0.1), "slope": around(2.0, 0.5)}
    whole = problem(parameters=1000, eigenvalues=(10.0, 1.0), curvature=seen, noise=noise).whole
    assert whole is not None
    # nodes above the flattest recorded mode (1) are left out, negative ones lie at 0; half of a thousand a probe
    assert whole.curvature == pytest.approx([10.0, 1.0, 0.1, 0.4, 0.0, 0.4])
    assert whole.weight == pytest.approx([1, 1, 250, 200, 300, 150])
    share = np.array([250 * 0.01, 200 * 0.16, 0.0, 150 * 0.16])
    assert whole.noise[2:] == pytest.approx(20 * share / share.sum() / [250, 200, 300, 150])
    assert whole.noise @ whole.weight == pytest.approx(30.0)
    flat = {**noise, "slope": around(2.0, 2.0)}
    linear = problem(parameters=1000, eigenvalues=(10.0, 1.0), curvature=seen, noise=flat).whole
    share = np.array([250 * 0.1, 200 * 0.4, 0.0, 150 * 0.4])  # a slope whose interval reaches 0 is taken for 1
    assert linear.noise[2:] == pytest.approx(20 * share / share.sum() / [250, 200, 300, 150])
    # and one of modes that span a factor 4 is not carried to the bulk
    near = problem(parameters=1000, curvature=spectrum(nodes, weights), noise=noise).whole
    assert near.noise[2:] == pytest.approx(20 * share / share.sum() / [250, 200, 300, 150])
    few = {**noise, "slope": not_identified("few")}
    unknown = problem(parameters=1000, eigenvalues=(10.0, 1.0), curvature=seen, noise=few).whole
    assert unknown.noise == pytest.approx(linear.noise)


def test_a_density_at_zero_or_below_takes_the_noise_by_multiplicity() -> None:
    seen = spectrum([[-0.1, 5.0], [-0.2, 5.0]], [[0.9, 0.1], [0.3, 0.7]])
    whole = problem(parameters=100, curvature=seen, noise={"trace": around(30.0, 0.1)}).whole
    assert whole.noise[2:] == pytest.approx([20 / 60, 20 / 60])  # 45 and 15 modes


def test_noise_without_a_density_is_flat_and_what_rises_counts_as_flat() -> None:
    flat = problem(parameters=100, noise={"trace": around(30.0, 0.1)})
    assert flat.flat_bulk
    assert flat.whole.curvature.tolist() == [4.0, 1.0, 0.0]
    assert flat.whole.noise @ flat.whole.weight == pytest.approx(30.0)
    assert flat.whole.weight.tolist() == [1, 1, 98]
    assert problem(eigenvalues=(4.0, -1.0)).whole.curvature.tolist() == [4.0, 0.0]
    assert problem(parameters=100, noise={"trace": around(9.0, 0.1)}).bulk_noise == 0.0  # below what modes carry
    assert problem(parameters=2, noise={"trace": around(30.0, 0.1)}).bulk_noise == 0.0  # every direction is recorded


def test_a_density_of_few_examples_saturates_early_and_is_said_to() -> None:
    """Features of covariance diag(h): of 40 rows XᵀX/40 has 40 modes of the 400, all of one variance."""
    h = np.geomspace(1e-2, 1e-5, 400)
    x = np.random.default_rng(0).normal(size=(40, 400)) * np.sqrt(h)

    def level(values: np.ndarray) -> float:
        facts = {"parameters": 400, "noise": {"trace": around(30.0, 0.1)}}
        at = problem(curvature=spectrum([values.tolist()], [[1 / 400] * 400]), **facts)
        return float(at.laws(at.whole)["discrete"].displacement([10**9])[0]) - 2 * float(VARIANCE.sum())

    sampled = np.concatenate([np.linalg.eigvalsh(x @ x.T / 40), np.zeros(360)])
    assert level(sampled) / level(h) == pytest.approx(40 / 400 * h.sum() / sampled.sum(), rel=1e-2)
    few = spectrum([[0.5]], [[1.0]], examples=1999)
    trace = {"trace": around(30.0, 0.1)}
    said = judge("run", *run(parameters=100, noise=trace, curvature=few, examples=4000)).warnings
    why = "the spectral density is of 1,999 of 4,000 examples"
    assert f"{why}: the laws of displacement saturate too early and too low" in said
    enough = replace(few, examples=2000)
    assert not problem(parameters=100, noise=trace, curvature=enough, examples=4000).few_examples
    assert not problem(parameters=100, noise=trace, curvature=few, examples=None).few_examples
    assert not problem(parameters=2, noise=trace, curvature=few, examples=4000).few_examples


def test_nodes_that_stand_for_many_eigenvalues_do_not_make_a_law_saturate_early() -> None:
    """Six decades of curvature by 8 probes of 40 steps, the default: good to a twentieth to lag 1,000, then high."""
    h = np.geomspace(0.9, 1e-6, 3000)
    found = lanczos_quadrature(lambda rows: rows * h, 3000, Probing(8, 40), np.float64)
    facts = {"parameters": 3000, "noise": {"trace": around(30.0, 0.1)}}
    steps = [1, 10, 100, 1000, 10_000, 100_000, 10**8]

    def law(curvature: Curvature) -> np.ndarray:
        at = problem(curvature=curvature, **facts)
        recorded = at.laws(at.modes(at.variances))["discrete"]
        return at.laws(at.whole)["discrete"].displacement(steps) - recorded.displacement(steps)

    exact = law(spectrum([h.tolist()], [[1 / 3000] * 3000]))
    ratio = law(spectrum(found.nodes.tolist(), found.weights.tolist())) / exact
    assert np.abs(ratio[:4] - 1).max() < 0.05
    assert ratio.min() > 0.98
    assert ratio.max() < 1.3


@pytest.mark.parametrize(("share", "same"), [(0.9e-4, True), (1.1e-4, False)])
def test_modes_are_the_same_within_a_ten_thousandth(share: float, same: bool) -> None:
    trajectory, _, _ = run()
    moved = replace(TWO, curvature=TWO.curvature * (1 + share))
    if same:
        assert run_problem(trajectory, curvature_of(moved), noise_of(moved)).steps == 4000
        return
    with pytest.raises(BadInput) as refused:
        run_problem(trajectory, curvature_of(moved), noise_of(TWO))
    assert [problem.where for problem in refused.value.problems] == ["curvature"]


@pytest.mark.parametrize(("steady", "first"), [(100, 3901), (99, 1)])
def test_a_constant_stretch_of_a_hundred_updates_comes_before_a_longer_one_that_varies(steady: int, first: int) -> None:
    trajectory, curvature, noise = run()
    settings = trajectory.info.optimizer
    segments = (Segment(1, 4000 - steady, settings, 10, True), Segment(4001 - steady, 4000, settings, 10, False))
    found = run_problem(replace(trajectory, info=replace(trajectory.info, segments=segments)), curvature, noise)
    assert int(trajectory.step[found.rows][0]) == first
    assert [at["varying"] for at in segments_of(found.trajectory)] == [True, False]


def test_of_stretches_of_one_length_the_last_is_analysed() -> None:
    trajectory, curvature, noise = run()
    excluded = trajectory.excluded.copy()
    excluded[[1999, 3999]] = NOT_FINITE
    found = run_problem(replace(trajectory, excluded=excluded), curvature, noise)
    assert (found.rows.start, found.rows.stop) == (2000, 3999)
    excluded[3998] = NOT_FINITE
    assert run_problem(replace(trajectory, excluded=excluded), curvature, noise).rows == slice(0, 1999)


def test_an_epoch_is_whole_batches_and_at_least_two() -> None:
    assert problem(examples=409).steps_per_epoch == 40
    assert problem(examples=20).steps_per_epoch == 2
    assert problem(examples=19).steps_per_epoch is None
    assert problem(examples=None).steps_per_epoch is None
    assert problem(sampling="reshuffle").law_name == "epoch"
    assert problem(sampling="reshuffle", examples=None).law_name == "discrete"
    assert problem(sampling="same-order").law_name == "same-order"


def test_coupled_decay_stiffens_and_decoupled_decay_does_not() -> None:
    assert problem(settings={"weight_decay": (0.5,)}).stiffness.tolist() == [4.5, 1.5]
    assert problem(settings={"weight_decay": (0.5,), "decoupled": True}).stiffness.tolist() == [4.0, 1.0]


def test_laws_are_those_of_the_optimizer_and_the_sampling() -> None:
    at = problem()
    assert set(at.laws(at.whole)) == {"discrete", "langevin", "epoch"}
    at = problem(settings={"nesterov": True})
    assert set(at.laws(at.whole)) == {"discrete", "epoch"}
    at = problem(examples=None)
    assert set(at.laws(at.whole)) == {"discrete", "langevin"}
    assert problem(eigenvalues=(31.0, 1.0)).laws(problem(eigenvalues=(31.0, 1.0)).whole) == {}


def test_batches_drawn_without_replacement_have_less_noise_by_the_finite_population() -> None:
    """Σ(N − S)/(S(N − 1)) for distinct examples, Σ/S with replacement."""
    assert problem().whole.step_noise == pytest.approx(TWO.noise / 10)
    for sampling in ("iid", "reshuffle", "same-order"):
        assert problem(sampling=sampling).whole.step_noise == pytest.approx(TWO.noise / 10 * 390 / 399)


def test_rows_that_are_missing_end_a_stretch() -> None:
    trajectory, curvature, noise = run()
    step = trajectory.step + 10 * (trajectory.step > 2500)  # ten updates of a damaged shard
    segments = (replace(trajectory.info.segments[0], stop=4010),)
    gap = replace(trajectory, step=step, info=replace(trajectory.info, segments=segments))
    assert run_problem(gap, curvature, noise).rows == slice(0, 2500)


@pytest.mark.parametrize(
    ("settings", "plain"),
    [
        ({}, True),
        ({"nesterov": True}, False),
        ({"dampening": 0.5}, False),
        ({"dampening": 0.5, "momentum": 0.0}, True),
        ({"weight_decay": (0.1,)}, True),
        ({"weight_decay": (0.1,), "decoupled": True}, False),
        ({"weight_decay": (0.0,), "decoupled": True}, True),
        ({"name": "AdamW"}, False),
    ],
)
def test_heavy_ball_is_sgd_without_lookahead_dampening_or_own_decay(settings: dict[str, Any], plain: bool) -> None:
    assert problem(settings=settings).plain == plain
    assert not problem(settings=settings, varying=True).plain


def test_noise_of_every_example_on_its_own_has_no_sampling_error() -> None:
    assert problem(examples=EXAMPLES).noise_errors == pytest.approx([0.0, 0.0])  # of 640 examples measured
    assert problem(examples=1280).noise_errors == pytest.approx(0.01 * np.sqrt([0.5, 0.5]))
    assert problem(examples=None).noise_errors == pytest.approx([0.01, 0.01])
    assert problem(noise={"per_sample": False}).noise_errors == pytest.approx([0.01, 0.01])
    assert problem(noise=None).noise_errors is None
