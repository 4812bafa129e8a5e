"""Answers of the laws, against numbers found by hand: distance, averaging, a lower rate, reshuffling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from limen.records.curvature import Density
from limen.verdict.dynamics import answers

from .cases import (
    BETA,
    EPOCH,
    ETA,
    EXAMPLES,
    NOISE,
    SIZE,
    STEPS,
    TWO,
    VARIANCE,
    H,
    Q,
    around,
    autocorrelation,
    mode,
    seen,
)
from .runs import curvature_of

RATIO = [
    (EXAMPLES - SIZE)
    / (EXAMPLES - 1)
    * (1 - 2 * sum((EPOCH - j) / (EPOCH * (EPOCH - 1)) * autocorrelation(ETA * h, EPOCH)[j] for j in range(1, EPOCH)))
    for h in H
]
"""Var x of reshuffled batches over that of independent ones: 1 − 2Σ(M − j)/(M(M − 1))·r(j), of distinct examples."""


# 3 distance


def test_distance_is_the_displacement_of_the_law_and_saturates_at_twice_the_spread() -> None:
    found = answers.distance(seen())
    far = np.sqrt(2 * VARIANCE.sum())  # 4,000 steps are hundreds of relaxation times
    assert found.answer == f"{far:.3g} in 4,000 more steps, {far:.3g} in 40,000"
    assert found.evidence == (
        f"the discrete law; modes with an equilibrium spread over a radius of {np.sqrt(VARIANCE.sum()):.3g}"
    )


def test_noise_at_unknown_curvatures_makes_the_distance_lie_between_held_and_flat() -> None:
    trace = 30.0  # 20 of it outside of the modes: E Δ² = (η/(1 − β))²·C·(t − 2β(1 − βᵗ)/(1 − β²)) per flat direction
    flat = (ETA / (1 - BETA)) ** 2 * 20.0 / SIZE
    at = [np.sqrt(flat * (t - 2 * BETA * (1 - BETA**t) / (1 - BETA**2)) + 2 * VARIANCE.sum()) for t in (4000, 40_000)]
    found = answers.distance(seen(parameters=100, noise={"trace": around(trace, 0.1)}))
    # held as the least mode (h = 1, noise 2) is: ten times its noise, so ten times its variance more
    held = np.sqrt(2 * (VARIANCE.sum() + 10 * VARIANCE[1]))
    assert found.answer == f"{held:.3g} to {at[0]:.3g} in 4,000 more steps, {held:.3g} to {at[1]:.3g} in 40,000"
    assert f"radius of {np.sqrt(VARIANCE.sum()):.3g}; unmeasured directions as curved as" in found.evidence


def test_without_a_recorded_mode_to_hold_it_the_distance_is_an_upper_bound() -> None:
    found = answers.distance(seen(parameters=100, eigenvalues=(-1.0, -2.0), noise={"trace": around(30.0, 0.1)}))
    assert "an upper bound" in found.evidence
    assert " to " not in found.answer


def density_of(examples: int) -> Any:
    """Curvature whose spectral density has 98 of 100 modes at ½."""
    nodes, weights, none = np.tile([0.5, 4.0], (2, 1)), np.tile([0.98, 0.02], (2, 1)), np.zeros(1)
    density = Density(nodes, weights, none, none, none, none, 0.1, 0.95, np.zeros(4), np.zeros(4))
    return replace(curvature_of(TWO), density=density, examples=examples)


def test_a_density_of_few_examples_makes_it_a_lower_bound() -> None:
    options = {"parameters": 100, "noise": {"trace": around(30.0, 0.1)}}
    few = answers.distance(seen(curvature=density_of(199), **options))
    # 98 modes of curvature ½ share 20 of noise: Var = ηC/(2(1 − β)h(1 − q)), q = .05/3
    bulk = ETA * 20.0 / SIZE / (2 * (1 - BETA) * 0.5 * (1 - 0.05 / 3))
    assert few.answer.startswith(f"{np.sqrt(2 * (VARIANCE.sum() + bulk)):.3g} in 4,000")
    assert f"spread over a radius of {np.sqrt(VARIANCE.sum() + bulk):.3g}" in few.evidence
    assert few.evidence.endswith("; a lower bound: the spectral density is of 199 of 400 examples")
    assert "bound" not in answers.distance(seen(curvature=density_of(200), **options)).evidence
    stands = answers.averaging(seen(curvature=density_of(400), **options)).evidence
    assert stands == "discrete law, 100 modes with an equilibrium"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"verdict": "drifting"}, "training is not stationary"),
        ({"verdict": "not_identified"}, "whether training is stationary is not known"),
        ({"not_quadratic": True}, "not the quadratic of its Hessian"),
        ({"noise": None}, "gradient noise was not measured"),
        ({"sampling": "same-order"}, "no law for same-order sampling"),
        ({"batch_size": None}, "batch size is not recorded"),
        ({"settings": {"maximize": True}}, "maximises"),
    ],
)
def test_what_a_law_of_equilibrium_says_is_refused_without_equilibrium_or_law(facts: dict[str, Any], why: str) -> None:
    for ask in (answers.distance, answers.averaging):
        found = ask(seen(**facts))
        assert found.refused
        assert why in found.answer


# 7 averaging


def window(variance: float, a: float, length: int) -> float:
    """Variance of the mean of `length` iterates: (Var/W²)[W + 2Σ(W − k)r(k)]."""
    r = autocorrelation(a, length)
    return variance / length**2 * (length + 2 * sum((length - k) * r[k] for k in range(1, length)))


def test_averaging_an_epoch_saves_the_excess_loss_of_the_variance_it_takes_away() -> None:
    left = np.array([window(VARIANCE[i], ETA * H[i], EPOCH) for i in range(2)])
    saved, whole = H @ (VARIANCE - left) / 2, H @ VARIANCE / 2
    found = answers.averaging(seen())
    said = f"the mean of 40 successive iterates saves {saved:.3g} of the {whole:.3g} loss that noise costs"
    assert found.answer == said
    assert found.evidence == "discrete law, 2 modes with an equilibrium"
    assert saved < 0.99 * whole


def test_flat_directions_have_no_excess_loss_to_save() -> None:
    flat = answers.averaging(seen(parameters=100, noise={"trace": around(30.0, 0.1)}))
    assert flat.answer == answers.averaging(seen()).answer
    assert flat.evidence == "discrete law, 2 modes with an equilibrium"


def test_without_epochs_a_hundred_iterates_are_averaged() -> None:
    left = np.array([window(VARIANCE[i], ETA * H[i], 100) for i in range(2)])
    found = answers.averaging(seen(examples=None))
    assert found.answer.startswith(f"the mean of 100 successive iterates saves {H @ (VARIANCE - left) / 2:.3g} of")


# 8 drop


def test_a_lower_rate_saves_nine_tenths_of_the_excess_loss_that_the_velocity_tells() -> None:
    speed = np.concatenate([np.full(STEPS // 2, 100.0), np.full(STEPS // 2, 3.0)])  # only the later half counts
    found = answers.drop(seen(velocity=speed))
    # .1·1.5/4·3 = .1125, nine tenths of it .10125
    assert found.answer == "about 0.101 of training loss within (1 − β)/(η′h) steps of each mode"
    assert found.evidence == "(η(1 + β)/4)·E‖v‖² with E‖v‖² = 3"
    slow = answers.drop(seen(velocity=speed, modes=(mode(), mode(equilibrated=False))))
    assert slow.answer.startswith("at most 0.101")


def test_the_velocity_law_gives_the_excess_loss_of_the_variances() -> None:
    """E v² = C/((1 − β²)(1 − q)) per mode: (η(1 + β)/4)Σ E v² = ½Σh Var x."""
    speed = (NOISE / SIZE / (1 - BETA**2) / (1 - Q)).sum()
    found = answers.drop(seen(velocity=np.full(STEPS, speed)))
    assert float(found.answer.split()[1]) == pytest.approx(0.9 * H @ VARIANCE / 2, rel=5e-3)


def test_reshuffled_runs_are_asked_of_the_law_before_and_after() -> None:
    found = answers.drop(seen(sampling="reshuffle", velocity=np.full(STEPS, 1e9)))
    before = H @ (VARIANCE * RATIO) / 2
    a, after = ETA / 10 * H, 0.0
    for i in range(2):
        r = autocorrelation(a[i], EPOCH)
        share = 1 - 2 * sum((EPOCH - j) / (EPOCH * (EPOCH - 1)) * r[j] for j in range(1, EPOCH))
        free = ETA / 10 * NOISE[i] / SIZE / (2 * (1 - BETA) * H[i] * (1 - Q[i] / 10))
        after += H[i] * free * share * (EXAMPLES - SIZE) / (EXAMPLES - 1) / 2
    assert found.answer.startswith(f"about {before - after:.3g} of training loss")
    assert "epoch law, before and after" in found.evidence


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"settings": {"nesterov": True}}, "heavy ball without"),
        ({"settings": {"dampening": 0.5}}, "heavy ball without"),
        ({"settings": {"decoupled": True, "weight_decay": (0.1,)}}, "heavy ball without"),
        ({"approximate": "a frozen preconditioner"}, "a frozen preconditioner"),
        ({"varying": True}, "the learning rate changes along the analysed stretch"),
        ({"verdict": "drifting"}, "not known to be stationary"),
        ({"verdict": "not_identified"}, "not known to be stationary"),
        ({"not_quadratic": True}, "on a quadratic loss"),
        ({"sampling": "same-order"}, "independent batches; these are same-order"),
        ({"sampling": "reshuffle", "noise": None}, "independent batches; these are reshuffle"),
        ({"sampling": "reshuffle", "examples": None}, "independent batches; these are reshuffle"),
    ],
)
def test_the_drop_is_refused_where_the_velocity_counts_something_else(facts: dict[str, Any], why: str) -> None:
    found = answers.drop(seen(**facts))
    assert found.refused
    assert why in found.answer


# 9 reshuffling


def test_reshuffling_multiplies_variances_by_the_sum_over_an_epoch() -> None:
    found = answers.reshuffling(seen())
    assert found.answer == (f"it multiplies the variance of the recorded modes by {min(RATIO):.2g} to {max(RATIO):.2g}")
    assert min(RATIO) < 0.8 < 0.9 < max(RATIO)
    assert found.evidence == "epochs of 40 batches against relaxation (1 − β)/(ηh)"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"noise": None}, "gradient noise was not measured"),
        ({"examples": None}, "examples or batch size unknown"),
        ({"eigenvalues": (31.0, 1.0)}, "no law for replacement"),
        ({"eigenvalues": (1.0, -1.0)}, "a recorded mode is unstable or rising"),
    ],
)
def test_reshuffling_is_refused_where_a_law_is_missing(facts: dict[str, Any], why: str) -> None:
    found = answers.reshuffling(seen(**facts))
    assert found.refused
    assert why in found.answer
