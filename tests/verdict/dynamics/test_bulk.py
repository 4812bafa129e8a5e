"""Runs whose recorded modes carry a part of the noise only: the rest lies in flat directions."""

from __future__ import annotations

from dataclasses import replace

from limen.verdict.dynamics.judge import judge

from .runs import MODES, curvature_of, noise_of, recorded


def test_averaging_is_answered_for_the_modes_at_rest_under_every_sampling() -> None:
    for sampling, law in (("replacement", "discrete"), ("reshuffle", "epoch")):
        run = recorded(sampling=sampling)
        run = replace(run, info=replace(run.info, parameters=50))
        found = judge("run", run, curvature_of(), noise_of(trace=2 * float(MODES.noise.sum())))
        assert found.verdict == "stationary"
        assert any("noise outside the recorded modes is taken for flat" in warning for warning in found.warnings)
        (answer,) = (at for at in found.answers if "averaging" in at.question)
        assert not answer.refused
        assert answer.evidence == f"{law} law, 4 modes with an equilibrium"
