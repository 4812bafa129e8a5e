"""Runs that went wrong, recorded for real: diverged, not finite, weights moved by hand, the wrong way."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import limen
from limen.measure.recorder.read import read_run
from limen.pages import dynamics_captions as captions
from limen.pages import dynamics_words as words
from limen.pages.dynamics_terminal import render_dynamics
from limen.records.dynamics import Dynamics
from limen.verdict.dynamics.judge import judge

pytestmark = pytest.mark.torch

N, SIZE = 256, 16


def run(
    folder: Path, steps: int, after: Callable[[int, Any], None] = lambda k, model: None, **options: Any
) -> Dynamics:
    """Least squares from its minimum, recorded with every mode; `after` sees the model after each backward pass."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs = torch.randn(N, 4) * torch.tensor([2.0, 1.4, 1.0, 0.7])
    targets = inputs @ torch.ones(4) + torch.randn(N)
    model = torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(inputs, targets[:, None]).solution.T)

    def loss(model: Any, batch: Any) -> Any:
        return 0.5 * ((model(batch[0])[:, 0] - batch[1]) ** 2).mean()

    curvature = limen.curvature(model, loss, [(inputs, targets)], modes=4)
    noise = limen.gradient_noise(model, loss, [(inputs, targets)], curvature, batch_size=SIZE)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, **options)
    with limen.record(
        model, optimizer, str(folder), modes=curvature, batch_size=SIZE, sampling="iid", examples=N
    ) as recorder:
        for k in range(1, steps + 1):
            rows = torch.randperm(N)[:SIZE]
            value = loss(model, (inputs[rows], targets[rows]))
            optimizer.zero_grad()
            value.backward()
            after(k, model)
            optimizer.step()
            recorder.step(value)
    return judge(str(folder), read_run(folder), curvature, noise)


def answer(found: Dynamics, word: str) -> Any:
    return next(at for at in found.answers if word in at.question)


def printed(found: Dynamics) -> str:
    out = StringIO()
    render_dynamics(found, Console(file=out, width=200))
    return out.getvalue()


def test_a_run_that_blew_up_is_told_first_and_its_learning_rate_is_too_large(tmp_path: Path) -> None:
    found = run(tmp_path / "run", 400, lr=0.85)
    last = found.analysed[1]
    said = f"diverged after update {last:,}; {400 - last:,} updates excluded"
    assert 100 < last < 300
    assert found.reason == found.diverged == said
    assert found.verdict == "drifting"
    assert found.excluded == 400 - last
    assert answer(found, "too large").answer == f"yes: the run {said}"
    assert "no finite variance" in answer(found, "too large").evidence
    assert answer(found, "stationary").answer == f"no: {said}"
    assert said in found.warnings[0]
    assert not any(lag.measured.two_sided or lag.exponent.two_sided for lag in found.lags)
    text = printed(found)
    assert text.index(said) < text.index("E‖Δθ‖²")
    assert f"{400 - last:,} excluded" in text.splitlines()[0]
    assert said in "".join(part for part, _ in words.leads(found)[0])
    assert found.to_json()["diverged"] == said
    assert {mode.temperature.reason for mode in found.modes} == {f"the run {said}"}
    assert captions.temperature_held(found) == f"No mode has a temperature: the run {said}."
    assert "too slow" not in text


def test_growth_that_is_still_finite_diverges_too(tmp_path: Path) -> None:
    found = run(tmp_path / "run", 60, lr=1.2)
    assert found.diverged.startswith("diverges: squared steps grew")
    assert found.verdict == "drifting"
    assert answer(found, "too large").answer.startswith("yes")


def test_one_gradient_that_is_not_finite_is_no_divergence(tmp_path: Path) -> None:
    def spoil(k: int, model: Any) -> None:
        if k == 201:
            model.weight.grad[0, 0] = float("nan")

    found = run(tmp_path / "run", 300, spoil, lr=0.03)
    assert found.diverged == ""
    assert found.reason.startswith("not finite after update 200; 100 updates excluded; the run has 200 steps")
    assert "100 updates excluded" in found.warnings[0]
    assert "100 excluded" in printed(found).splitlines()[0]


def test_weights_that_are_changed_between_updates_leave_no_verdict(tmp_path: Path) -> None:
    import torch

    def clamp(k: int, model: Any) -> None:
        with torch.no_grad():
            model.weight.clamp_(-1.02, 1.02)

    found = run(tmp_path / "run", 1300, clamp, lr=0.03)
    said = "weights were changed between updates"
    assert found.verdict == "not_identified"
    assert found.reason.startswith(said)
    assert "recursion at update" in found.reason
    assert all(mode.temperature.measured.value is None and mode.virial.value is None for mode in found.modes)
    assert found.lags == ()
    assert found.orbits == ()
    assert all(at.measured.value is None for at in found.identities.values())
    assert answer(found, "temperature").refused
    assert captions.temperature_held(found).startswith(f"No mode has a temperature: {said}")
    assert said in answer(found, "too large").answer
    assert said in printed(found)


def test_what_climbs_has_no_length_that_would_do(tmp_path: Path) -> None:
    found = run(tmp_path / "run", 120, lr=0.001, maximize=True)
    assert found.reason == "the optimizer maximises: no recorded mode ever comes to rest"
    assert {mode.regime for mode in found.modes} == {"unstable"}
    assert "too slow" not in printed(found)


@pytest.mark.parametrize("options", [{"nesterov": True}, {"dampening": 0.5}])
def test_the_virial_is_off_where_it_is_not_one(tmp_path: Path, options: dict[str, Any]) -> None:
    found = run(tmp_path / "run", 1300, lr=0.03, **options)
    compared = [mode for mode in found.modes if mode.temperature.measured.value is not None]
    assert compared
    assert all(mode.virial.value is None and "heavy ball" in mode.virial.reason for mode in compared)
    continuous = answer(found, "too large").evidence
    assert ("has no continuous law" in continuous) == ("nesterov" in options)
