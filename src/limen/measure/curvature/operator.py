"""The curvature of the whole objective as a product of numpy rows, v ↦ Σ_b (n_b/N) H_b v, within a memory limit.

Forecast first: the tensors that the first batch's graph keeps are counted (its products need about as many bytes again
while they run), the other batches in proportion to their sizes. Batches whose graphs fit beside the basis are
linearised once and kept; the others are linearised anew for every call, once for all the rows of a call (batch-major).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.measure.curvature.graphs import Graph, gauss_newton_graph, hessian_graph
from limen.measure.curvature.objective import Objective, check_finite
from limen.records.errors import BadInput, Problem

Rows = NDArray[Any]
"""[n] or [p, n] in the parameters' type."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes: the graph of every batch if kept, working memory of one product, and how many batches can be kept."""

    graphs: tuple[int, ...]
    working: int
    kept: int

    @property
    def bytes(self) -> int:
        """Counted: kept graphs, the largest one again while it works, and two vectors."""
        return sum(self.graphs[: self.kept]) + self.working


class Operator:
    """Products with the curvature of an objective (held still: see `held`), its loss and its gradient."""

    def __init__(self, objective: Objective, gauss_newton: bool, forecast: Forecast) -> None:
        self.objective, self.forecast = objective, forecast
        self.linearise = _linearise(gauss_newton)
        self.products = 0
        first = objective.parameters[0]
        self.device, self.dtype = first.device, first.dtype
        self.kept: list[Graph] = []
        self.image = torch.zeros(objective.size, dtype=self.dtype, device=self.device)
        self.loss, self.gradient = 0.0, np.zeros(objective.size)
        for i, (batch, share) in enumerate(zip(objective.batches, self.shares, strict=True)):
            graph = self.linearise(objective, batch)
            self.loss += share * graph.loss
            self.gradient += share * self._flat(graph.gradient()).double().cpu().numpy()
            if i < forecast.kept:
                self.kept.append(graph)
        check_finite(self.gradient, "gradient")

    @property
    def shares(self) -> list[float]:
        """n_b/N."""
        return [size / self.objective.examples for size in self.objective.sizes]

    def __call__(self, row: Rows) -> Rows:
        """One product [n]; the array returned is overwritten by the next call."""
        self.products += 1
        tangent = self.objective.views(torch.from_numpy(row).to(self.device))
        if len(self.objective.batches) == 1 and self.kept:
            pieces = self.kept[0].product(tangent)
            torch.cat(self._pieces(pieces), out=self.image)
        else:
            self.image.zero_()
            for i, share in enumerate(self.shares):
                self._add(self.image, self._graph(i).product(tangent), share)
        if self.products == 1:  # a later one holds no NaN that the first does not
            check_finite(self.image, "product with the Hessian")
        return _numpy(self.image)

    def rows(self, rows: Rows) -> Rows:
        """Products of several rows [p, n] at once, new arrays; a batch that is not kept is linearised once for all."""
        self.products += len(rows)
        images = torch.zeros(rows.shape, dtype=self.dtype, device=self.device)
        for i, share in enumerate(self.shares):
            graph = self._graph(i)
            for row, image in zip(rows, images, strict=True):
                self._add(image, graph.product(self.objective.views(torch.from_numpy(row).to(self.device))), share)
        return _numpy(images)

    def _graph(self, i: int) -> Graph:
        return self.kept[i] if i < len(self.kept) else self.linearise(self.objective, self.objective.batches[i])

    def _pieces(self, pieces: list[Any]) -> list[Any]:
        parameters = self.objective.parameters
        return [
            torch.zeros(p.numel(), dtype=self.dtype, device=self.device) if piece is None else piece.reshape(-1)
            for piece, p in zip(pieces, parameters, strict=True)
        ]

    def _flat(self, pieces: list[Any]) -> Any:
        return torch.cat(self._pieces(pieces))

    def _add(self, image: Any, pieces: list[Any], share: float) -> None:
        for target, piece in zip(self.objective.views(image), pieces, strict=True):
            if piece is not None:
                target.add_(piece, alpha=share)


def forecast(objective: Objective, gauss_newton: bool, available: int) -> Forecast:
    """What keeping linearised batches would take, and how many fit into `available` bytes beside everything else."""
    each = graph_bytes(objective, objective.batches[0], gauss_newton)
    graphs = tuple(int(each * size / objective.sizes[0]) for size in objective.sizes)
    working = max(graphs) + 2 * objective.size * objective.parameters[0].element_size()
    kept, left = 0, available - working
    while kept < len(graphs) and graphs[kept] <= left:
        left -= graphs[kept]
        kept += 1
    return Forecast(graphs, working, kept)


def graph_bytes(objective: Objective, batch: Any, gauss_newton: bool = False) -> int:
    """Bytes of the distinct storages that the linearised batch keeps alive, weights and data not counted."""
    known = {_storage(parameter) for parameter in objective.model.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        if tensor.layout == torch.strided and _storage(tensor) not in known:
            seen[_storage(tensor)] = int(tensor.untyped_storage().nbytes())
        return tensor.detach()  # the tensor itself would make its graph keep itself alive

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _linearise(gauss_newton)(objective, batch)
    total: int = sum(seen.values())
    return total


def beside(objective: Objective, basis: int, memory: int) -> int:
    """Bytes left for graphs beside `basis` rows of a basis. Raises BadInput where even the basis does not fit."""
    row: int = objective.size * objective.parameters[0].element_size()
    if basis * row > memory:
        room = f"{basis} vectors of {objective.size:,} numbers, {basis * row / 1e9:.3g} GB"
        what = f"expected room for {room}, got {memory / 1e9:.3g} GB"
        fix = "fewer modes, a smaller basis, some of the parameters (by name patterns), or more memory"
        raise BadInput(Problem("memory", what, fix=fix))
    return memory - basis * row


def _linearise(gauss_newton: bool) -> Callable[[Objective, Any], Graph]:
    return gauss_newton_graph if gauss_newton else hessian_graph


def _numpy(tensor: Any) -> Rows:
    array: Rows = tensor.cpu().numpy()
    return array


def _storage(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())
