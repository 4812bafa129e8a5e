"""Observer that says how far a run is, every now and then.

Time left = (elapsed since this process began the run) · updates to make / updates made by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from limen.records.observer import Step
from limen.records.units import duration

EVERY = 10.0
"""Seconds between two sentences."""


class Telling:
    """Calls `say` with a sentence after EVERY seconds of the run, and so on."""

    def __init__(self, say: Callable[[str], None], every: float = EVERY) -> None:
        self.say, self.every = say, every
        self._begun = self._last = time.monotonic()
        self._first: int | None = None

    def begin(self, model: Any, optimizer: Any, steps: int) -> None:
        """The clock starts."""
        del model, optimizer, steps
        self._begun = self._last = time.monotonic()

    def step(self, step: Step) -> None:
        """Say something if it is time."""
        self._first = step.done - 1 if self._first is None else self._first
        now = time.monotonic()
        if now - self._last >= self.every:
            self._last = now
            left = (now - self._begun) * (step.steps - step.done) / (step.done - self._first)
            self.say(f"update {step.done:,} of {step.steps:,}, loss {step.loss:.4g}, {duration(left)} left")

    def end(self) -> None:
        """Nothing more is said."""
