"""The curvature of a loss at given weights: eigenpairs of its Hessian with their evidence, trace and density.

H = Σ_b (n_b/N) ∇²loss_b over the parameters named, flattened one after another in the order of `names` (row-major, as
torch flattens). u_i are unit rows of `vectors`, λ_i their eigenvalues, r_i = ‖Hu_i − λ_iu_i‖ of H as computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from limen.records.estimate import Estimate

Floats = NDArray[np.float64]
Kind = Literal["hessian", "gauss-newton", "secant"]
BatchNorm = Literal["eval", "train"]


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """Spectral density by stochastic Lanczos quadrature, normalised to 1 (times n: eigenvalues per unit)."""

    nodes: Floats
    """[probes, steps]."""
    weights: Floats
    """[probes, steps]; 1 a probe."""
    points: Floats
    """[G]."""
    density: Floats
    """Through a Gaussian of standard deviation `width` [G]."""
    low: Floats
    """Pointwise band at `confidence`, over probes [G]."""
    high: Floats
    width: float
    confidence: float
    moments: Floats
    """tr H^j/n for j = 1, …, 4."""
    moment_errors: Floats
    """Their standard errors over probes."""


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """See the header of its file. For `secant` λ_i is the mean curvature over ±scale along u_i."""

    eigenvalues: Floats
    """λ [k], loss/parameter², ordered by |λ|, or by λ where `ends` is not `magnitude`; descending."""
    vectors: NDArray[Any]
    """u [k, n], float32 (float64 for a model of that type)."""
    residuals: Floats
    """r [k]."""
    error_bounds: Floats | None
    """[k]: an eigenvalue of H as computed lies within this of λ_i; None for `secant`, which is no matrix."""
    gaps: Floats
    """Distance of λ_i to the nearest other Ritz value seen [k]. r/gap only indicates the angle to the eigenvector: of
    eigenvalues that were not found it says nothing, and the angle may be anything where one lies nearer."""
    converged: NDArray[np.bool_]
    """[k]: r ≤ tolerance·|λ|, or rounding."""
    loss: float
    gradient: Floats
    """⟨u_i, ∇loss⟩ [k]."""
    gradient_norm: float
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    examples: int
    batch_norm: BatchNorm
    kind: Kind
    ends: Literal["magnitude", "largest", "both"]
    tolerance: float
    orthogonality: float
    """Largest entry of |UUᵀ − I|: the ghost check."""
    recovered: int
    """Searches that found copies of eigenvalues which one Krylov space cannot hold."""
    products: int
    """Products with H over all the data, trace and density included."""
    seconds: float
    peak_bytes: int
    """Counted: graphs kept, basis and working vectors."""
    scale: float | None = None
    """Half the distance between the two gradients of a secant."""
    trace: Estimate | None = None
    density: Density | None = None

    def __post_init__(self) -> None:
        k, n = len(self.eigenvalues), self.parameters
        if self.vectors.shape != (k, n):
            raise ValueError(f"vectors: expected shape {(k, n)}, got {self.vectors.shape}")
        for name in ("residuals", "error_bounds", "gaps", "converged", "gradient"):
            array = getattr(self, name)
            if array is not None and array.shape != (k,):
                raise ValueError(f"{name}: expected shape {(k,)}, got {array.shape}")
        if (self.kind == "secant") != (self.scale is not None):
            raise ValueError("scale: a secant has one, and nothing else")

    @property
    def parameters(self) -> int:
        """n, the numbers that H is over."""
        return sum(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes)
