"""Answers about settings, against numbers found by hand: batch, rate, momentum, decay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from limen.theory.sgd import discrete, langevin
from limen.verdict.dynamics import answers

from .cases import (
    BETA,
    ETA,
    SIZE,
    mode,
    seen,
)

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
    assert found.evidence.startswith(
        f"the continuous law's variances are {1 - ETA * sharpest / (2 * (1 + BETA)):.3g} of the exact ones"
    )
    # κρ/(1 − κρ) of each mode with κρ = ηρ(1 + β)/(S(1 − β)(2(1 + β) − ηρ)) sums to W
    rho = np.array([sharpest, 1.0])
    own = ETA * rho * (1 + BETA) / (SIZE * (1 - BETA) * (2 * (1 + BETA) - ETA * rho))
    feedback = np.sum(own / (1 - own)) if (own > 0).all() and (own < 1).all() else 0.0
    assert ("of its noise from the motion itself" in found.evidence) == (0.05 <= feedback < 1)


def test_nesterov_has_no_continuous_law_to_be_a_share_of() -> None:
    found = answers.too_large(seen(settings={"nesterov": True}))
    assert found.evidence == "Nesterov momentum has no continuous law"
    assert "continuous law, yes" not in found.answer


@pytest.mark.parametrize("settings", [{"dampening": 0.5}, {"decoupled": True, "weight_decay": (0.5,)}])
def test_the_share_of_the_continuous_law_is_that_of_both_laws(settings: dict[str, Any]) -> None:
    asked = seen(settings=settings)
    one = replace(asked.problem.settings, noise=np.ones(1))
    share = langevin(one).position_variance[0] / discrete(one).position_variance[0]
    assert f"variances are {share:.3g} of the exact" in answers.too_large(asked).evidence


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
