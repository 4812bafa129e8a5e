"""Memory of a step: forecast before it is taken, and a batch that fits is named where one does not."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from limen.pretrain import memory  # noqa: E402
from limen.pretrain.run import pretrain  # noqa: E402
from limen.records.errors import BadInput, Problem  # noqa: E402

pytestmark = pytest.mark.torch
RUN = {
    "data": "digits:train", "heldout": 0.5, "steps": 1, "batch_size": 256, "checkpoints": [1], "threads": 1,
    "architecture": {"name": "conv", "width": 16}, "evaluation": {"draws": 1, "training_batches": 2},
}  # fmt: skip


def with_memory(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    found = SimpleNamespace(available=megabytes * 1e6)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: found)


def refused(**change: object) -> Problem:
    with pytest.raises(BadInput) as caught:
        pretrain({**RUN, **change})
    (problem,) = caught.value.problems
    return problem


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 8)
    problem = refused()
    assert problem.where == "batch_size"
    fits = int(re.search(r"at most ([\d,]+) examples", problem.what)[1].replace(",", ""))  # type: ignore[index]
    assert 2 <= fits < 256
    assert f"batch_size = {fits} or less" in problem.fix
    assert "accumulation" in problem.fix
    assert pretrain({**RUN, "batch_size": fits}).data["updates"] == 1
    assert refused(batch_size=fits + 2).where == "batch_size"


def test_a_model_that_does_not_fit_is_refused_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one would take 183 GB."""
    with_memory(monkeypatch, 1000)
    drawn: list[str] = []
    monkeypatch.setattr(torch.nn.Conv2d, "reset_parameters", lambda module: drawn.append(module.weight.device.type))
    problem = refused(architecture={"name": "resnet18", "width": 4096})
    assert problem.where == "architecture"
    assert "45,701,787,648 weights" in problem.what
    assert set(drawn) == {"meta"}


@pytest.mark.parametrize(("optimizer", "copies"), [("sgd", 1), ("adam", 2), ("adamw", 2)])
def test_weights_are_counted_with_gradients_and_what_the_optimizer_keeps(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, copies: int
) -> None:
    needed = 4 * 1010 * (2 + copies) / memory.SPARE / 1e6
    with_memory(monkeypatch, needed * 1.001)
    assert memory.check_weights_memory(lambda: torch.nn.Linear(100, 10), optimizer) == 1010
    with_memory(monkeypatch, needed * 0.999)
    with pytest.raises(BadInput, match="1,010 weights"):
        memory.check_weights_memory(lambda: torch.nn.Linear(100, 10), optimizer)
