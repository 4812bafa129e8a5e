"""How far a task's inputs lie from those of pretraining: as a distribution, and in the directions that labels need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """How well a classifier tells two sets of features apart; AUC 0.5 = not at all, 1 = completely."""

    auc: Estimate
    p: float
    """Mann-Whitney test of "one population" on the half that the classifier has not seen."""
    n: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {"auc": self.auc.to_json(), "p": self.p, "n": list(self.n)}


@dataclass(frozen=True, slots=True)
class StructuralShift:
    """Share of a task's label signal outside the k strongest directions of pretraining, for several k."""

    top: tuple[int, ...]
    outside: tuple[Estimate, ...]
    """Of the variance of the one-hot labels, 0 to 1: what no linear head on the k directions can say."""
    bound: tuple[float | None, ...] = ()
    """On a graph: (φ/λ_{k+1})/variance ≥ outside, None where λ_{k+1} = 0; empty for features."""
    disagreement: float | None = None
    """On a graph: φ, the probability that a positive pair has two labels."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {
            "top": list(self.top),
            "outside": [share.to_json() for share in self.outside],
            "bound": list(self.bound),
            "disagreement": self.disagreement,
        }
