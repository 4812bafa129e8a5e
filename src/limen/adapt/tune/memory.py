"""Memory that tuning needs, before it starts: what is held throughout, and what a batch of B rows adds.

    4·P              weights of the copy that is tuned (P parameters)
    16·M             of the M that move: gradient, both moments of AdamW, the weights of the best epoch so far
    B·(a + 2·w)      a: bytes autograd saves for one of the longest rows; w: the widest saved tensor of one row, twice,
                     for the gradients that flow back beside it

a and w are counted on forward passes of one and of two of the longest rows: their difference leaves out what does not
grow with the batch (the weights themselves). Tensors are counted, not what the C allocator keeps beyond them: on MiniLM
the resident size rose by 1.0 (fine-tuning) to 2.2 times (LoRA) the forecast, so half of the free memory may be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch

from limen.models.trainable.trainable import Trainable
from limen.records.errors import BadInput, Problem
from limen.records.units import human

SPARE = 0.5
"""Share of the available memory that tuning may take."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes: `fixed` throughout, `row` for every row of a batch."""

    fixed: int
    row: int
    batch_size: int

    @property
    def total(self) -> int:
        """At the batch size asked for.

        >>> Forecast(100, 10, 4).total
        140
        """
        return self.fixed + self.batch_size * self.row


def forecast(
    encoder: Trainable, moving: dict[str, Any], loss: Callable[[Any], Any], ready: Any, batch: int
) -> Forecast:
    """Bytes that tuning on these ready rows takes; `loss` maps features to a scalar."""
    lengths = encoder.lengths(ready)
    longest = np.argsort(-lengths, kind="stable")[:1].repeat(2)
    (one, _), (two, widest) = (_saved(encoder, loss, ready, longest[:k]) for k in (1, 2))
    parameters = sum(p.numel() * p.element_size() for p in encoder.module.parameters())
    moved = sum(p.numel() * p.element_size() for p in moving.values())
    return Forecast(parameters + 4 * moved, max(two - one, 0) + widest, batch)  # widest of two rows = 2·w


def check_memory(need: Forecast, available: int | None = None) -> None:
    """Raise BadInput where a forecast exceeds the memory at hand, with a batch size that fits.

    >>> check_memory(Forecast(fixed=100, row=10, batch_size=50), available=400)
    Traceback (most recent call last):
    limen.records.errors.BadInput: batch_size: error: expected tuning to fit into 200 B, batches of 50 rows need 600 B
      cause: 100 B for weights and optimizer, 10 B for every row of a batch
      fix:   batch_size = 10
    """
    at_hand = SPARE * (psutil.virtual_memory().available if available is None else available)
    if need.total <= at_hand:
        return
    raise BadInput(_problem(need, f"expected tuning to fit into {human(int(at_hand))}", at_hand))


def out_of_memory(need: Forecast, error: RuntimeError) -> BadInput | RuntimeError:
    """What to raise for an error of torch: the named failure where it had no memory, the error itself elsewhere."""
    text = str(error)
    if "can't allocate memory" not in text and "out of memory" not in text:
        return error
    return BadInput(_problem(need, "the memory ran out while tuning", need.total / 2))


def _problem(need: Forecast, expected: str, at_hand: float) -> Problem:
    fits = int((at_hand - need.fixed) / need.row) if need.row else 0
    fix = f"batch_size = {min(fits, need.batch_size - 1)}" if fits >= 1 else "a smaller encoder, or lora or partial"
    what = f"{expected}, batches of {need.batch_size} rows need {human(need.total)}"
    cause = f"{human(need.fixed)} for weights and optimizer, {human(need.row)} for every row of a batch"
    return Problem("batch_size", what, cause, fix)


def _saved(encoder: Trainable, loss: Callable[[Any], Any], ready: Any, rows: Any) -> tuple[int, int]:
    """Bytes that autograd saves for some rows, storage of the weights left out, and those of the largest tensor."""
    weights = {p.untyped_storage().data_ptr() for p in encoder.module.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = encoder.tensors(ready, rows)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss(encoder.features(batch))
    return sum(seen.values()), max(seen.values(), default=0)
