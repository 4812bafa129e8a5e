"""Observers of a pretraining cell: none unless asked for, an error where none can be made, and they change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from limen.records.errors import BadInput
from limen.study import recording
from limen.study.recording import observers_of
from limen.study.stages import run_stage


class Counter:
    """Counts what it is shown."""

    def __init__(self, spec: Any) -> None:
        self.spec, self.seen, self.names = spec, 0, []

    def begin(self, model: Any, optimizer: Any, steps: int) -> None:
        self.names = sorted(model)

    def step(self, step: Any) -> None:
        self.seen += 1

    def end(self) -> None:
        self.seen += 100


def test_nothing_is_recorded_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "RECORDERS", {"dynamics": Counter})
    assert observers_of({"steps": 3}) == ()
    (observer,) = observers_of({"steps": 3, "record": "dynamics"})
    assert isinstance(observer, Counter)
    assert observer.spec["steps"] == 3


def test_what_cannot_be_recorded_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "RECORDERS", {})
    with pytest.raises(BadInput, match="not available"):
        observers_of({"record": "dynamics"})


@pytest.mark.torch
def test_the_stage_shows_the_run_to_its_observer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("limen.pretrain.run", reason="needs the torch extra", exc_type=ImportError)
    made: list[Counter] = []

    def make(spec: Any) -> Counter:
        made.append(Counter(spec))
        return made[-1]

    spec = {"data": "digits:train", "heldout": 0.1, "steps": 3, "batch_size": 32, "checkpoints": [3],
            "objective": "supervised", "architecture": "linear"}  # fmt: skip
    plain = run_stage("pretrain", spec, {})
    monkeypatch.setattr(recording, "RECORDERS", {"dynamics": make})
    watched = run_stage("pretrain", {**spec, "record": "dynamics"}, {})
    assert (made[0].seen, made[0].names) == (103, ["encoder", "head"])
    assert all((watched.arrays[name] == plain.arrays[name]).all() for name in plain.arrays)
