"""What theory says of one optimizer on one quadratic problem: the answer of `limen predict sgd`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from limen.arrays.checks import finite_or_none


@dataclass(frozen=True, slots=True)
class SgdPrediction:
    """Numbers by mode [L] and by step [T]; None where there is none (no equilibrium, no finite limit)."""

    law: str
    """discrete, langevin or epoch."""
    start: str
    """stationary or fixed."""
    stable: bool
    max_stable_learning_rate: float | None
    """Edge of stability; None where no learning rate is stable, or all are."""
    curvature: tuple[float, ...]
    position_variance: tuple[float | None, ...]
    """Var x_l, parameter²."""
    velocity_variance: tuple[float | None, ...]
    """Var v_l, (loss/parameter)²; v is −1 times the optimizer's buffer."""
    temperature: tuple[float | None, ...]
    """h_l·Var x_l, loss."""
    regime: tuple[str, ...]
    relaxation_steps: tuple[float | None, ...]
    steps: tuple[int, ...]
    displacement: tuple[float | None, ...]
    """Σ_l E(x_{k+t} − x_k)² at each step count, parameter²."""
    exponent: tuple[float | None, ...]
    """d ln displacement/d ln t."""
    autocorrelation: tuple[tuple[float | None, ...], ...]
    """r_l(t): a row per step."""
    local_displacement: float | None
    """E‖θ_{k+1} − θ_k‖² at equilibrium, parameter²."""
    excess_loss: float | None
    """½ Σ h_l Var x_l of the regularised loss."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, schema `limen.predict/1`."""
        by_mode = ("curvature", "position_variance", "velocity_variance", "temperature", "regime", "relaxation_steps")
        pairs = {
            "displacement": [{"step": s, "value": v} for s, v in zip(self.steps, self.displacement, strict=True)],
            "exponent": [{"step": s, "value": v} for s, v in zip(self.steps, self.exponent, strict=True)],
            "autocorrelation": [
                {"step": s, "values": list(row)} for s, row in zip(self.steps, self.autocorrelation, strict=True)
            ],
        }
        one = ("law", "start", "stable", "max_stable_learning_rate", "local_displacement", "excess_loss")
        return (
            {"schema": "limen.predict/1", "theory": "sgd"}
            | {name: getattr(self, name) for name in one}
            | {name: list(getattr(self, name)) for name in by_mode}
            | pairs
        )


def finite(values: Iterable[float]) -> tuple[float | None, ...]:
    """NaN and infinity as None.

    >>> finite([1.0, float("nan"), float("inf")])
    (1.0, None, None)
    """
    return tuple(finite_or_none(value) for value in values)
