"""The whole verdict: its document, and what is answered of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from limen.records.dynamics import Dynamics
from limen.theory.sgd import discrete, epoch
from limen.verdict.dynamics.judge import judge

from .runs import EXAMPLES, MODES, curvature_of, noise_of, recorded


def test_thirteen_questions_are_answered_in_words_and_the_document_is_plain(independent: Dynamics) -> None:
    assert len(independent.answers) == 13
    assert [answer.refused for answer in independent.answers].count(True) == 1  # heavy tails: too few batches
    drop = next(answer for answer in independent.answers if "times lower" in answer.question)
    excess = discrete(MODES).excess_loss
    assert excess is not None
    assert float(drop.answer.split()[1]) == pytest.approx(0.9 * excess, rel=0.1)
    text = json.dumps(independent.to_json(), allow_nan=False)
    plain = json.loads(text)
    assert set(plain) >= {
        "steps",
        "segments",
        "stationary",
        "displacement",
        "exponent",
        "modes",
        "identities",
        "answers",
    }
    assert set(plain["stationary"]) >= {"verdict", "p_value", "unequilibrated_modes"}
    assert set(plain["modes"][0]) >= {"curvature", "residual", "noise", "temperature", "predicted", "z"}
    assert set(plain["displacement"][0]) == {"lag", "measured", "predicted", "z"}


def test_answers_that_need_equilibrium_are_refused_where_there_is_none() -> None:
    drifting = judge("run", recorded(drift=0.2), curvature_of(), noise_of())
    stiff = replace(MODES, curvature=MODES.curvature * 2)
    trajectory = recorded()
    info = replace(trajectory.info, eigenvalues=tuple(stiff.curvature.tolist()))
    bent = judge("run", replace(trajectory, info=info), curvature_of(stiff), noise_of(stiff))
    for found, why in ((drifting, "not stationary"), (bent, "not the quadratic")):
        for word in ("How far", "averaging", "times lower"):
            answer = next(a for a in found.answers if word in a.question)
            assert answer.refused
            assert why in answer.answer or "not known to be stationary on a quadratic loss" in answer.answer
    assert all(drifting.identities[name].z is None for name in "VLF")
    assert drifting.identities["X"].z is not None


def test_numbers_of_the_answers_are_those_of_their_formulas(independent: Dynamics) -> None:
    def said(word: str) -> str:
        return next(a.answer for a in independent.answers if word in a.question)

    law, reshuffling = discrete(MODES), epoch(replace(MODES, examples=EXAMPLES), 40)
    assert float(said("How far").split()[0]) == pytest.approx(np.sqrt(law.displacement([12_000])[0]), rel=1e-2)
    assert "in 120,000" in said("How far")
    assert said("times the batch").startswith("0.4 keeps the spread")
    assert "0.2 keeps the size of a step" in said("times the batch")
    best = (1 - np.sqrt(0.1 * 0.4)) ** 2
    assert f"momentum {best:.4g}" in said("Over- or underdamped")
    ratio = reshuffling.position_variance / law.position_variance
    assert f"{ratio.min():.2g} to {ratio.max():.2g}" in said("reshuffling")
    from limen.theory.sgd import excess_loss_saved, window_average

    assert float(said("averaging").split("saves ")[1].split()[0]) == pytest.approx(
        excess_loss_saved(law, window_average(law, 40)), rel=1e-2
    )
    assert said("proportional").startswith("consistent with it")
