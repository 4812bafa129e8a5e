"""Batches as users have them: a tensor, or tuples, lists and mappings of tensors whose leading dimension is examples.

A batch's size is the leading dimension of its first tensor; every tensor with that leading dimension is one row an
example, all else belongs to the batch as a whole and is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def batch_size(batch: Any) -> int | None:
    """Examples of a batch; None where no tensor tells.

    >>> batch_size((torch.zeros(3, 2), torch.zeros(3))), batch_size({"x": torch.zeros(5)}), batch_size("text")
    (3, 5, None)
    """
    first = next(_tensors(batch), None)
    return None if first is None else int(first.shape[0])


def rows_of(batch: Any, rows: NDArray[np.int64]) -> Any:
    """The batch of some of the examples, in that order.

    >>> rows_of((torch.arange(4), "name"), np.array([2, 0]))
    (tensor([2, 0]), 'name')
    """
    size = batch_size(batch)

    def pick(tensor: Any) -> Any:
        return tensor[torch.from_numpy(rows).to(tensor.device)] if tensor.ndim and tensor.shape[0] == size else tensor

    return _mapped(pick, [batch])


def joined(batches: Sequence[Any]) -> Any:
    """One batch of the examples of all, in order; what is not one row an example is taken from the first.

    >>> joined([(torch.zeros(2), 7), (torch.ones(1), 7)])
    (tensor([0., 0., 1.]), 7)
    """
    sizes = [batch_size(batch) for batch in batches]

    def join(*parts: Any) -> Any:
        rows = all(part.ndim and part.shape[0] == size for part, size in zip(parts, sizes, strict=True))
        return torch.cat(parts) if rows else parts[0]

    return batches[0] if len(batches) == 1 else _mapped(join, batches)


def _tensors(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        if batch.ndim:
            yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, tuple | list):
        for value in batch:
            yield from _tensors(value)


def _mapped(function: Any, batches: Sequence[Any]) -> Any:
    """`function` of the tensors at every place of batches of one structure."""
    first = batches[0]
    if isinstance(first, torch.Tensor):
        return function(*batches)
    if isinstance(first, Mapping):
        return {key: _mapped(function, [batch[key] for batch in batches]) for key in first}
    if isinstance(first, tuple | list):
        parts = [_mapped(function, list(place)) for place in zip(*batches, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first
