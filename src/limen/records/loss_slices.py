"""The losses along a path through weight space: initial weights → foundation model → adapted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class LossSlices:
    """Straight pieces between named states; position i is state i, i + s is the share s of the way to the next."""

    states: tuple[str, ...]
    positions: tuple[float, ...]
    losses: Mapping[str, tuple[Estimate, ...]] = field(default_factory=dict)
    """Loss name → its mean at every position."""
    barriers: Mapping[str, tuple[Estimate, ...]] = field(default_factory=dict)
    """Loss name → for every piece the largest height of the loss above the straight line between the piece's ends;
    negative where the loss stays below it (convex)."""
    statistics: str = ""
    """What was done about batch statistics."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""

        def plain(named: Mapping[str, tuple[Estimate, ...]]) -> dict[str, list[dict[str, Any]]]:
            return {name: [e.to_json() for e in estimates] for name, estimates in named.items()}

        return {
            "states": list(self.states),
            "positions": list(self.positions),
            "losses": plain(self.losses),
            "barriers": plain(self.barriers),
            "statistics": self.statistics,
        }
