"""A learning curve: train and held-out loss of every fitted subset, what it falls to, and how fast.

One point a (label count, seed); the largest label count is all fit rows, once, with no seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Self

from limen.records.budget import Budget, CurvePoint, Extrapolation
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate

SCHEMA = "limen.learning-curve/1"


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Points, floor and extrapolation of one adapter on one set of rows."""

    loss: Literal["log", "squared"]
    method: str
    confidence: float
    n_holdout: int
    classes: int
    radius: float | None
    points: tuple[CurvePoint, ...]
    floor: Estimate | None
    """Least loss that the adapter's class allows, with its interval; None for adapters without a lower side."""
    extrapolation: Extrapolation | None
    """The fitted law, the labels it needs for a target, and how it did on label counts it had not seen."""

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """The curve of a budget."""
        return cls(
            loss=budget.loss,
            method=budget.method,
            confidence=budget.confidence,
            n_holdout=budget.n_holdout,
            classes=budget.classes,
            radius=budget.radius,
            points=budget.curve,
            floor=budget.terms.get("minimal_adaptation_loss"),
            extrapolation=budget.extrapolation,
        )

    def table(self) -> list[dict[str, Any]]:
        """One row a fitted subset: n, seed, train_loss, heldout_loss, error; a list that pandas and polars read."""
        return [
            {
                "n": point.n,
                "seed": point.seed,
                "train_loss": point.empirical_loss,
                "heldout_loss": point.adaptation_loss,
                "error": point.error,
            }
            for point in self.points
        ]

    def to_frame(self) -> Any:
        """The table as a pandas DataFrame. Raises BadInput where pandas is not installed."""
        try:
            pandas = import_module("pandas")  # an extra of the user's own: nothing else here needs it
        except ImportError as error:
            fix = "pip install pandas, or read .table(): a list of rows"
            raise BadInput(Problem("to_frame", "pandas is not installed", fix=fix)) from error
        return pandas.DataFrame(self.table())

    def to_json(self) -> dict[str, Any]:
        """The document of schema limen.learning-curve/1."""
        law = self.extrapolation
        return {
            "schema": SCHEMA,
            "loss": self.loss,
            "method": self.method,
            "confidence": self.confidence,
            "n_holdout": self.n_holdout,
            "classes": self.classes,
            "radius": self.radius,
            "points": self.table(),
            "floor": self.floor.to_json() if self.floor else None,
            "extrapolation": law.to_json() if law else None,
        }
