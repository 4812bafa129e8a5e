"""One encoder seen from outside: whose run and family it is, its pretraining loss, its surrogates, its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class ModelPoint:
    """A checkpoint or a downloaded encoder; the run is the independent unit, the family what runs have in common."""

    encoder: str
    """Encoder reference such as `scratch#2@1000`."""
    run: str
    """`scratch#2`: points of one run lie on one trajectory. A downloaded encoder is a run of its own."""
    family: str
    """Architecture and objective, or any other name under which seeds are copies of each other."""
    pretraining_loss: Estimate | None = None
    targets: Mapping[str, Estimate] = field(default_factory=dict)
    """Task → measured floor, adaptation loss or error (one of them for all points)."""
    surrogates: Mapping[str, Estimate] = field(default_factory=dict)
