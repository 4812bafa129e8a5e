"""The fitted law of a learning curve as it is drawn, and the middle subset of every label count that it is set beside.

held out E + A·n^−a + C·n^−2a, training E − A·n^−a + C·n^−2a
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from limen.records.budget import Budget, CurvePoint


@dataclass(frozen=True, slots=True)
class Law:
    """Numbers of a fitted law of the loss.

    >>> Law(0.5, 20.0, 0.0, 1.0, ("held-out", "training")).loss(100, "training")
    0.3
    """

    asymptote: float
    amplitude: float
    curvature: float
    exponent: float
    series: tuple[str, ...]
    """The sides that were fitted."""

    def loss(self, n: float, series: str) -> float:
        """What the law says at `n` labels."""
        step = float(n**-self.exponent)
        return self.asymptote + (-1 if series == "training" else 1) * self.amplitude * step + self.curvature * step**2


def drawn(budget: Budget) -> Law | None:
    """The law that may be drawn among losses; a law of the error has no place there."""
    found = budget.extrapolation
    if found is None or not budget.curve or found.law.get("error"):
        return None
    if not {"asymptote", "amplitude", "curvature", "exponent"} <= set(found.law):
        return None
    series = ("held-out", "training") if found.law.get("two_sided", 1.0) else ("held-out",)
    law = found.law
    return Law(law["asymptote"], law["amplitude"], law["curvature"], law["exponent"], series)


def loss_of(point: CurvePoint, series: str) -> float | None:
    """The loss of one fitted subset on one side; None where it diverged."""
    return point.empirical_loss if series == "training" else point.adaptation_loss


def middle(points: Iterable[CurvePoint], series: str) -> dict[int, float]:
    """Label count → loss of its middle subset, in increasing order."""
    known: dict[int, list[float]] = {}
    for point in points:
        if (loss := loss_of(point, series)) is not None:
            known.setdefault(point.n, []).append(loss)
    return {n: sorted(losses)[(len(losses) - 1) // 2] for n, losses in sorted(known.items())}
