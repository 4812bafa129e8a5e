"""The curvature of a model's loss: leading eigenpairs of its Hessian with a bound on each, its trace and its density.

    H = Σ_b (n_b/N) ∇²loss(model, batch_b)       products by double backward through kept graphs (`operator`, `graphs`)
    pairs    Lanczos, full reorthogonalisation, residual as stop rule, copies searched for     (limen.arrays.krylov)
    trace    XTrace, density: stochastic Lanczos quadrature in lockstep                        (arrays.trace, …density)

What H is of is said, never changed in silence: the batches given (augmentation included, as they are), BatchNorm with
running (`eval`) or batch (`train`) statistics, the parameters matched, all other modules in eval mode. With ReLU the
Hessian is that of the piece the weights lie in; `secant` measures curvature at the scale of a step.

Statement and limits: docs/statements/curvature.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
from scipy.stats import t as student

from limen.arrays.krylov import Pairs, Wanted, basis_rows, lanczos
from limen.arrays.random import stream
from limen.arrays.spectral_density import Probing, blurred, lanczos_quadrature
from limen.arrays.trace import xtrace
from limen.measure.curvature.arguments import (
    TRACE_PROBES,
    Search,
    problems_of_probes,
    problems_of_start,
    wanted_pairs,
)
from limen.measure.curvature.objective import Choice, Loss, Objective, check_deterministic, held, objective
from limen.measure.curvature.operator import Forecast, Operator, beside, forecast
from limen.records.curvature import BatchNorm, Curvature, Density
from limen.records.estimate import Estimate

__all__ = ["Search", "curvature", "forecast_bytes"]

MEMORY_SHARE = 0.7
"""Of the memory that is free, where no limit is given."""
WORKING_ROWS = 4
"""Vectors beside the basis: image, temporary, gradient in float64."""
CONFIDENCE = 0.95


def curvature(
    model: Any,
    loss: Loss,
    batches: Sequence[Any],
    *,
    modes: int = 10,
    tolerance: float = 1e-3,
    batch_norm: BatchNorm = "eval",
    parameters: Sequence[str] | None = None,
    gauss_newton: bool = False,
    density: bool | Probing = False,
    trace: bool | int = False,
    start: Curvature | np.ndarray[Any, Any] | None = None,
    search: Search | None = None,
    sizes: Sequence[int] | None = None,
    memory: int | None = None,
    seed: int = 0,
) -> Curvature:
    """Leading eigenpairs of the Hessian (or Gauss–Newton matrix) of the mean of loss(model, batch) over `batches`.

    loss(model, batch) returns the mean over the batch's examples, a scalar tensor with its graph; batches count by
    their sizes (leading dimension of their first tensor, or `sizes`). A pair has converged when ‖Hu − λu‖ ≤
    tolerance·|λ|. `parameters`: name patterns (`layer1.*`) of those H is over. `start`: an earlier curvature, or
    vectors [s, n]. `density`, `trace`: True, or how much probing. `memory`: bytes for basis and graphs; None: 0.7 of
    what is free. Where they do not fit, the basis is restarted and graphs are built anew for each product. The model is
    left exactly as found. Raises BadInput with all problems of the arguments.

    A quadratic loss ½(2x² + y²):

    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> scale = torch.tensor([2.0, 1.0])
    >>> bowl = lambda m, b: 0.5 * (scale * m.weight**2).sum() + 0 * b.sum()
    >>> found = curvature(model, bowl, [torch.zeros(1)], modes=2)
    >>> found.eigenvalues.round(6).tolist()
    [2.0, 1.0]
    """
    begun = time.perf_counter()
    target = objective(model, loss, batches, Choice(parameters, batch_norm, sizes))
    problems = problems_of_probes(target.size, density, trace) + problems_of_start(target.size, start, memory)
    wanted = wanted_pairs(target.size, (modes, tolerance, seed), Search() if search is None else search, problems)
    probing = Probing(seed=seed) if density is True else density or None
    probes = TRACE_PROBES if trace is True else trace or 0
    first = _start(start, target, seed)
    free = int(MEMORY_SHARE * psutil.virtual_memory().available) if memory is None else memory
    wanted = _fitted(wanted, target, free)
    rows = _rows(wanted, target.size, probing, probes) + (len(first) if first.ndim == 2 else 1)
    with held(model, batch_norm):
        check_deterministic(target)
        left = beside(target, rows, free)
        product = Operator(target, gauss_newton, forecast(target, gauss_newton, left))
        pairs = lanczos(product, target.size, wanted, first)
        parts = _Parts(
            None if not probes else _trace(product, target, probes, seed),
            None if probing is None else _density(product, target, probing),
        )
    counted = product.forecast.bytes + rows * target.size * target.parameters[0].element_size()
    return _record(target, product, (pairs, wanted), parts, (begun, counted, gauss_newton))


def forecast_bytes(
    model: Any, loss: Loss, batches: Sequence[Any], *, modes: int = 10, batch_norm: BatchNorm = "eval"
) -> tuple[Forecast, int]:
    """What `curvature` would take with memory to spare: graphs of all batches, and bytes of the basis.

    Builds the graph of the first batch, counts it and lets it go.
    """
    target = objective(model, loss, batches, Choice(None, batch_norm))
    wanted = wanted_pairs(target.size, (modes, 1e-3, 0), Search(), [])
    with held(model, batch_norm):
        found = forecast(target, False, 1 << 62)
    return found, _rows(wanted, target.size, None, 0) * target.size * target.parameters[0].element_size()


@dataclass(frozen=True, slots=True)
class _Parts:
    trace: Estimate | None
    density: Density | None


def _fitted(wanted: Wanted, target: Objective, free: int) -> Wanted:
    """A basis that nobody chose is made smaller, at the cost of restarts, where it would take half of the memory."""
    if wanted.basis is not None:
        return wanted
    room = free // 2 // (target.size * target.parameters[0].element_size()) - _rows(wanted, target.size, None, 0)
    basis = basis_rows(wanted, target.size)
    return wanted if room >= 0 else replace(wanted, basis=min(basis, max(2 * wanted.count + 2, basis + room)))


def _rows(wanted: Wanted, size: int, probing: Probing | None, probes: int) -> int:
    """Vectors held at the worst time: pairs are returned while trace and density run."""
    basis = basis_rows(wanted, size) + wanted.check + 2
    later = 0
    if probing is not None:
        later = (3 + (probing.steps if probing.reorthogonalise else 0)) * probing.probes
    return max(basis, later, 4 * probes) + wanted.count + WORKING_ROWS


def _start(start: Any, target: Objective, seed: int) -> Any:
    """Starting rows in the parameters' type."""
    dtype = _numpy_type(target)
    if start is None:
        return stream("curvature", seed, target.size).standard_normal(target.size).astype(dtype)
    vectors = start.vectors if isinstance(start, Curvature) else np.asarray(start)
    return np.ascontiguousarray(vectors, dtype)


def _numpy_type(target: Objective) -> Any:
    return np.dtype(str(target.parameters[0].dtype).removeprefix("torch."))


def _trace(product: Operator, target: Objective, probes: int, seed: int) -> Estimate:
    found = xtrace(product.rows, target.size, probes, seed, _numpy_type(target))
    half = float(student.ppf((1 + CONFIDENCE) / 2, found.probes - 1)) * found.standard_error
    return Estimate(
        found.value,
        found.value - half,
        found.value + half,
        confidence=CONFIDENCE,
        grade="statistical",
        n=found.probes,
        method=f"XTrace, {found.products} products",
        assumptions=("Student's interval over exchangeable probes",),
        reference="docs/statements/curvature.md",
    )


def _density(product: Operator, target: Objective, probing: Probing) -> Density:
    found = lanczos_quadrature(product.rows, target.size, probing, _numpy_type(target))
    shown = blurred(found, confidence=CONFIDENCE)
    moments = np.array([found.moment(j) for j in range(1, 5)])
    return Density(
        found.nodes,
        found.weights,
        shown.points,
        shown.density,
        shown.low,
        shown.high,
        shown.width,
        shown.confidence,
        moments[:, 0],
        moments[:, 1],
    )


def _record(
    target: Objective,
    product: Operator,
    searched: tuple[Pairs, Wanted],
    parts: _Parts,
    facts: tuple[float, int, bool],
) -> Curvature:
    pairs, wanted = searched
    begun, counted, gauss_newton = facts
    defect = wanted.count * pairs.orthogonality
    widened = pairs.residuals / math.sqrt(1 - defect) if defect < 1 else np.full(wanted.count, np.inf)
    return Curvature(
        eigenvalues=pairs.values,
        vectors=pairs.vectors,
        residuals=pairs.residuals,
        error_bounds=widened,
        gaps=pairs.gaps,
        converged=pairs.converged & (defect < 1),
        loss=product.loss,
        gradient=pairs.vectors.astype(np.float64) @ product.gradient,
        gradient_norm=float(np.linalg.norm(product.gradient)),
        names=target.names,
        shapes=target.shapes,
        examples=target.examples,
        batch_norm=target.batch_norm,
        kind="gauss-newton" if gauss_newton else "hessian",
        ends=wanted.ends,
        tolerance=wanted.tolerance,
        orthogonality=pairs.orthogonality,
        recovered=pairs.recovered,
        products=product.products,
        seconds=time.perf_counter() - begun,
        peak_bytes=counted,
        trace=parts.trace,
        density=parts.density,
    )
