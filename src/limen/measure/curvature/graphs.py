"""One batch, linearised: what is kept of it, so that a product with its curvature costs only the tangent part.

hessian        g(θ) = ∇loss with its graph;  Hv = ∂⟨g, v⟩/∂θ                        one double backward
gauss-newton   outputs z(θ) of the model, q = ∂loss/∂z with its graph, and w(u) = (∂z/∂θ)ᵀu, linear in a dummy u, so
               Jv = ∂⟨w, v⟩/∂u;  Gv = Jᵀ(∂⟨q, Jv⟩/∂z)                                three backward passes

Jᵀ ∇²_z loss J leaves out what second derivatives of the model add. It needs a loss that sees the weights only through
the model's outputs (a penalty on weights is refused: ∇loss ≠ Jᵀq).

Multiplications: a fresh Hessian product costs 3 gradients, a kept one 2, and less where the first layer is large
(1.5 for an MLP of three layers). Source: Pearlmutter, Neural Computation 6 (1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from limen.measure.curvature.objective import Objective
from limen.records.errors import BadInput, Problem

SAME_GRADIENT = 1e-3
"""Relative difference of ∇loss and Jᵀq that rounding may leave."""


class Graph(Protocol):
    """A linearised batch."""

    @property
    def loss(self) -> float:
        """Of the batch."""

    def gradient(self) -> list[Any]:
        """∇loss, one tensor a parameter (None: zero)."""

    def product(self, tangent: Sequence[Any]) -> list[Any]:
        """The curvature times a tangent given as one tensor a parameter (None: zero)."""


@dataclass(frozen=True)
class HessianGraph:
    """∇loss with its graph."""

    loss: float
    parameters: tuple[Any, ...]
    gradients: list[Any]

    def gradient(self) -> list[Any]:
        """∇loss."""
        return [None if g is None else g.detach() for g in self.gradients]

    def product(self, tangent: Sequence[Any]) -> list[Any]:
        """Hv."""
        pairs = [(g, t) for g, t in zip(self.gradients, tangent, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            return [None] * len(self.parameters)
        outputs, tangents = zip(*pairs, strict=True)
        return [*torch.autograd.grad(outputs, self.parameters, tangents, retain_graph=True, allow_unused=True)]


@dataclass(frozen=True)
class GaussNewtonGraph:
    """Outputs z, slopes q = ∂loss/∂z, dummies u and Jᵀu, each with its graph."""

    loss: float
    parameters: tuple[Any, ...]
    outputs: list[Any]
    slopes: list[Any]
    dummies: list[Any]
    pulled: list[Any]

    def gradient(self) -> list[Any]:
        """Jᵀq."""
        slopes = [q.detach() for q in self.slopes]
        return [*torch.autograd.grad(self.outputs, self.parameters, slopes, retain_graph=True, allow_unused=True)]

    def product(self, tangent: Sequence[Any]) -> list[Any]:
        """Gv."""
        pairs = [(w, t) for w, t in zip(self.pulled, tangent, strict=True) if w is not None and w.requires_grad]
        curved = [q for q in self.slopes if q.requires_grad]
        if not pairs or not curved:
            return [None] * len(self.parameters)
        pulled, tangents = zip(*pairs, strict=True)
        pushed = torch.autograd.grad(pulled, self.dummies, tangents, retain_graph=True, allow_unused=True)
        pushed = [torch.zeros_like(u) if p is None else p for u, p in zip(self.dummies, pushed, strict=True)]
        kept = [p for q, p in zip(self.slopes, pushed, strict=True) if q.requires_grad]
        bent = torch.autograd.grad(curved, self.outputs, kept, retain_graph=True, allow_unused=True)
        seen = [(z, b) for z, b in zip(self.outputs, bent, strict=True) if b is not None]
        outputs, weights = zip(*seen, strict=True)
        return [*torch.autograd.grad(outputs, self.parameters, weights, retain_graph=True, allow_unused=True)]


def hessian_graph(objective: Objective, batch: Any) -> HessianGraph:
    """The Hessian of one batch. Raises BadInput where the loss does not depend on the parameters."""
    loss = objective.value(batch)
    if not loss.requires_grad:
        raise BadInput(_independent())
    gradients = torch.autograd.grad(loss, objective.parameters, create_graph=True, allow_unused=True)
    if all(g is None for g in gradients):
        raise BadInput(_independent())
    return HessianGraph(float(loss.detach()), objective.parameters, [*gradients])


def gauss_newton_graph(objective: Objective, batch: Any) -> GaussNewtonGraph:
    """The Gauss–Newton matrix of one batch, outputs taken from every call of the model's forward pass."""
    outputs: list[Any] = []
    hook = objective.model.register_forward_hook(lambda _module, _inputs, output: outputs.extend(_leaves(output)))
    try:
        loss = objective.value(batch)
    finally:
        hook.remove()
    outputs = [z for z in outputs if z.requires_grad]
    if not outputs or not loss.requires_grad:
        raise BadInput(_independent())
    slopes = torch.autograd.grad(loss, outputs, create_graph=True, allow_unused=True)
    used = [(z, q) for z, q in zip(outputs, slopes, strict=True) if q is not None]
    if not used:
        raise BadInput(_independent())
    dummies = [torch.zeros_like(z, requires_grad=True) for z, _ in used]
    zs, qs = [z for z, _ in used], [q for _, q in used]
    pulled = torch.autograd.grad(zs, objective.parameters, dummies, create_graph=True, allow_unused=True)
    graph = GaussNewtonGraph(float(loss.detach()), objective.parameters, zs, qs, dummies, [*pulled])
    _check_through_outputs(graph, loss)
    return graph


def _check_through_outputs(graph: GaussNewtonGraph, loss: Any) -> None:
    direct = torch.autograd.grad(loss, graph.parameters, retain_graph=True, allow_unused=True)
    through = graph.gradient()
    apart = whole = 0.0
    for a, b in zip(direct, through, strict=True):
        one = torch.zeros(()) if a is None else a
        two = torch.zeros(()) if b is None else b
        apart += float(((one - two) ** 2).sum())
        whole += float((one**2).sum())
    if apart > SAME_GRADIENT**2 * whole:
        what = f"expected a loss of the model's outputs alone, got gradients {(apart / whole) ** 0.5:.2g} apart"
        cause = "a penalty on weights in the loss, or a model called through its parts"
        raise BadInput(Problem("gauss_newton", what, cause, "leave the penalty out, or ask for the Hessian"))


def _leaves(output: Any) -> list[Any]:
    if isinstance(output, torch.Tensor):
        return [output]
    values = output.values() if hasattr(output, "values") else output if isinstance(output, tuple | list) else ()
    return [leaf for value in values for leaf in _leaves(value)]


def _independent() -> Problem:
    what = "expected a loss with a graph to the parameters, got one that does not depend on them"
    return Problem("loss", what, cause="torch.no_grad, .item() or .detach() inside the loss", fix="return the tensor")
