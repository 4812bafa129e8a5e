"""The thirteen answers against numbers found by hand: docs/statements/sgd-dynamics.md on two modes (`cases`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from limen.records.curvature import Density
from limen.records.dynamics import Compared
from limen.records.estimate import not_identified
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
    lag,
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


# 1 stationary


def test_rest_is_the_verdict_with_the_virial_and_its_law_beside_it() -> None:
    found = answers.stationary(seen(virial=Compared(around(0.83, 0.1), 0.7649, 0.5)))
    assert found.answer == "yes, as far as the recorded modes tell"
    assert found.evidence == "virial ratio 0.83, predicted 0.76"
    assert answers.stationary(seen(virial=Compared(around(0.83), None, None))).evidence == "virial ratio 0.83"


@pytest.mark.parametrize(("slow", "said"), [(1, "1 mode cannot"), (2, "2 modes cannot")])
def test_modes_that_cannot_have_come_to_rest_are_counted(slow: int, said: str) -> None:
    modes = (*[mode(1e-6, None, None, equilibrated=False)] * slow, mode())
    found = answers.stationary(seen(verdict="drifting", modes=modes))
    assert found.answer == f"no: modes still drift; {said} have equilibrated"
    assert not found.refused


def test_why_rest_is_not_known_is_the_reason_of_the_verdict() -> None:
    found = answers.stationary(seen(verdict="not_identified", reason="the learning rate changes along the run"))
    assert found.refused
    assert found.answer == "not answered: the learning rate changes along the run"


# 2 temperature


def test_temperatures_span_their_range_and_agree_as_their_z_do() -> None:
    modes = (
        mode(4.0, 0.0231, 2.9),
        mode(2.0, 0.5, -3.1),
        mode(1.0, 0.0207, 1.6),
        mode(0.1, None, None),
        mode(0.2, 0.03, None),
    )
    found = answers.temperature(seen(modes=modes))
    assert found.answer == "0.0207 to 0.5 (loss) over 4 modes"
    # Stouffer: (2.9 − 3.1 + 1.6)/√3 = .81
    assert found.evidence == "2 of 3 modes within 3 standard errors of the law, +0.8 together"


def test_one_mode_is_one_mode_and_zero_has_no_sign() -> None:
    found = answers.temperature(seen(modes=(mode(1.0, 0.02, -0.04),)))
    assert found.answer == "0.02 to 0.02 (loss) over 1 mode"
    assert found.evidence == "1 of 1 mode within 3 standard errors of the law, 0.0 together"
    assert answers.temperature(seen(modes=(mode(z=None),))).evidence == "no law to compare"
    assert answers.temperature(seen(modes=(mode(heat=None, z=None),))).answer == "not answered: no equilibrated mode"


# 3 distance


def test_distance_is_the_displacement_of_the_law_and_saturates_at_twice_the_spread() -> None:
    found = answers.distance(seen())
    far = np.sqrt(2 * VARIANCE.sum())  # 4,000 steps are hundreds of relaxation times
    assert found.answer == f"{far:.3g} in 4,000 more steps, {far:.3g} in 40,000"
    assert found.evidence == (
        f"the discrete law; modes with an equilibrium spread over a radius of {np.sqrt(VARIANCE.sum()):.3g}"
    )


def test_noise_in_flat_directions_diffuses_and_makes_the_distance_an_upper_bound() -> None:
    trace = 30.0  # 20 of it outside of the modes: E Δ² = (η/(1 − β))²·C·(t − 2β(1 − βᵗ)/(1 − β²)) per flat direction
    flat = (ETA / (1 - BETA)) ** 2 * 20.0 / SIZE
    at = [np.sqrt(flat * (t - 2 * BETA * (1 - BETA**t) / (1 - BETA**2)) + 2 * VARIANCE.sum()) for t in (4000, 40_000)]
    found = answers.distance(seen(parameters=100, noise={"trace": around(trace, 0.1)}))
    assert found.answer == f"{at[0]:.3g} in 4,000 more steps, {at[1]:.3g} in 40,000"
    assert f"radius of {np.sqrt(VARIANCE.sum()):.3g}; an upper bound" in found.evidence


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


# 4 batch


def test_four_times_the_batch_goes_with_four_or_two_times_the_rate() -> None:
    found = answers.batch(seen(eigenvalues=(1.0, 0.5)))  # q = .4/3 at η = .4
    assert found.answer == (
        "0.4 keeps the spread of the weights and their diffusion per epoch; 0.2 keeps the size of a step"
    )
    assert found.evidence == "linear rule: steps grow by 2; square-root rule"


def test_the_edge_of_stability_bounds_the_linear_rule() -> None:
    # η = .4, h = 4: q = 1.6/3 = .53; h = 3.7: 1.48/3 = .493
    assert "but that is 0.53 of the edge of stability" in answers.batch(seen()).answer
    assert "edge" not in answers.batch(seen(eigenvalues=(3.7, 1.0))).answer


def test_a_batch_larger_than_the_data_is_refused() -> None:
    found = answers.batch(seen(examples=39))
    assert found.answer == "not answered: 4 times 10 is more than the 39 examples"
    assert not answers.batch(seen(examples=40)).refused
    assert answers.batch(seen(batch_size=None)).refused


# 5 too large


@pytest.mark.parametrize(
    ("sharpest", "said"),
    [
        (4.0, "for the continuous law, yes; the discrete one holds: q = 0.133"),
        (1.6, "for the continuous law, yes; the discrete one holds: q = 0.0533"),
        (1.4, "no: q = 0.0467"),
        (26.0, "for the continuous law, yes; the discrete one holds: q = 0.867"),
        (27.5, "yes: q = 0.917"),
        (31.0, "yes: q = 1.03"),
    ],
)
def test_the_share_of_the_edge_is_eta_h_over_two_one_plus_beta(sharpest: float, said: str) -> None:
    found = answers.too_large(seen(eigenvalues=(sharpest, 1.0), modes=(mode(sharpest), mode(1.0))))
    assert found.answer == f"{said}, 1 at the edge of stability"
    left = max(0.0, 1 - ETA * sharpest / (2 * (1 + BETA)))
    assert found.evidence == f"the continuous law's variances are {left:.3g} of the exact ones in the sharpest mode"


def test_no_positive_curvature_has_no_edge() -> None:
    for ask in (answers.too_large, answers.damping):
        assert ask(seen(modes=())).answer == "not answered: no recorded mode of positive curvature"
        assert ask(seen(modes=(mode(-1.0),))).refused
        assert "batch size" in ask(seen(batch_size=None)).answer


# 6 damping


def test_a_mode_relaxes_fastest_at_critical_damping() -> None:
    modes = (mode(4.0), mode(2.0, regime="overdamped"), mode(1.0), mode(-1.0, regime="unstable"))
    found = answers.damping(seen(modes=modes))
    # (1 − √.1)² = .4675
    assert found.answer == (
        "2 underdamped, 1 overdamped; the flattest recorded mode (h = 1) relaxes fastest at momentum 0.4675"
    )
    assert found.evidence == "momentum is 0.5; critical at (1 − √(ηh))²"


def test_beyond_a_rate_of_one_the_best_momentum_grows_again() -> None:
    """ηh = 2.25: roots have modulus √β while (1 − √β)² < ηh < (1 + √β)², least at √β = √2.25 − 1."""
    found = answers.damping(seen(modes=(mode(22.5),)))
    assert found.answer.endswith("relaxes fastest at momentum 0.25")
    largest = [max(abs(np.roots([1, -(1 + b - 2.25), b]))) for b in (0.2, 0.25, 0.3)]
    assert np.argmin(largest) == 1
    assert "no momentum makes it stable" in answers.damping(seen(modes=(mode(41.0),))).evidence


def test_the_best_momentum_is_that_of_heavy_ball() -> None:
    found = answers.damping(seen(settings={"nesterov": True}))
    assert found.answer == "2 underdamped"
    assert found.evidence == "momentum is 0.5; which relaxes fastest is known for heavy ball"


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
        ({"approximate": "a frozen preconditioner"}, "heavy ball without"),
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


# 10 shape of the noise


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [
        (1.2, 0.3, "consistent with it: noise grows as curvature^1.20 (0.90 to 1.50) ◆"),
        (1.2, 0.1, "no: noise grows as curvature^1.20 (1.10 to 1.30) ◆"),
        (0.5, 0.4, "no: noise grows as curvature^0.50 (0.10 to 0.90) ◆"),
        (1.2, 0.6, "cannot tell: noise grows as curvature^1.20 (0.60 to 1.80) ◆"),
        (1.2, 0.2, "consistent with it: noise grows as curvature^1.20 (1.00 to 1.40) ◆"),
        (0.75, 0.25, "consistent with it: noise grows as curvature^0.75 (0.50 to 1.00) ◆"),
    ],
)
def test_noise_is_proportional_where_one_is_in_a_narrow_interval(value: float, half: float, said: str) -> None:
    found = answers.shape(seen(noise={"slope": around(value, half), "coherence": not_identified("few")}))
    assert found.answer == said
    assert found.evidence == "over the recorded modes"


def test_coherence_stands_beside_its_floor() -> None:
    found = answers.shape(seen(noise={"coherence": around(0.125, 0.01), "coherence_floor": 0.0312}))
    assert found.evidence == "over the recorded modes; coherence of H and Σ 0.12, 0.03 of it sampling error"
    refused = answers.shape(seen(noise={"slope": not_identified("needs 4 modes")}))
    assert refused.answer == "not answered: needs 4 modes"
    assert answers.shape(seen(noise=None)).answer == "not answered: gradient noise was not measured"


# 11 exponent


def test_the_exponent_is_that_of_two_thirds_of_the_lags_with_an_interval() -> None:
    sure = tuple(lag(t, around(2 - t / 10, 0.1), discrete=-0.001, epoch=0.25 * t) for t in range(1, 7))
    lags = (*sure, lag(7, around(9.0)), lag(8, around(9.0)), lag(9, not_identified("no slope")))
    found = answers.exponent(seen(lags=lags))  # six of nine have one: the fifth
    assert found.answer == "1.50 (1.40 to 1.60) ◆ at 5 steps; the discrete law says 0.00"
    assert "the epoch law says 1.25" in answers.exponent(seen(lags=lags, sampling="reshuffle")).answer
    assert "no law to compare" in answers.exponent(seen(lags=lags, sampling="same-order")).answer


def test_exponents_without_an_interval_are_better_than_none() -> None:
    found = answers.exponent(seen(lags=(lag(1, around(-0.0004), discrete=2.0), lag(8, not_identified("no slope")))))
    assert found.answer == "-0.000400 ○ at 1 step; the discrete law says 2.00"
    assert answers.exponent(seen(lags=(lag(8, not_identified("no slope")),))).refused
    assert answers.exponent(seen()).answer == "not answered: no displacement over many origins was recorded"


# 12 tails


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [
        (1.6, 0.3, "yes: the variance may not exist; tail index 1.60 (1.30 to 1.90) ◆"),
        (1.6, 0.4, "no sign of an infinite variance; tail index 1.60 (1.20 to 2.00) ◆"),
        (4.0, 1.0, "no sign of an infinite variance; tail index 4.0 (3.0 to 5.0) ◆"),
    ],
)
def test_tails_are_heavy_where_the_index_is_below_two(value: float, half: float, said: str) -> None:
    found = answers.tails(seen(noise={"hill": around(value, half)}))
    assert found.answer == said
    # κ = η(1 + β)/(S(1 − β)(2(1 + β) − ηρ)), W = Σρκ/(1 − ρκ)
    own = H * ETA * (1 + BETA) / (SIZE * (1 - BETA) * (2 * (1 + BETA) - ETA * H))
    feedback = (own / (1 - own)).sum()
    assert found.evidence == (
        "Hill estimate of the norms of batch noise; least squares of this curvature would have "
        f"W = {feedback:.2g}, infinite variance from 1 on"
    )


def test_feedback_is_a_lower_bound_of_some_modes_and_absent_where_its_law_is() -> None:
    heavy = {"hill": around(4.0, 1.0)}
    assert "W ≥ " in answers.tails(seen(parameters=100, noise={**heavy, "trace": around(30.0, 0.1)})).evidence
    for facts in ({"sampling": "reshuffle"}, {"settings": {"weight_decay": (0.1,)}}, {"settings": {"nesterov": True}}):
        assert answers.tails(seen(noise=heavy, **facts)).evidence == "Hill estimate of the norms of batch noise"
    assert answers.tails(seen(noise={"hill": not_identified("needs 100 batches")})).answer.endswith("needs 100 batches")
    assert answers.tails(seen(noise=None)).answer == "not answered: gradient noise was not measured"


# 13 decay


def test_coupled_decay_pulls_at_eta_lambda_over_one_minus_beta() -> None:
    found = answers.decay(seen(settings={"weight_decay": (0.0005,)}))
    # .1·5e-4/.5 = 1e-4 a step, 1 − e^{−.4} over 4,000
    assert found.answer == (
        "flat directions lose 0.0001 of their length a step, 33.0% over this run; "
        "a mode of curvature ρ ends λ/(ρ + λ) short of its minimum"
    )
    assert found.evidence == "ηλ(1 − d)/(1 − β)"


def test_dampening_weakens_the_pull_and_decoupled_decay_knows_no_momentum() -> None:
    damped = answers.decay(seen(settings={"weight_decay": (0.0005,), "dampening": 0.5}))
    assert damped.answer.startswith("flat directions lose 5e-05 of their length a step, 18.1% over")  # 1 − e^{−.2}
    apart = answers.decay(seen(settings={"weight_decay": (0.0005,), "decoupled": True}))
    assert apart.answer.startswith("flat directions lose 5e-05 of their length a step, 18.1% over")
    assert "ends λ(1 − β)/(ρ + λ(1 − β)) short" in apart.answer
    assert apart.evidence == "ηλ"


def test_decay_that_is_none_or_many_or_of_another_optimizer() -> None:
    assert answers.decay(seen()).answer == "no: there is none"
    assert not answers.decay(seen(settings={"weight_decay": (0.0, 0.0)})).refused
    assert "different weight decay" in answers.decay(seen(settings={"weight_decay": (0.1, 0.0)})).answer
    other = {"settings": {"name": "AdamW", "weight_decay": (0.1,)}, "approximate": "a frozen preconditioner"}
    assert "AdamW is not SGD" in answers.decay(seen(**other)).answer
    assert "learning rate changes" in answers.decay(seen(settings={"weight_decay": (0.1,)}, varying=True)).answer


def test_thirteen_answers_in_the_order_of_the_docs() -> None:
    it = seen()
    found = answers.answers(it.problem, it.modes, it.identities, it.lags, ("stationary", "", False))
    assert [answer.question for answer in found] == [ask(it).question for ask in answers.ASKED]
    assert len({answer.question for answer in found}) == 13
    drifting = answers.answers(it.problem, it.modes, it.identities, it.lags, ("drifting", "", False))
    assert [i for i in range(13) if drifting[i].refused != found[i].refused] == [2, 6, 7]
    bent = answers.answers(it.problem, it.modes, it.identities, it.lags, ("stationary", "", True))
    assert [i for i in range(13) if bent[i].refused != found[i].refused] == [2, 6, 7]
