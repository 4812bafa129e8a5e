"""Losses against the complexity of what was fitted, in either phase, and the labels that a loss needs at a radius."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from limen.records.estimate import Estimate

Axis = Literal["parameters", "radius", "rank"]
Phase = Literal["pretraining", "adaptation"]


@dataclass(frozen=True, slots=True)
class ComplexityPoint:
    """One fitted model: its complexity and its losses, by the names of the chain."""

    complexity: float
    label: str
    """Run or budget."""
    losses: Mapping[str, Estimate] = field(default_factory=dict)
    """`empirical_pretraining_loss`, `pretraining_loss`; `empirical_adaptation_loss`, `adaptation_loss`,
    `minimal_adaptation_loss`: those that were measured."""


@dataclass(frozen=True, slots=True)
class ComplexityCurve:
    """Points in order of complexity."""

    phase: Phase
    axis: Axis
    name: str
    """What is drawn: loss name or `task · method`."""
    points: tuple[ComplexityPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        points = [
            {"complexity": p.complexity, "label": p.label, "losses": {k: e.to_json() for k, e in p.losses.items()}}
            for p in self.points
        ]
        return {"phase": self.phase, "axis": self.axis, "name": self.name, "points": points}


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """n*(ε, radius): least labels at which the expected held-out loss is within ε of a floor."""

    radius: float
    epsilon: float
    reference: Literal["own", "least"]
    """The floor of this radius, or the least one over all radii."""
    labels: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        plain = {"radius": self.radius, "epsilon": self.epsilon, "reference": self.reference}
        return plain | {"labels": self.labels.to_json()}
