"""Accuracy on another population as the one on one's own foretells it, and what is above or below that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Accuracies:
    """How many rows a model got right in distribution and out of it."""

    model: str
    run: str
    """Models of one run are not independent of each other."""
    right: int
    rows: int
    shifted_right: int
    shifted_rows: int


@dataclass(frozen=True, slots=True)
class EffectiveRobustness:
    """The line of logits through the baseline models and how far every model lies above it."""

    intercept: Estimate
    slope: Estimate
    baseline: tuple[str, ...]
    residuals: Mapping[str, Estimate] = field(default_factory=dict)
    """Model → logit out of distribution less the line's, the line fitted without the model's run."""
    points: Mapping[str, Estimate] = field(default_factory=dict)
    """Model → accuracy out of distribution less the line's."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {
            "intercept": self.intercept.to_json(),
            "slope": self.slope.to_json(),
            "baseline": list(self.baseline),
            "residuals": {model: one.to_json() for model, one in self.residuals.items()},
            "points": {model: one.to_json() for model, one in self.points.items()},
        }


@dataclass(frozen=True, slots=True)
class WorstGroup:
    """The largest mean over groups of rows, with intervals that hold for all groups at once."""

    groups: Mapping[str, Estimate]
    worst: Estimate
    """Its value is the largest observed mean, too large on average; its interval is that of the largest true one."""
    named: str
    """Group of the largest observed mean."""
    candidates: tuple[str, ...]
    """Groups that may be the worst: whose high end is not below the interval of the worst."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        groups = {name: one.to_json() for name, one in self.groups.items()}
        worst = {"worst": self.worst.to_json(), "named": self.named, "candidates": list(self.candidates)}
        return {"groups": groups} | worst
