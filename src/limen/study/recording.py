"""What a study records along a pretraining run: the only place where a recorder meets a training loop.

`record = "dynamics"` in `[encoder.NAME]` asks for one. An observer reads and never writes, so the weights are those of
the same run without it; it sees the model as `{encoder, head}`, the optimizer, and every update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from limen.records.errors import BadInput, Problem
from limen.records.observer import StepObserver

RECORDERS: Mapping[str, Callable[[Mapping[str, Any]], StepObserver]] = {}
"""Kind of record → what makes its observer from the spec of a pretrain cell."""


def observers_of(spec: Mapping[str, Any]) -> tuple[StepObserver, ...]:
    """The observers of the run of a pretrain cell; none where nothing is recorded.

    >>> observers_of({"data": "digits"})
    ()

    Raises BadInput for a kind of record that cannot be made.
    """
    kind = spec.get("record")
    if kind is None:
        return ()
    if kind not in RECORDERS:
        raise BadInput(Problem("record", f'"{kind}" is not available in this version', fix="remove it"))
    return (RECORDERS[kind](spec),)
