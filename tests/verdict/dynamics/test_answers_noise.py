"""Answers about the noise: its shape and its tails."""

from __future__ import annotations

import pytest

from limen.records.estimate import not_identified
from limen.verdict.dynamics import answers

from .cases import (
    BETA,
    ETA,
    SIZE,
    H,
    around,
    seen,
)

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
