"""What may look at a training loop while it runs, and what it is shown.

An observer reads and never writes: a run gives the same weights bit for bit with any observers or with none.
Model and optimizer are typed as Any so that this vocabulary needs no deep-learning library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Step:
    """One update that was just made."""

    done: int
    """Updates made so far, this one included: 1, 2, …"""
    steps: int
    """Updates the run will make."""
    loss: float
    """Loss of this update's batch, at the weights before the update."""
    learning_rate: float
    seconds: float
    """Since the run began."""


class StepObserver(Protocol):
    """Sees a run begin, every update, and its end (also when it diverges or is interrupted)."""

    def begin(self, model: Any, optimizer: Any, steps: int) -> None:
        """The run is about to make its first update; the model holds the initial weights."""

    def step(self, step: Step) -> None:
        """One update was made; the model holds the new weights."""

    def end(self) -> None:
        """No further update will be made."""
