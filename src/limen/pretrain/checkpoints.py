"""Which steps of a run are kept, and their weights as plain arrays.

log-spaced(c, K) = 0, then K·r^{−(c−2)}, …, K·r^{−1}, K, with r = min(2, K^{1/(c−2)}): each checkpoint doubles the
number of updates, unless that many doublings do not fit into K updates; then they are spaced evenly from 1 to K.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.records.observer import Step

Arrays = dict[str, NDArray[np.generic]]


def log_spaced(count: int, steps: int) -> tuple[int, ...]:
    """`count` distinct steps from 0 to `steps`, both included.

    >>> log_spaced(6, 1600)
    (0, 100, 200, 400, 800, 1600)
    >>> log_spaced(5, 4)
    (0, 1, 2, 3, 4)

    Raises ValueError for fewer than 2 or more than steps + 1 checkpoints.
    """
    if not 2 <= count <= steps + 1:
        raise ValueError(f"checkpoints: expected 2 to {steps + 1} (one per update and the start), got {count}")
    ratio = min(2.0, steps ** (1 / (count - 2))) if count > 2 else 2.0
    chosen = {0, *(round(steps / ratio**k) for k in range(count - 1))}
    # Rounding merges early checkpoints of long lists; the smallest steps not yet kept take their places.
    spare = (step for step in range(steps + 1) if step not in chosen)
    while len(chosen) < count:
        chosen.add(next(spare))
    return tuple(sorted(chosen))


def array_name(step: int, tensor: str) -> str:
    """Name of one tensor of one checkpoint among the arrays of a record.

    >>> array_name(100, "stem.0.weight")
    'step-000100/stem.0.weight'
    """
    return f"step-{step:06d}/{tensor}"


def pack(checkpoints: Mapping[int, Arrays]) -> Arrays:
    """All tensors of all checkpoints as one flat dict of arrays; `unpack` is its inverse."""
    return {array_name(s, name): a for s, arrays in checkpoints.items() for name, a in arrays.items()}


def unpack(arrays: Mapping[str, NDArray[np.generic]], step: int) -> Arrays:
    """The tensors of one checkpoint; empty when there is no such checkpoint."""
    prefix = array_name(step, "")
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


class CheckpointKeeper:
    """Observer that copies the state of the model after given numbers of updates, 0 being the start."""

    def __init__(self, steps: tuple[int, ...]) -> None:
        self.steps = frozenset(steps)
        self.checkpoints: dict[int, Arrays] = {}
        self._model: Any = None

    def begin(self, model: Any, optimizer: Any, steps: int) -> None:
        """Keep the initial weights if step 0 was asked for."""
        del optimizer, steps
        self._model = model
        self._keep(0)

    def step(self, step: Step) -> None:
        """Keep the weights if this step was asked for."""
        self._keep(step.done)

    def end(self) -> None:
        """Let go of the model."""
        self._model = None

    def _keep(self, done: int) -> None:
        if done in self.steps and done not in self.checkpoints:  # a resumed run brings those it had
            state = self._model.state_dict()
            self.checkpoints[done] = {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}
