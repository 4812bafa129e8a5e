"""The noise of minibatch gradients along the modes of a curvature, and what the laws of SGD assume of it.

Σ is the covariance of one example's gradient at the weights as they are. Measured: tr Σ; uᵢᵀΣuⱼ; whether noise grows
with curvature (slope of ln uᵢᵀΣuᵢ on ln λᵢ; Σ ∝ H has slope 1); whether Σ and H share eigenvectors (coherence); whether
noise of one step tells of the next under a sampling order; how heavy its tail is.

With BatchNorm in train mode an example has no gradient of its own: everything is then between batches of `batch_size`,
at fixed weights, and Σ is `batch_size` times the covariance of their gradients. Formulas: `statistics`, `gradients`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules.batchnorm import _BatchNorm

from limen.arrays.random import stream
from limen.measure.curvature.batches import joined, rows_of
from limen.measure.curvature.objective import (
    Choice,
    Loss,
    Objective,
    check_deterministic,
    check_finite,
    held,
    objective,
)
from limen.measure.noise import statistics
from limen.measure.noise.gradients import batch_deviations, per_sample_projections
from limen.pretrain.samplers import Sampler, Sampling
from limen.records.curvature import Curvature
from limen.records.errors import BadInput, Problem
from limen.records.gradient_noise import Correlation, GradientNoise

Floats = NDArray[np.float64]

GROUPS = 256
"""Batches that the default batch size makes."""
LEAST_GROUPS = 8
EPOCHS, FURTHEST, ORDERS, LAGS = 4, 2, 16, 40
"""Of the temporal correlation: epochs that pairs begin in, epochs to the largest lag, orders, lags at most."""
MEASURED = 1, 1, 8
"""The first three where every batch costs a gradient."""


def gradient_noise(
    model: Any,
    loss: Loss,
    batches: Sequence[Any],
    curvature: Curvature,
    *,
    batch_size: int | None = None,
    per_sample: bool | None = None,
    sampling: Sampling | None = "reshuffle",
    confidence: float = 0.95,
    seed: int = 0,
) -> GradientNoise:
    """Noise of the gradients of loss(model, batch) at the model's weights, along the modes of `curvature`.

    The examples of all `batches` are put together and dealt again at random into batches of `batch_size` (default:
    N/256, at least 1; with BatchNorm in train mode it has to be given: that of training). `per_sample` None: single
    examples unless BatchNorm forbids; the loss then splits as `gradients` says. `sampling` None: no temporal
    correlation. The model is left exactly as found. Raises BadInput with all problems of the arguments.
    """
    begun = time.perf_counter()
    target = objective(model, loss, batches, Choice([*curvature.names], curvature.batch_norm))
    coupled = curvature.batch_norm == "train" and any(isinstance(m, _BatchNorm) for m in model.modules())
    _check(target, curvature, (batch_size, per_sample, coupled, confidence))
    single = not coupled if per_sample is None else per_sample
    size = batch_size or max(1, target.examples // GROUPS)
    examples = joined(target.batches)
    order = stream("gradient noise", seed, target.examples).permutation(target.examples)
    dealt = [rows_of(examples, order[i : i + size]) for i in range(0, target.examples - size + 1, size)]
    with held(model, curvature.batch_norm):
        check_deterministic(target)
        squares, between, mean = batch_deviations(target, dealt, curvature.vectors)
        rows = per_sample_projections(target, curvature.vectors) if single else between
        correlation = None
        if sampling is not None:
            noise = _noise_of(target, (examples, curvature.vectors, mean), rows if single else None)
            correlation = _correlation(noise, (target.examples, size, sampling, seed), single)
    unit = 1 if single else size
    sigma = unit * statistics.covariance(rows)
    coherence, floor = statistics.coherence(curvature.eigenvalues, rows, confidence)
    return GradientNoise(
        batch_size=size,
        examples=target.examples,
        per_sample=single,
        trace=statistics.trace(squares, size, confidence),
        eigenvalues=curvature.eigenvalues,
        variance=np.diag(sigma).copy(),
        variance_errors=unit * statistics.variance_errors(rows),
        covariance=sigma,
        slope=statistics.slope(curvature.eigenvalues, np.diag(sigma), confidence),
        coherence=coherence,
        coherence_floor=floor,
        correlation=correlation,
        hill=statistics.hill(np.sqrt(squares), confidence),
        batch_norm=curvature.batch_norm,
        seconds=time.perf_counter() - begun,
    )


def _check(target: Objective, curvature: Curvature, asked: tuple[int | None, bool | None, bool, float]) -> None:
    size, per_sample, coupled, confidence = asked
    problems: list[Problem] = []
    if target.names != curvature.names or target.shapes != curvature.shapes:
        what = "expected modes of this model's parameters, got those of others"
        problems.append(Problem("curvature", what, cause="another model, or other parameters chosen"))
    if coupled and per_sample:
        what = "expected per_sample=False with BatchNorm in train mode, got True"
        cause = "with batch statistics an example has no gradient of its own"
        problems.append(Problem("per_sample", what, cause, "per_sample=None, or a curvature with batch_norm='eval'"))
    if coupled and size is None:
        what = "expected the batch size of training with BatchNorm in train mode, got none"
        problems.append(Problem("batch_size", what, cause="noise depends on it through the batch statistics"))
    if size is not None and not (1 <= size <= target.examples // LEAST_GROUPS):
        most = target.examples // LEAST_GROUPS
        what = f"expected 1 to {most}, for {LEAST_GROUPS} batches of {target.examples} examples, got {size}"
        problems.append(Problem("batch_size", what, fix="a smaller batch size, or more examples"))
    if size is None and target.examples < LEAST_GROUPS:
        problems.append(Problem("batches", f"expected {LEAST_GROUPS} examples or more, got {target.examples}"))
    if not 0 < confidence < 1:
        problems.append(Problem("confidence", f"expected a number between 0 and 1, got {confidence}"))
    if problems:
        raise BadInput(problems)


def _noise_of(target: Objective, given: tuple[Any, NDArray[Any], Floats], rows: Floats | None) -> Any:
    """Indices [S] → the batch's gradient along the modes less the mean gradient there [k]."""
    examples, vectors, mean = given
    if rows is not None:
        centred = rows - rows.mean(axis=0)
        return lambda indices: centred[indices].mean(axis=0)
    modes = torch.from_numpy(np.ascontiguousarray(vectors)).to(target.parameters[0].device)

    def measured(indices: NDArray[np.int64]) -> Floats:
        pieces = torch.autograd.grad(
            target.value(rows_of(examples, indices)), target.parameters, allow_unused=True, materialize_grads=True
        )
        flat = torch.cat([piece.reshape(-1) for piece in pieces])
        check_finite(flat, "gradient")
        noise: Floats = (modes @ flat).double().cpu().numpy() - mean
        return noise

    return measured


def _correlation(noise: Any, drawn: tuple[int, int, Sampling, int], cheap: bool) -> Correlation | None:
    """Orders of the sampler, run through; fewer and shorter where every batch costs a gradient."""
    examples, size, sampling, seed = drawn
    epoch = examples // size
    if epoch < 2:
        return None
    epochs, furthest, orders = (EPOCHS, FURTHEST, ORDERS) if cheap else MEASURED
    last = furthest * epoch
    lags = np.unique(np.geomspace(1, last, LAGS).round().astype(np.int64))
    lags = np.union1d(lags, [lag for lag in (epoch - 1, epoch) if 1 <= lag <= last])
    sequences = []
    for i in range(orders):
        sampler = Sampler(sampling, examples, size, int(stream("noise order", seed, i).integers(2**31)))
        sequences.append(np.stack([noise(indices) for indices in sampler.batches(0, epochs * epoch + last)]))
    values, errors = statistics.autocorrelation(sequences, lags)
    return Correlation(sampling, lags, values, errors, epoch, orders, epochs * epoch)
