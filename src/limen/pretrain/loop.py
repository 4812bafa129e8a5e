"""The training loop: batches in, updates out, everything else is an observer.

Update k = 1, …, K at weights θ:  θ ← optimizer(g_k) with learning rate η·factor(k−1),  g_k = mean of ∇ℓ(micro-batch; θ)
over the micro-batches of update k. Its loss is the mean of theirs. With several processes each takes its share of the
micro-batches, and losses and gradients are means over all of them: the same numbers up to the order of sums.

Divergence is a value. A loss or gradient that is NaN or infinite ends the run before that update is made, or, under
`on_nan = "skip"`, the update is left out and counted; PATIENCE of them in a row end the run. The result says at which
step, with which learning rate, after which last finite loss. Weights up to then stay as they are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from limen.pretrain.processes import Processes
from limen.records.observer import Step, StepObserver

PATIENCE = 10
"""Updates in a row that may be left out because they are not finite."""

Micro = Callable[[], Any]
"""Computes the scalar loss tensor of one micro-batch."""


@dataclass(frozen=True, slots=True)
class Before:
    """What an interrupted run had done; nothing at the beginning."""

    losses: tuple[float, ...] = ()
    skipped: tuple[int, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained, on what, how long."""

    model: Any
    optimizer: Any
    losses: Iterator[Sequence[Micro]]
    """For each update still to make, the micro-batches of this process."""
    learning_rate: Callable[[int], float]
    """Learning rate of the next update, given the updates made so far."""
    steps: int
    on_nan: Literal["stop", "skip"] = "stop"
    before: Before = field(default_factory=Before)
    processes: Processes = field(default_factory=Processes)


@dataclass(frozen=True, slots=True)
class Diverged:
    """A run that ended because its loss or gradient was no longer a finite number."""

    step: int
    """Updates made before it; the loss of update step + 1 was not finite."""
    learning_rate: float
    loss: str
    """`nan`, `inf` or `-inf`; `gradient` where only that was not finite."""
    last_finite_loss: float | None

    @property
    def reason(self) -> str:
        """What happened and what to do, in one sentence."""
        last = "no finite loss before" if self.last_finite_loss is None else f"last loss {self.last_finite_loss:.4g}"
        what = "the gradient was not finite" if self.loss == "gradient" else f"the loss was {self.loss}"
        return (
            f"{what} after {self.step} updates at learning rate {self.learning_rate:g} ({last}); "
            "lower the learning rate or warm it up"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run went."""

    done: int
    """Updates made, those left out included."""
    losses: tuple[float, ...]
    """Loss of every update, at the weights before it; of one that was left out, the last finite one."""
    seconds: float
    diverged: Diverged | None
    skipped: tuple[int, ...] = ()
    """Updates (1, 2, …) that were left out because they were not finite."""
    waited: float = 0.0
    """Seconds of this process spent waiting for batches."""


def train(training: Training, observers: Sequence[StepObserver] = ()) -> Outcome:
    """Make the updates of `training` in place, showing each to the observers.

    Raises nothing of its own; what a loss function or an observer raises ends the run after every observer's `end`.
    """
    run = _Run(training)
    for observer in observers:
        observer.begin(training.model, training.optimizer, training.steps)
    try:
        while len(run.losses) < training.steps and run.diverged is None:
            step = run.update()
            if step is None:
                break
            for observer in observers:
                observer.step(step)
    finally:
        for observer in observers:
            observer.end()
    return Outcome(len(run.losses), tuple(run.losses), run.seconds, run.diverged, tuple(run.skipped), run.waited)


class _Run:
    """The state of a run between two updates."""

    def __init__(self, training: Training) -> None:
        self.training, self.begun = training, time.perf_counter()
        self.losses, self.skipped = list(training.before.losses), list(training.before.skipped)
        self.diverged: Diverged | None = None
        self.waited, self.in_a_row = 0.0, 0

    @property
    def seconds(self) -> float:
        """Since the run first began, interruptions left out."""
        return self.training.before.seconds + time.perf_counter() - self.begun

    def update(self) -> Step | None:
        """Make one update; None where there are no more batches, or the run has diverged."""
        training, done = self.training, len(self.losses)
        asked = time.perf_counter()
        micros = next(training.losses, None)
        self.waited += time.perf_counter() - asked
        if micros is None:
            return None
        learning_rate = training.learning_rate(done)
        value = self._accumulate(micros)
        bad = "" if math.isfinite(value) else str(value)
        if not bad and training.on_nan == "skip" and not _finite(training.optimizer):
            bad = "gradient"
        if bad and not self._skip(bad, learning_rate):
            return None
        if not bad:
            self.in_a_row = 0
            for group in training.optimizer.param_groups:
                group["lr"] = learning_rate
            training.optimizer.step()
            self.losses.append(value)
        return Step(len(self.losses), training.steps, self.losses[-1], learning_rate, self.seconds)

    def _accumulate(self, micros: Sequence[Micro]) -> float:
        """Gradients of the mean over all micro-batches of all processes, and that mean."""
        training = self.training
        training.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for micro in micros:
            loss = micro()
            value = float(loss.detach())
            total += value / len(micros)
            if not math.isfinite(value):
                break  # its gradient would be no number; what is not finite is told by the mean
            (loss / len(micros) if len(micros) > 1 else loss).backward()
        mean = training.processes.mean(total)
        if math.isfinite(mean):
            groups = training.optimizer.param_groups
            training.processes.average([parameter for group in groups for parameter in group["params"]])
        return mean

    def _skip(self, bad: str, learning_rate: float) -> bool:
        """Leave one update out if the run may; else it has diverged."""
        last = self.losses[-1] if self.losses else None
        self.in_a_row += 1
        if self.training.on_nan == "skip" and self.in_a_row <= PATIENCE and last is not None:
            self.losses.append(last)
            self.skipped.append(len(self.losses))
            return True
        self.diverged = Diverged(len(self.losses), learning_rate, bad, last)
        return False


def _finite(optimizer: Any) -> bool:
    """Whether every gradient is."""
    return all(
        bool(parameter.grad.isfinite().all())
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    )
