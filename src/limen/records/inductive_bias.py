"""What the pretraining loss leaves open: variance of a task's target between runs of the same pretraining loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class InductiveBias:
    """Var(target | L_pre) between runs, measurement variance taken off; unclipped, so that it may be negative."""

    task: str
    delta: float
    """Pairs are matched where their measured pretraining losses differ by at most this."""
    pairs: int
    runs: int
    slope: float | None
    """d target/d L_pre that was taken out of matched pairs; None where none was."""
    measurement: float
    """Mean measurement variance of a target among the matched pairs."""
    overall: Estimate
    within_family: Estimate
    """Between runs of one family: seeds."""
    across_families: Estimate
    """Between runs of different families: seeds, and what the families differ in."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        plain: dict[str, Any] = {
            key: getattr(self, key) for key in ("task", "delta", "pairs", "runs", "slope", "measurement")
        }
        kinds = ("overall", "within_family", "across_families")
        return plain | {kind: getattr(self, kind).to_json() for kind in kinds}


@dataclass(frozen=True, slots=True)
class TaskVariance:
    """How much of the difference of two runs of the same pretraining loss is of one task and not of all of them."""

    tasks: tuple[str, ...]
    delta: float
    pairs: int
    runs: int
    common: Estimate
    """Variance between runs that all tasks share."""
    specific: Estimate
    """Variance between runs that differs from task to task."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        plain: dict[str, Any] = {"tasks": list(self.tasks), "delta": self.delta, "pairs": self.pairs, "runs": self.runs}
        return plain | {"common": self.common.to_json(), "specific": self.specific.to_json()}
