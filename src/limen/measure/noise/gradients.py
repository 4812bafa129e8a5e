"""Gradients of examples and of batches, seen along the modes and by their distance from the mean gradient.

single examples   a_il = ⟨u_l, ∇ℓ_i⟩ = d ℓ_i(θ + su_l)/ds: one forward-mode pass a mode and batch (torch.func.jvp)
batches           g_b, b = 1, …, M, of S distinct examples: two passes, ḡ first, then ‖g_b − ḡ‖² and ⟨u_l, g_b − ḡ⟩

Losses of single examples are loss(model, batch, reduction="none") [B] where the loss takes `reduction`; otherwise
loss(model, one example) for one after another. Their mean has to be the batch's loss.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.measure.curvature.batches import batch_size, rows_of
from limen.measure.curvature.objective import Objective, check_finite
from limen.records.errors import BadInput, Problem

Floats = NDArray[np.float64]

SAME = 1e-3
"""Relative difference of the mean of single losses and the batch's loss that rounding may leave."""


def per_sample_projections(objective: Objective, vectors: NDArray[Any]) -> Floats:
    """a [N, k] for modes [k, n], examples in the order of the batches. Raises BadInput where losses do not split."""
    wrapped = _Wrapped(objective)
    parameters = {f"model.{name}": p.detach() for name, p in zip(objective.names, objective.parameters, strict=True)}
    device, rows = objective.parameters[0].device, []
    tangents = [
        dict(zip(parameters, objective.views(torch.from_numpy(np.ascontiguousarray(u)).to(device)), strict=True))
        for u in vectors
    ]
    for batch, size in zip(objective.batches, objective.sizes, strict=True):
        _check_split(objective, wrapped, batch, size)

        def losses(changed: dict[str, Any], batch: Any = batch) -> Any:
            return torch.func.functional_call(wrapped, changed, (batch,))

        try:
            with torch.no_grad(), warnings.catch_warnings():
                # torch scripts its own forward-mode rules when they are first used
                warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
                columns = [torch.func.jvp(losses, (parameters,), (tangent,))[1] for tangent in tangents]
        except (NotImplementedError, RuntimeError) as error:
            what = f"expected a model whose operations have forward-mode derivatives, got: {str(error).splitlines()[0]}"
            raise BadInput(Problem("per_sample", what, fix="per_sample=False measures between batches")) from None
        rows.append(torch.stack([c.reshape(-1) for c in columns], dim=1).double().cpu().numpy())
        check_finite(rows[-1], "gradient of every example along the modes")
    return np.concatenate(rows)


def batch_deviations(objective: Objective, batches: list[Any], vectors: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """‖g_b − ḡ‖² [M], ⟨u_l, g_b − ḡ⟩ [M, k] of batches of one size, and ⟨u_l, ḡ⟩ [k]."""
    device = objective.parameters[0].device
    modes = torch.from_numpy(np.ascontiguousarray(vectors)).to(device)
    mean = torch.zeros(objective.size, dtype=torch.float64, device=device)
    for gradient in _gradients(objective, batches):
        mean += gradient.double() / len(batches)
    centre = mean.to(modes.dtype)
    squares, projections = np.empty(len(batches)), np.empty((len(batches), len(vectors)))
    for b, gradient in enumerate(_gradients(objective, batches)):
        gradient -= centre
        squares[b] = float(torch.linalg.vector_norm(gradient, dtype=torch.float64)) ** 2
        projections[b] = (modes @ gradient).double().cpu().numpy()
    return squares, projections, vectors.astype(np.float64) @ mean.cpu().numpy()


def single_losses(objective: Objective, batch: Any) -> Any:
    """Losses of a batch's examples [B]."""
    if takes_reduction(objective.loss):
        return objective.loss(objective.model, batch, reduction="none").reshape(-1)
    size = batch_size(batch) or 0
    ones = [rows_of(batch, np.array([i])) for i in range(size)]
    return torch.stack([objective.loss(objective.model, one).reshape(()) for one in ones])


def takes_reduction(loss: Any) -> bool:
    """Whether the loss has a parameter `reduction`.

    >>> takes_reduction(lambda model, batch, reduction="mean": 0), takes_reduction(lambda model, batch: 0)
    (True, False)
    """
    return "reduction" in inspect.signature(loss).parameters


class _Wrapped(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Single losses as the forward pass of a module, so that weights can be put in its place."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = objective.model, objective

    def forward(self, batch: Any) -> Any:
        return single_losses(self.objective, batch)


def _check_split(objective: Objective, wrapped: _Wrapped, batch: Any, size: int) -> None:
    with torch.no_grad():
        single, whole = wrapped(batch), float(objective.value(batch))
    if single.shape != (size,):
        what = f"expected {size} losses with reduction='none', one an example, got shape {tuple(single.shape)}"
        raise BadInput(Problem("loss", what, fix="one number an example, or a loss without `reduction`"))
    if abs(float(single.mean()) - whole) > SAME * max(abs(whole), float(single.abs().mean())):
        what = f"expected single losses of mean {whole:.6g}, the batch's loss, got {float(single.mean()):.6g}"
        cause = "a penalty added once a batch, class weights, or a loss across examples (contrastive)"
        raise BadInput(Problem("loss", what, cause, "per_sample=False measures between batches"))


def _gradients(objective: Objective, batches: list[Any]) -> Iterator[Any]:
    for batch in batches:
        pieces = torch.autograd.grad(objective.value(batch), objective.parameters, allow_unused=True)
        flat = [
            (torch.zeros_like(p) if piece is None else piece).reshape(-1)
            for piece, p in zip(pieces, objective.parameters, strict=True)
        ]
        whole = torch.cat(flat)
        check_finite(whole, "gradient")
        yield whole
