"""Answers of what was seen: rest, temperature, exponent; all thirteen in their order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limen.records.dynamics import Compared
from limen.records.estimate import not_identified
from limen.verdict.dynamics import answers

from .cases import (
    around,
    lag,
    mode,
    seen,
)

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
    assert found.evidence == "2 of 3 modes within 3 standard errors of the law"
    shift = Compared(around(1.13, 0.1), 1.0, 3.04)
    told = answers.temperature(replace(seen(modes=modes), shift=shift))
    assert told.evidence == "2 of 3 modes within 3 standard errors of the law; together 1.13 times it, z +3.0"


def test_one_mode_is_one_mode_and_zero_has_no_sign() -> None:
    found = answers.temperature(seen(modes=(mode(1.0, 0.02, -0.04),)))
    assert found.answer == "0.02 to 0.02 (loss) over 1 mode"
    assert found.evidence == "1 of 1 mode within 3 standard errors of the law"
    shift = Compared(around(1.0, 0.1), 1.0, -0.02)
    assert answers.temperature(replace(seen(), shift=shift)).evidence.endswith("together 1.00 times it, z 0.0")
    assert answers.temperature(seen(modes=(mode(z=None),))).evidence == "no law to compare"
    assert answers.temperature(seen(modes=(mode(heat=None, z=None),))).answer == "not answered: no equilibrated mode"


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


def test_thirteen_answers_in_the_order_of_the_docs() -> None:
    it = seen()
    found = answers.answers(it.problem, it.modes, it.identities, it.lags, ("stationary", "", False))
    assert [answer.question for answer in found] == [ask(it).question for ask in answers.ASKED]
    assert len({answer.question for answer in found}) == 13
    drifting = answers.answers(it.problem, it.modes, it.identities, it.lags, ("drifting", "", False))
    assert [i for i in range(13) if drifting[i].refused != found[i].refused] == [2, 6, 7]
    bent = answers.answers(it.problem, it.modes, it.identities, it.lags, ("stationary", "", True))
    assert [i for i in range(13) if bent[i].refused != found[i].refused] == [2, 6, 7]
