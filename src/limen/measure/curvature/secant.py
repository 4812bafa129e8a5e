"""Curvature at the scale of a step: what gradients a finite distance apart say, under its own name.

    (S_ε u) = [∇L(θ + εu) − ∇L(θ − εu)]/(2ε),      uᵀS_εu = mean of uᵀH(θ + su)u over s ∈ [−ε, ε]

For a smooth loss S_ε → H as ε → 0, with error O(ε²). For a ReLU network it does not: the almost-everywhere Hessian
misses the kinks between the two gradients, and it is S at the scale of its own steps that SGD feels. S is no matrix
(it is not linear in u), so there is no error bound: `residuals` are ‖S_εu − λu‖, large where u is no eigenvector at
that scale.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from limen.measure.curvature.objective import (
    Choice,
    Loss,
    Objective,
    check_deterministic,
    check_finite,
    held,
    objective,
)
from limen.records.curvature import Curvature
from limen.records.errors import BadInput, Problem


def secant_curvature(model: Any, loss: Loss, batches: Sequence[Any], curvature: Curvature, scale: float) -> Curvature:
    """The curvature along the modes of `curvature` at ±scale (parameter units, > 0), kind `secant`; 2k gradients.

    The weights are moved, and put back bit for bit. Raises BadInput for a scale that is not positive, or a model whose
    parameters are not those of `curvature`.

    A quartic ¼x⁴ at x = 1 has H = 3, and S_ε = 3 + ε²:

    >>> import torch
    >>> from limen.measure.curvature.spectrum import curvature
    >>> model = torch.nn.Linear(1, 1, bias=False).double()
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> quartic = lambda m, b: m.weight.pow(4).sum() / 4 + 0 * b.sum()
    >>> h = curvature(model, quartic, [torch.zeros(1)], modes=1)
    >>> [round(float(c.eigenvalues[0]), 9) for c in (h, secant_curvature(model, quartic, [torch.zeros(1)], h, 0.5))]
    [3.0, 3.25]
    """
    begun = time.perf_counter()
    if not (math.isfinite(scale) and scale > 0):
        raise BadInput(Problem("scale", f"expected a finite number above 0, got {scale}", fix="the length of a step"))
    target = objective(model, loss, batches, Choice([*curvature.names], curvature.batch_norm))
    if target.names != curvature.names or target.shapes != curvature.shapes:
        raise BadInput(Problem("curvature", "expected modes of this model's parameters, got those of others"))
    with held(model, curvature.batch_norm):
        check_deterministic(target)
        images = np.stack([_secant(target, vector, scale) for vector in curvature.vectors])
    u = curvature.vectors.astype(np.float64)
    values = (images * u).sum(axis=1)
    return replace(
        curvature,
        eigenvalues=values,
        residuals=np.linalg.norm(images - values[:, None] * u, axis=1),
        error_bounds=None,
        kind="secant",
        scale=float(scale),
        trace=None,
        density=None,
        products=2 * len(values),
        seconds=time.perf_counter() - begun,
    )


def full_gradient(target: Objective) -> Any:
    """∇L in float64 [n]."""
    total = np.zeros(target.size)
    for batch, size in zip(target.batches, target.sizes, strict=True):
        pieces = torch.autograd.grad(target.value(batch), target.parameters, allow_unused=True)
        flat = [
            np.zeros(p.numel()) if piece is None else piece.double().cpu().numpy().ravel()
            for piece, p in zip(pieces, target.parameters, strict=True)
        ]
        total += size / target.examples * np.concatenate(flat)
    check_finite(total, "gradient")
    return total


def _secant(target: Objective, vector: Any, scale: float) -> Any:
    """S_εu; the weights are copied back, not moved back."""
    direction = target.views(torch.from_numpy(vector).to(target.parameters[0].device))
    kept = [parameter.detach().clone() for parameter in target.parameters]
    gradients = []
    try:
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for parameter, before, step in zip(target.parameters, kept, direction, strict=True):
                    parameter.copy_(before + sign * scale * step)
            gradients.append(full_gradient(target))
    finally:
        with torch.no_grad():
            for parameter, before in zip(target.parameters, kept, strict=True):
                parameter.copy_(before)
    return (gradients[0] - gradients[1]) / (2 * scale)
