"""The noise of minibatch gradients at given weights: Σ, the covariance of one example's gradient, as far as seen.

Units: loss²/parameter². A batch of S independent examples has noise Σ/S. u_i are the modes of the `Curvature` that it
was measured along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.records.estimate import Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """Correlation of the noise of batches `lags` steps apart, at fixed weights: mean over modes."""

    sampling: str
    lags: NDArray[np.int64]
    values: Floats
    errors: Floats
    """Standard errors of `values` over repeated orders."""
    epoch_batches: int
    orders: int | None = None
    """Orders of the sampler that `values` average; None in files of before it was kept."""
    steps: int | None = None
    """Steps that pairs begin at in each order; None as above."""


@dataclass(frozen=True, slots=True, eq=False)
class GradientNoise:
    """See the header of its file."""

    batch_size: int
    """Examples of a gradient in the between-batch numbers."""
    examples: int
    per_sample: bool
    """Whether `variance` and `covariance` come from single examples; if not, from batches of `batch_size`."""
    trace: Estimate
    """tr Σ of one example."""
    eigenvalues: Floats
    """λ [k] of the modes."""
    variance: Floats
    """u_iᵀΣu_i [k]."""
    variance_errors: Floats
    """Their standard errors [k]."""
    covariance: Floats
    """u_iᵀΣu_j [k, k]."""
    slope: Estimate
    """d ln u_iᵀΣu_i/d ln λ_i over the modes of positive λ."""
    coherence: Estimate
    """‖[H, Σ]‖_F/(2‖H‖_F‖Σ‖_F) in the span of the modes: 0 commuting, at most 1/√2."""
    coherence_floor: float
    """What it would read for a Σ diagonal in the modes, from sampling error alone."""
    correlation: Correlation | None
    hill: Estimate
    """Tail index of ‖g_batch − g‖."""
    batch_norm: str
    seconds: float

    def __post_init__(self) -> None:
        k = len(self.eigenvalues)
        for name, shape in (("variance", (k,)), ("variance_errors", (k,)), ("covariance", (k, k))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {getattr(self, name).shape}")
