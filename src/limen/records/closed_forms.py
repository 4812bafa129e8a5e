"""What closed forms say beside what was measured: scores of the encoder, the curve of squared loss, orders of encoders.

A score never stands alone: `ClosedForms` holds the measured loss that it is a guess of. A predicted loss is no estimate
and has no interval: it is set against one, and `outcome` says on which side of it the prediction lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from limen.records.estimate import Estimate

Outcome = Literal["inside", "above", "below", "unknown"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What theory says that a quantity is; a missing value has a reason."""

    value: float | None
    method: str
    assumptions: tuple[str, ...] = ()
    reference: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError("a prediction without a value needs a reason, and only then")

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `asdict`."""
        return cls(**{**plain, "assumptions": tuple(plain["assumptions"])})


@dataclass(frozen=True, slots=True)
class Agreement:
    """One prediction set against one estimate of the same quantity."""

    value: float | None
    """The prediction."""
    difference: float | None
    """Prediction less measured value."""
    outcome: Outcome
    """Where the prediction lies as seen from the measured interval."""


@dataclass(frozen=True, slots=True)
class PredictedPoint:
    """Ridge regression on one label count: measured held-out squared loss, and what was predicted for it."""

    n: int
    penalty: float
    measured: Estimate
    """Mean over the fitted subsets and the held-out rows."""
    subsets: tuple[float, ...]
    """Mean held-out loss of every fitted subset."""
    training_loss: float
    """Mean over the fitted subsets."""
    predicted: Mapping[str, Agreement]
    """`spectrum`, `gcv`, `leave_one_out` → the loss each foretells."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return asdict(self) | {"measured": self.measured.to_json(), "subsets": list(self.subsets)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        predicted = {name: Agreement(**agreement) for name, agreement in plain["predicted"].items()}
        subsets, measured = tuple(plain["subsets"]), Estimate.from_json(plain["measured"])
        return cls(**{**plain, "measured": measured, "subsets": subsets, "predicted": predicted})


@dataclass(frozen=True, slots=True)
class ClosedForms:
    """Scores beside the measured loss, and the learning curve of squared loss, predicted and measured."""

    measured_loss: Estimate
    """`terms.adaptation_loss` of the budget: what the scores are guesses of."""
    scores: Mapping[str, Estimate] = field(default_factory=dict)
    """`logme`, `h_score`, `h_score_shrunk`, `leep`, `nce`: higher is better."""
    curve: tuple[PredictedPoint, ...] = ()
    predictors: Mapping[str, Prediction] = field(default_factory=dict)
    """How each name of `PredictedPoint.predicted` predicts; its value is that at the largest label count."""
    forecast: Mapping[int, float] = field(default_factory=dict)
    """More labels than were fitted → the loss that the spectrum predicts there at its best penalty."""
    floors: Mapping[str, Prediction] = field(default_factory=dict)
    """`training`, `both`: floors of squared loss by formula."""
    reason: str = ""
    """Why there are none."""

    def to_json(self) -> dict[str, Any]:
        """Plain data under the stable key `closed_forms`."""
        return {
            "measured_loss": self.measured_loss.to_json(),
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "curve": [point.to_json() for point in self.curve],
            "predictors": {name: _plain(one) for name, one in self.predictors.items()},
            "forecast": [{"n": n, "value": value} for n, value in self.forecast.items()],
            "floors": {name: _plain(one) for name, one in self.floors.items()},
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            measured_loss=Estimate.from_json(plain["measured_loss"]),
            scores={name: Estimate.from_json(score) for name, score in plain["scores"].items()},
            curve=tuple(PredictedPoint.from_json(point) for point in plain["curve"]),
            predictors={name: Prediction.from_json(one) for name, one in plain["predictors"].items()},
            forecast={point["n"]: point["value"] for point in plain["forecast"]},
            floors={name: Prediction.from_json(one) for name, one in plain["floors"].items()},
            reason=plain["reason"],
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """How one score orders the encoders of a task, beside the order that was measured."""

    task: str
    score: str
    by_score: tuple[str, ...]
    """Encoders, best first."""
    by_loss: tuple[str, ...]
    tau: Estimate
    """Kendall's tau-b of score and measured loss: 1 = the same order."""

    def to_json(self) -> dict[str, Any]:
        """Plain data under the stable keys of `rankings[]`."""
        orders = {"by_score": list(self.by_score), "by_loss": list(self.by_loss)}
        return {"task": self.task, "score": self.score, **orders, "tau": self.tau.to_json()}


def _plain(prediction: Prediction) -> dict[str, Any]:
    return asdict(prediction) | {"assumptions": list(prediction.assumptions)}
