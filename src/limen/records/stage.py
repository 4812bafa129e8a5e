"""What a stage returns and what the store keeps: plain data and named arrays, nothing else.

A stage is a function `fn(spec, inputs) -> StageRecord`. It never sees the store or the executor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StageRecord:
    """Result of one cell: `data` is JSON-able (finite floats, str, int, bool, None, list, dict), `arrays` are dense."""

    kind: str
    """The stage that made it: `features`, `pretrain`, `fit`, `budget`, …"""
    version: int
    """The stage's integer VERSION; part of the identity of the cell."""
    data: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
