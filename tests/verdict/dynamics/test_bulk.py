"""Runs whose recorded modes carry a part of the noise only: the rest lies in flat directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.records.dynamics import Dynamics
from limen.theory.sgd import discrete
from limen.verdict.dynamics.displacement import ALIKE, ends, told
from limen.verdict.dynamics.judge import judge

from .cases import EXAMPLES, STEPS, H, around, problem, run
from .runs import MODES, curvature_of, noise_of, recorded


def test_averaging_is_answered_for_the_modes_at_rest_under_every_sampling() -> None:
    for sampling, law in (("replacement", "discrete"), ("reshuffle", "epoch")):
        run = recorded(sampling=sampling)
        run = replace(run, info=replace(run.info, parameters=50))
        found = judge("run", run, curvature_of(), noise_of(trace=2 * float(MODES.noise.sum())))
        assert found.verdict == "stationary"
        assert any("of the noise is outside of the recorded modes" in warning for warning in found.warnings)
        (answer,) = (at for at in found.answers if "averaging" in at.question)
        assert not answer.refused
        assert answer.evidence == f"{law} law, 4 modes with an equilibrium"


def test_a_law_has_two_ends_where_the_bulk_has_no_density() -> None:
    facts = {"parameters": 100, "noise": {"trace": around(30.0, 0.1)}}  # modes carry 10 of 30
    at = problem(**facts)
    steps = np.array([1, 10, 100, 1000])
    assert at.curved.curvature.tolist() == [*H, min(H)]
    assert at.curved.noise.tolist() == at.whole.noise.tolist()
    lower, upper = ends(at, steps)["discrete"]
    assert lower == pytest.approx(discrete(at.curved).displacement(steps))
    assert upper == pytest.approx(discrete(at.whole).displacement(steps))
    assert upper[-1] > 20 * lower[-1]
    for known in (problem(), problem(eigenvalues=(-1.0, -2.0), **facts)):  # no bulk; no curvature to hold it with
        assert known.curved is None
        assert all(low is high for low, high in ends(known, steps).values())


def test_a_law_is_told_up_to_where_its_ends_part() -> None:
    lower, upper = np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.9, 1.24, 1.26, 1.0])
    assert told(lower, upper).tolist() == [True, True, False, False]
    assert told(lower, lower).all()


def warned(found: Dynamics) -> str:
    (text,) = (warning for warning in found.warnings if "no spectral density" in warning)
    return text


def test_lags_beyond_have_no_prediction_and_the_warning_says_both_ends() -> None:
    facts = {"parameters": 100, "noise": {"trace": around(30.0, 0.1)}}
    found = judge("run", *run(**facts))
    for name in ("discrete", "langevin"):
        known = [lag.predicted[name] is not None for lag in found.lags]
        assert known[0]
        assert not known[-1]
        assert known == sorted(known, reverse=True)
        assert [lag.predicted_exponent[name] is not None for lag in found.lags] == known
    sure = max(lag.lag for lag in found.lags if lag.measured.low is not None)
    last = max(lag.lag for lag in found.lags if lag.predicted["discrete"] is not None)
    lower, upper = (values[0] for values in ends(problem(**facts), np.array([sure]))["discrete"])
    text = warned(found)
    assert "67% of the noise" in text
    assert f"told up to lag {last:,}; at {sure:,} it says {lower:.3g} (" in text
    assert f"to {upper:.3g} (flat)" in text
    assert upper > ALIKE * lower


def test_a_bulk_that_matters_little_leaves_the_law_whole() -> None:
    found = judge("run", *run(parameters=3, noise={"trace": around(10.01, 0.001)}))
    assert all(lag.predicted["discrete"] is not None for lag in found.lags if lag.lag < STEPS / 16)
    assert "change displacement little" in warned(found)


def test_noise_that_has_fallen_since_the_start_is_named() -> None:
    larger = {"variance": np.array([80.0, 20.0]), "variance_errors": np.array([0.01, 0.01])}
    found = judge("run", *run(noise=larger))
    assert found.verdict == "stationary"
    assert found.identities["F"].z < -3
    (text,) = (warning for warning in found.warnings if "fallen" in warning)
    assert text.startswith("the motion implies 0.099 times the noise measured where the recording began")
    assert 'start = "NAME@step"' in text
    shuffled = judge("run", *run(noise=larger, sampling="reshuffle", examples=EXAMPLES))
    assert shuffled.identities["F"].z is None
    assert any(warning.startswith("2 of 2 modes are colder") for warning in shuffled.warnings)
    assert not any("fallen" in warning for warning in judge("run", *run()).warnings)
