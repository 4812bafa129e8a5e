"""All eigenpairs of a small network's Hessian, and the noise along each: the whole law without a model of the bulk.

    H = ∇² (1/N) Σ_i l_i,   Σ = (1/N) Σ_i (∇l_i − ∇L)(∇l_i − ∇L)ᵀ,   Hu_l = ρ_l u_l,   s_l² = u_lᵀΣu_l,   l = 1 … p

at one point, or both matrices averaged over points that a walk at the settings of the run visits: where curvature and
noise vary over the cloud of iterates, the problem that is linear on average has the means of both. Displacements of a
quadratic problem need nothing else: only the diagonal of Σ in H's eigenvectors enters. H is made row by row, and
gradients of single examples, by automatic differentiation in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn import functional
from torch.nn.utils import parameters_to_vector

MOST = 2000
"""Parameters up to which the whole Hessian is made."""
CHUNK = 64
"""Rows of it at once."""


@dataclass(frozen=True)
class Dense:
    """ρ_l [p] falling, s_l² [p]; standard error of tr Σ over the points, as a share of it (0 for one point)."""

    curvature: np.ndarray
    noise: np.ndarray
    trace_error: float


def dense(model: Any, points: Sequence[Any], images: Any, labels: Any) -> Dense:
    """Of mean cross-entropy over these examples, averaged over weights `points` [p] each.

    The model has no BatchNorm and at most `MOST` parameters.

    >>> import torch
    >>> layer, x = torch.nn.Linear(2, 2, bias=False), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> found = dense(layer, [torch.zeros(4)], x, torch.tensor([0, 1]))  # softmax at ½, ½: ρ = x²·½/2 along (1, −1)
    >>> found.curvature.round(6).tolist()
    [1.0, 0.25, 0.0, 0.0]
    """
    names, parts = zip(*((name, part.detach()) for name, part in model.named_parameters()), strict=True)
    buffers = {name: part.double() if part.is_floating_point() else part for name, part in model.named_buffers()}
    count = len(parameters_to_vector(parts))
    if count > MOST:
        raise ValueError(f"expected at most {MOST} parameters, got {count}")
    images = images.double().contiguous()

    def of(weights: Any, x: Any, y: Any) -> Any:
        pieces = weights.split([part.numel() for part in parts])
        given = {name: piece.view_as(part) for name, piece, part in zip(names, pieces, parts, strict=True)}
        return functional.cross_entropy(functional_call(model, {**given, **buffers}, (x,)), y)

    curvature, rows = np.zeros((count, count)), []
    for point in points:
        weights = point.double()
        each = vmap(grad(lambda w, x, y: of(w, x[None], y[None])), in_dims=(None, 0, 0))(weights, images, labels)
        rows.append((each - each.mean(dim=0)).numpy())
        # reverse over reverse: forward mode warns of what it uses itself (torch 2.13)
        second = jacrev(grad(of), chunk_size=CHUNK)(weights, images, labels).numpy()
        curvature += (second + second.T) / 2 / len(points)
    rho, u = np.linalg.eigh(curvature)
    spread = np.mean([((apart @ u) ** 2).mean(axis=0) for apart in rows], axis=0)
    traces = [float((apart**2).sum() / len(apart)) for apart in rows]
    error = np.std(traces, ddof=1) / np.sqrt(len(traces)) / np.mean(traces) if len(traces) > 1 else 0.0
    return Dense(rho[::-1].copy(), spread[::-1].copy(), float(error))
