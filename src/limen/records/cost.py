"""What a number cost to make: processor time as measured, energy as estimated, beside what it gained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Power:
    """Constants that turn seconds into energy; the defaults are those of Green Algorithms for an unknown machine."""

    watts_per_core: float = 12.0
    """Of a busy core."""
    watts_per_gibibyte: float = 0.3725
    """Of memory held."""
    overhead: float = 1.67
    """Power usage effectiveness: what the building adds, the world's average; 1 for a machine at home."""
    source: str = "Lannelongue, Grealey, Inouye 2021 (Green Algorithms): 12 W a core, 0.3725 W a GB, PUE 1.67"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU-seconds summed over threads and processes, wall seconds, and the energy that they come to."""

    cpu_seconds: float
    wall_seconds: float | None
    memory_bytes: int | None
    kilojoules: float
    power: Power

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys; the constants are in it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class GainForCost:
    """One option beside a baseline: what it costs more, what its loss is less, and the two together."""

    name: str
    cost: Cost
    loss: Estimate
    extra_cpu_seconds: float
    gain: Estimate
    """Baseline's loss less this one's; paired where rows were given, Welch of the two intervals elsewhere."""
    gain_per_cpu_hour: Estimate
    efficient: bool
    """Whether no cheaper or equally dear option has a lower loss (point values; ties keep both)."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {
            "name": self.name,
            "cost": self.cost.to_json(),
            "loss": self.loss.to_json(),
            "extra_cpu_seconds": self.extra_cpu_seconds,
            "gain": self.gain.to_json(),
            "gain_per_cpu_hour": self.gain_per_cpu_hour.to_json(),
            "efficient": self.efficient,
        }
