"""LogME: how probable the one-hot labels are under Bayesian linear regression on the features, at its best scales.

For y_c ∈ {0, 1}^n the indicator of class c, w ~ N(0, α⁻¹I), y_c = Fw + N(0, β⁻¹I), F [n, d] without intercept:

    LogME = mean over classes c of  max_{α, β} (1/n) ln p(y_c | F, α, β),       nats per row; higher is better.

With F = U diag(σ_k) Vᵀ, z = Uᵀy, λ = α/β and the best β = n/Q for given λ, one dimension is left:

    ln p = −(n/2) ln(2πe·Q/n) − ½ Σ_k ln(1 + σ_k²/λ),     Q(λ) = ‖y − Uz‖² + Σ_k z_k²·λ/(λ + σ_k²).

Its stationary points are the fixed points of MacKay's iteration (α = γ/‖m‖², β = (n − γ)/‖Fm − y‖²); here the global
maximum is taken, so the value is never below the iteration's, which You et al. stop at 1 % change of λ. For n ≤ d the
maximum may be the limit λ → 0 (noise estimated as 0): the iteration crawls there, and where it stops decides its value.
It is a log density: any real number, also positive; not a bound on any loss. Invariant to rotations and to one scale of
the features, not to shifts. You, Liu, Wang, Long, ICML 2021 (arXiv 2102.11005); MacKay, Neural Computation 4 (1992).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
import scipy.optimize

from limen.adapt.feature_map import Matrix
from limen.records.task import Floats, Integers

STEP = 0.25
"""Step of the search in ln λ; the maximum is then refined between neighbours."""
MARGIN = math.log(1e10)
"""How far the search goes beyond the squared singular values; the limits λ → 0, ∞ are reached to 1e-10."""

# shapes: n rows, d features, r rank, K classes with rows, T values of ln λ


def logme(features: Floats, labels: Integers) -> float:
    """LogME of features [n, d] and labels [n] in 0 … K − 1; classes without rows are left out of the mean.

    Features that are all 0 explain nothing: the evidence is that of n draws of variance ‖y‖²/n = ½.

    >>> score = logme(np.zeros((4, 1)), np.array([0, 0, 1, 1]))
    >>> bool(np.isclose(score, -0.5 * np.log(2 * np.pi * np.e * 0.5)))
    True

    Infinite when fewer than n directions fit a class exactly: the evidence then grows without bound as β → ∞.
    Raises ValueError for features that are not finite or labels of another length.
    """
    f = np.asarray(features, dtype=np.float64)
    if f.ndim != 2 or labels.shape != (len(f),) or not np.isfinite(f).all():
        raise ValueError(f"expected finite features [n, d] and n labels, got {f.shape} and {labels.shape}")
    targets = (labels[:, None] == np.unique(labels)).astype(np.float64)
    left, singular, _ = scipy.linalg.svd(f, full_matrices=False)
    kept = singular > max(f.shape) * float(np.finfo(np.float64).eps) * max(float(singular[0]), 1e-300)
    inner = left[:, kept].T @ targets
    rest = ((targets - left[:, kept] @ inner) ** 2).sum(axis=0)
    rest[rest <= 1e-24 * targets.sum(axis=0)] = 0.0
    return logme_of_moments(singular[kept] ** 2, inner**2, rest, len(f))


def logme_of_moments(squares: Matrix, power: Matrix, rest: Matrix, n: int) -> float:
    """LogME of n rows from squares σ² [r], power z² [r, K] and what is left ‖y − Uz‖² of every class [K].

    No direction at all, two classes of two rows: the evidence of n draws of variance ½.

    >>> score = logme_of_moments(np.zeros(0), np.zeros((0, 2)), np.array([2.0, 2.0]), 4)
    >>> bool(np.isclose(score, -0.5 * np.log(2 * np.pi * np.e * 0.5)))
    True

    Infinite where nothing is left of a class in fewer directions than rows: give 0 for what is rounding.
    """
    if (rest == 0).any() and squares.size < n:
        return math.inf
    return float(_maxima(squares, power, rest, n).mean()) / n


def _maxima(squares: Matrix, power: Matrix, rest: Matrix, n: int) -> Matrix:
    """Greatest log evidence of every class: squares σ² [r], power z² [r, K], rest [K] → [K]."""
    if squares.size == 0:
        constant: Matrix = _evidence(np.zeros(1), squares, power, rest, n)[0]
        return constant
    low = math.log(float(squares.min())) - MARGIN
    high = math.log(float(squares.sum())) + MARGIN
    grid = np.linspace(low, high, math.ceil((high - low) / STEP) + 1)
    table = _evidence(grid, squares, power, rest, n)
    best: Matrix = table.max(axis=0)
    for c, top in enumerate(table.argmax(axis=0)):

        def negative(t: float, c: int = c) -> float:
            return -float(_evidence(np.array([t]), squares, power[:, [c]], rest[[c]], n)[0, 0])

        bounds = (grid[max(top - 1, 0)], grid[min(top + 1, grid.size - 1)])
        found = scipy.optimize.minimize_scalar(negative, bounds=bounds, method="bounded", options={"xatol": 1e-7})
        best[c] = max(best[c], -float(found.fun))
    return best


def _evidence(log_ratio: Matrix, squares: Matrix, power: Matrix, rest: Matrix, n: int) -> Matrix:
    """ln p at the best β for every λ = exp(log_ratio): [T, K]."""
    ratio = np.exp(log_ratio)[:, None]
    quadratic = rest + (ratio / (ratio + squares)) @ power
    volume = np.log1p(squares / ratio).sum(axis=1, keepdims=True)
    evidence: Matrix = -n / 2 * np.log(2 * math.pi * math.e / n * quadratic) - volume / 2
    return evidence
