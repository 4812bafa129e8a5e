"""How much memory a training step needs, before it is made.

    weights + gradients + what the optimizer keeps (0, 1 or 2 copies) + B·a,

a = bytes that autograd saves for one example, counted on a small batch of the run itself. Storage that several saved
tensors share is counted once. A run that would not fit is refused before it starts, with the batch that would. Whether
the weights alone fit is asked before they are drawn.
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
    available = SPARE * psutil.virtual_memory().available
    if needed <= available:
        return round(needed)
    fits = int((available - fixed) / per_example) if per_example else 0
    if fits < 2:
        raise BadInput(_too_large(parameters, needed, available))
    what = f"expected at most {fits:,} examples, got {batch:,}, which need {human(needed)} of {human(available)}"
    cause = f"{human(per_example)} of activations an example"
    fix = f"take batch_size = {fits} or less, or micro-batches of at most {fits} examples (accumulation)"
    raise BadInput(Problem(where, what, cause, fix))


def check_weights_memory(make: Callable[[], Any], optimizer: str) -> int:
    """Numbers in the weights of the module that `make` builds, found without taking memory for them.

    Raises BadInput where weights, gradients and what the optimizer keeps are more than there is memory.

    >>> check_weights_memory(lambda: torch.nn.Linear(9, 10), "adam")
    100
    """
    with torch.random.fork_rng(), torch.device("meta"):
        parameters = sum(int(parameter.numel()) for parameter in make().parameters())
    needed, available = 4 * parameters * (2 + COPIES[optimizer]), SPARE * psutil.virtual_memory().available
    if needed > available:
        raise BadInput(_too_large(parameters, needed, available))
    return parameters


def _too_large(parameters: int, needed: float, available: float) -> Problem:
    what = f"expected a smaller model: a step of its {parameters:,} weights needs {human(needed)} of {human(available)}"
    return Problem("architecture", what, "weights, gradients and what the optimizer keeps", "take a smaller width")
