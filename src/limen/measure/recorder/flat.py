"""The trained weights as flat numpy arrays that share torch's memory.

Every parameter is read in the order in which its own numbers lie in memory, so that nothing is copied for contiguous,
transposed or channels-last weights; gradients and buffers follow the parameter's order (copied where theirs differs).
On other devices they are copied to main memory at every reading (correct, slower).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def memory_order(tensor: Any) -> tuple[int, ...] | None:
    """Dimensions by falling stride; None where the numbers already lie in C order."""
    if tensor.is_contiguous():
        return None
    return tuple(sorted(range(tensor.dim()), key=lambda axis: -tensor.stride(axis)))


def flat(tensor: Any, order: tuple[int, ...] | None) -> Array:
    """The numbers of a tensor [numel] in an order of dimensions; a view where memory allows it."""
    tensor = tensor.detach()
    if order is not None:
        tensor = tensor.permute(order)
    if tensor.device.type != "cpu":
        tensor = tensor.cpu()
    array: Array = tensor.reshape(-1).numpy()
    return array


LINE = 64
"""Bytes of a cache line: copies begin on one, as torch's tensors do (products are 5 % faster)."""


class FlatParameters:
    """Parameters, their sizes and groups, and the views of tensors that stay where they are."""

    def __init__(self, parameters: list[Any], groups: list[int]) -> None:
        self.parameters = parameters
        self.groups = groups
        self.orders = [memory_order(parameter) for parameter in parameters]
        self.sizes = [int(parameter.numel()) for parameter in parameters]
        self.starts = [0, *np.cumsum(self.sizes).tolist()]
        self._kept: dict[str, tuple[list[int], list[Array]]] = {}

    @property
    def total(self) -> int:
        """n: numbers in all."""
        return int(self.starts[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64 where any parameter is, else float32."""
        doubles = any(parameter.dtype.itemsize == 8 for parameter in self.parameters)
        return np.dtype(np.float64 if doubles else np.float32)

    def views(self, tensors: list[Any]) -> list[Array]:
        """One flat array a parameter, of tensors of the same shapes."""
        return [flat(tensor, order) for tensor, order in zip(tensors, self.orders, strict=True)]

    def kept(self, name: str, tensors: list[Any]) -> list[Array]:
        """The same list object as at the last call under this name while no tensor has moved in memory."""
        pointers = [tensor.data_ptr() for tensor in tensors]
        held = self._kept.get(name)
        shared = all(tensor.device.type == "cpu" for tensor in tensors)
        if held is not None and held[0] == pointers and shared:
            return held[1]
        arrays = self.views(tensors)
        if not all(a.ctypes.data == at for a, at in zip(arrays, pointers, strict=True) if a.size):
            return arrays  # copied: a buffer in another order than its parameter
        self._kept[name] = (pointers, arrays)
        return arrays

    def copy(self) -> list[Array]:
        """The weights as they are now, in memory of our own, one array a parameter."""
        return self.held(self.views(self.parameters))

    def held(self, views: list[Array]) -> list[Array]:
        """Copies of one array a parameter, each at the begin of a cache line."""
        width = self.dtype.itemsize
        pad = LINE // width
        places = np.cumsum([0, *(-(-size // pad) * pad for size in self.sizes)]).tolist()
        block = np.empty(places[-1] + pad, dtype=self.dtype)
        begin = -block.ctypes.data % LINE // width
        copies = [block[begin + at : begin + at + size] for at, size in zip(places, self.sizes, strict=False)]
        for kept, view in zip(copies, views, strict=True):
            kept[:] = view
        return copies

    def split(self, block: Array) -> list[Array]:
        """One view a parameter of a block [n]."""
        return [block[a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]

    def logical_to_memory(self, vectors: Array) -> Array:
        """Vectors [k, n] given in C order of every parameter, in the order that `views` has; the same where it is C."""
        if all(order is None for order in self.orders):
            return vectors
        moved = vectors.copy()
        for parameter, order, start, size in zip(
            self.parameters, self.orders, self.starts[:-1], self.sizes, strict=True
        ):
            if order is not None:
                block = vectors[:, start : start + size].reshape(len(vectors), *parameter.shape)
                moved[:, start : start + size] = block.transpose(0, *(axis + 1 for axis in order)).reshape(
                    len(vectors), -1
                )
        return moved
