"""The training loop: batches in, updates out, everything else is an observer.

Update k = 1, …, K at weights θ:  θ ← optimizer(∇ℓ(batch_k; θ)) with learning rate η·factor(k−1).

Divergence is a value. A loss that is NaN or infinite ends the run before that update is made; the result says at which
step, with which learning rate, after which last finite loss. Weights up to then stay as they are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from limen.records.observer import Step, StepObserver


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained, on what, how long."""

    model: Any
    optimizer: Any
    losses: Iterator[Callable[[], Any]]
    """For each step, a function that computes the scalar loss tensor of its batch."""
    learning_rate: Callable[[int], float]
    """Learning rate of the next update, given the updates made so far."""
    steps: int


@dataclass(frozen=True, slots=True)
class Diverged:
    """A run that ended because its loss was no longer a finite number."""

    step: int
    """Updates made before it; the loss of update step + 1 was not finite."""
    learning_rate: float
    loss: str
    """`nan`, `inf` or `-inf`."""
    last_finite_loss: float | None

    @property
    def reason(self) -> str:
        """What happened and what to do, in one sentence."""
        last = "no finite loss before" if self.last_finite_loss is None else f"last loss {self.last_finite_loss:.4g}"
        return (
            f"the loss was {self.loss} after {self.step} updates at learning rate {self.learning_rate:g} ({last}); "
            "lower the learning rate or warm it up"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run went."""

    done: int
    """Updates made."""
    losses: tuple[float, ...]
    """Loss of every update, at the weights before it."""
    seconds: float
    diverged: Diverged | None


def train(training: Training, observers: Sequence[StepObserver] = ()) -> Outcome:
    """Make the updates of `training` in place, showing each to the observers.

    Raises nothing of its own; what a loss function or an observer raises ends the run after every observer's `end`.
    """
    begun = time.perf_counter()
    losses: list[float] = []
    diverged: Diverged | None = None
    for observer in observers:
        observer.begin(training.model, training.optimizer, training.steps)
    try:
        for done, batch_loss in zip(range(training.steps), training.losses, strict=False):
            learning_rate = training.learning_rate(done)
            loss = batch_loss()
            value = float(loss.detach())
            if not math.isfinite(value):
                diverged = Diverged(done, learning_rate, str(value), losses[-1] if losses else None)
                break
            _update(training.optimizer, loss, learning_rate)
            losses.append(value)
            step = Step(done + 1, training.steps, value, learning_rate, time.perf_counter() - begun)
            for observer in observers:
                observer.step(step)
    finally:
        for observer in observers:
            observer.end()
    return Outcome(len(losses), tuple(losses), time.perf_counter() - begun, diverged)


def _update(optimizer: Any, loss: Any, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
