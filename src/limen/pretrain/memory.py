"""How much memory a training step needs, before it is made.

    weights + gradients + what the optimizer keeps (0, 1 or 2 copies) + B·a,

a = bytes that autograd saves for one example, counted on a small batch of the run itself. Storage that several saved
tensors share is counted once. A run that would not fit is refused before it starts, with the batch that would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import torch

from limen.records.errors import BadInput, Problem
from limen.records.units import human

COPIES = {"sgd": 1, "adam": 2, "adamw": 2}
"""Vectors as long as the weights that an optimizer keeps."""
SPARE = 0.9
"""Share of the available memory that a run may take."""


def saved_bytes(loss: Callable[[], Any]) -> int:
    """Bytes that autograd saves while a loss is computed.

    >>> x = torch.ones(1000, requires_grad=True)
    >>> saved_bytes(lambda: (x.exp() ** 2).sum()) >= 4000
    True
    """
    seen: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss()
    return sum(seen.values())


def check_memory(parameters: int, optimizer: str, per_example: float, batch: int, where: str = "batch_size") -> int:
    """Bytes a step needs. Raises BadInput where they are not there, with a batch size that fits.

    >>> check_memory(1000, "sgd", 100.0, 8)
    12800
    """
    fixed = 4 * parameters * (2 + COPIES[optimizer])
    needed = fixed + batch * per_example
    available = psutil.virtual_memory().available
    if needed <= SPARE * available:
        return round(needed)
    fits = int((SPARE * available - fixed) / per_example) if per_example else 0
    smaller = f"micro-batches of at most {fits} examples (accumulation)" if fits > 0 else "a smaller model"
    what = f"expected at most {human(SPARE * available)} for a step, {batch} examples need {human(needed)}"
    raise BadInput(Problem(where, what, f"{human(per_example)} of activations an example", f"take {smaller}"))
