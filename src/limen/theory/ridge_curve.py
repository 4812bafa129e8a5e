"""Test and training loss of ridge regression at every label count and penalty, from the spectrum of the features.

Population: E xxᵀ = Σ_j s_j v_jv_jᵀ, y = Θᵀx + ε ∈ ℝ^K, E‖ε‖² = σ², alignment b_j = ‖v_jᵀΘ‖². With n rows and

    W = argmin (1/n) Σ ‖Wᵀx_i − y_i‖² + λ‖W‖²,    κ > 0 the root of  n − df1(κ) = nλ/κ,
    df1(κ) = Σ_j s_j/(s_j + κ),                    df2(κ) = Σ_j (s_j/(s_j + κ))²,

    test     E‖Wᵀx − y‖²  ≃  (κ² Σ_j s_j b_j/(s_j + κ)² + σ²)/(1 − df2/n),
    training (1/n) Σ ‖Wᵀx_i − y_i‖²  ≃  (λ/κ)² · test,       so GCV = training/(1 − df/n)² ≃ test, as df ≃ df1(κ).

λ = 0 is the limit: κ = 0 for n ≥ rank (test σ²/(1 − rank/n), infinite at n = rank), the interpolator for n < rank.
Assumptions (`ASSUMPTIONS`) hold for Gaussian rows and independent noise; then errors vanish as n and the rank grow.
Hastie, Montanari, Rosset, Tibshirani, Ann. Stat. 50 (2022); Bach, SIAM J. Math. Data Sci. 6 (2024); Cheng, Montanari,
Ann. Stat. 52 (2024). Derivation: docs/statements/ridge-curve.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from limen.arrays.checks import vector

Matrix = NDArray[np.float64]

NEWTON_STEPS = 200

ASSUMPTIONS = (
    "rows are independent; x = Σ^½ z with independent standardised coordinates z (exact for Gaussian rows)",
    "the noise y − Θᵀx has mean 0 and one variance, independent of x (one-hot labels break this; the formula then "
    "treats what no linear adapter explains as such noise)",
    "n and the number of features are large",
)

# shapes: N label counts, L penalties; p features, K outputs; M pooled rows


@dataclass(frozen=True, slots=True)
class LinearProblem:
    """What the curve depends on: the spectrum, how the target lies in it, and the floor."""

    spectrum: Matrix
    """Eigenvalues s of E xxᵀ, ≥ 0, in any order: [p]."""
    alignment: Matrix
    """b_j = ‖v_jᵀΘ‖² along the same eigenvectors: [p]; estimates may be negative."""
    noise: float
    """σ² = E‖y − Θᵀx‖², the floor of the linear class, summed over outputs."""

    def __post_init__(self) -> None:
        spectrum, alignment = vector("spectrum", self.spectrum), vector("alignment", self.alignment)
        if (spectrum < 0).any() or spectrum.shape != alignment.shape or not 0 <= self.noise < np.inf:
            raise ValueError(
                f"expected eigenvalues ≥ 0, as many alignments and noise ≥ 0, got {spectrum.size} eigenvalues from "
                f"{spectrum.min():.3g}, {alignment.size} alignments, noise {self.noise}"
            )


@dataclass(frozen=True, slots=True)
class RidgeCurve:
    """Predicted losses [N, L] in the units of ‖y‖², laid out as the measured grid is."""

    counts: NDArray[np.int64]
    penalties: Matrix
    test_loss: Matrix
    """Deterministic equivalent of the loss on new rows, noise included; also of GCV. Infinite at λ = 0, n = rank."""
    training_loss: Matrix
    effective_dimension: Matrix
    """df1(κ), the equivalent of tr G(G + λI)⁻¹."""
    kappa: Matrix
    """The penalty that the population would need to shrink as n rows do; κ ≥ λ."""
    assumptions: tuple[str, ...] = ASSUMPTIONS


def ridge_curve(problem: LinearProblem, counts: Sequence[int], penalties: ArrayLike) -> RidgeCurve:
    """The curve at every label count n ≥ 1 [N] and penalty λ ≥ 0 [L].

    One direction of size 1, no signal, noise 1, ordinary least squares of 2 rows: σ²/(1 − ½) and σ²(1 − ½).

    >>> curve = ridge_curve(LinearProblem(np.ones(1), np.zeros(1), 1.0), [2], [0.0])
    >>> curve.test_loss.tolist(), curve.training_loss.tolist()
    ([[2.0]], [[0.5]])

    Raises ValueError for counts below 1 or penalties that are negative or not finite.
    """
    lam = vector("penalties", penalties)
    n = np.asarray(counts, dtype=np.int64)
    if n.ndim != 1 or n.size == 0 or n.min() < 1 or lam.min() < 0:
        raise ValueError(f"expected label counts ≥ 1 and penalties ≥ 0, got {list(counts)} and {lam.tolist()}")
    s = problem.spectrum[problem.spectrum > 0]
    b = problem.alignment[problem.spectrum > 0]
    kappa = np.array([_kappa(s, int(size), lam) for size in n])
    # s/(s + κ) and κ/(s + κ): [N, L, p]
    kept = s / (s + kappa[:, :, None])
    lost = kappa[:, :, None] / (s + kappa[:, :, None])
    df1, df2 = kept.sum(axis=2), (kept**2).sum(axis=2)
    ratio = np.where(kappa > 0, lam / np.where(kappa > 0, kappa, 1.0), 1 - s.size / n[:, None])
    free = 1 - df2 / n[:, None]
    error = lost**2 @ (s * b) + problem.noise
    test = np.full(error.shape, np.inf)
    np.divide(error, free, out=test, where=free > 0)
    training = np.zeros(error.shape)  # λ = 0 and n ≤ rank interpolates
    np.multiply(ratio**2, test, out=training, where=ratio > 0)
    return RidgeCurve(n, lam, test, training, df1, kappa)


def linear_problem(second_moment: Matrix, cross_moment: Matrix, target_power: float) -> LinearProblem:
    """The problem of a population with E xxᵀ [p, p], E xyᵀ [p, K] and E‖y‖²: Θ is the best linear adapter.

    >>> problem = linear_problem(np.diag([1.0, 4.0]), np.array([[0.5], [0.0]]), 1.0)
    >>> problem.spectrum.tolist(), problem.alignment.tolist(), problem.noise
    ([1.0, 4.0], [0.25, 0.0], 0.75)

    Directions of eigenvalue 0 (below 1e-13 of the largest) carry nothing. Raises ValueError for moments that no
    population has (E‖y‖² below what Θ explains).
    """
    values, vectors = scipy.linalg.eigh(second_moment)
    kept = values > 1e-13 * values[-1]
    power = ((vectors.T @ cross_moment) ** 2).sum(axis=1)
    return _problem(np.where(kept, values, 0.0), power, target_power)


def _problem(spectrum: Matrix, power: Matrix, target_power: float) -> LinearProblem:
    """From eigenvalues s_j ≥ 0 and ‖v_jᵀE xyᵀ‖²: b_j = power_j/s_j², noise = what Θ leaves of E‖y‖²."""
    positive = spectrum > 0
    alignment = np.where(positive, power / np.where(positive, spectrum, 1.0) ** 2, 0.0)
    noise = target_power - float(spectrum @ alignment)
    if noise < -1e-9 * target_power:
        raise ValueError(f"E‖y‖² = {target_power} is below the {target_power - noise} that the moments explain")
    return LinearProblem(spectrum, alignment, max(noise, 0.0))


def pooled_problem(features: Matrix, targets: Matrix) -> LinearProblem:
    """The problem estimated from pooled rows [M, p] and targets [M, K]; M must exceed the rank r.

    Noise and alignment are corrected for the M rows: σ̂² = training/(1 − r/M), b̂_j = ‖v_jᵀΘ̂‖² − σ̂²/(M·s_j); both are
    unbiased given the features when the noise is as assumed. The spectrum is that of the pool.

    >>> x, y = np.array([[1.0], [1.0]]), np.array([[1.0], [0.0]])
    >>> problem = pooled_problem(x, y)  # Θ̂ = ½, residual loss ¼ on 2 rows, so σ̂² = ½ and b̂ = ¼ − ¼
    >>> problem.noise, problem.alignment.tolist()
    (0.5, [0.0])

    Raises ValueError for M ≤ r.
    """
    rows = len(features)
    values, vectors = scipy.linalg.eigh(features.T @ features / rows)
    power = ((vectors.T @ (features.T @ targets / rows)) ** 2).sum(axis=1)
    kept = values > 1e-13 * values[-1]
    return estimated_problem(np.where(kept, values, 0.0), power, float((targets**2).sum() / rows), rows)


def estimated_problem(spectrum: ArrayLike, power: ArrayLike, target_power: float, rows: int) -> LinearProblem:
    """`pooled_problem` from the pool's eigenvalues s_j, ‖v_jᵀE xyᵀ‖², E‖y‖² and number of rows M.

    >>> estimated_problem([1.0], [0.5], 1.0, 2).noise  # of the two rows above: (1 − ½)/(1 − ½)
    1.0

    Raises ValueError for M ≤ r.
    """
    raw = _problem(vector("spectrum", spectrum), vector("power", power), target_power)
    positive = raw.spectrum > 0
    rank = int(positive.sum())
    if rows <= rank:
        raise ValueError(f"{rows} pooled rows of rank {rank} leave no residual: pool more rows than features")
    noise = raw.noise / (1 - rank / rows)
    bias = np.where(positive, noise / (rows * np.where(positive, raw.spectrum, 1.0)), 0.0)
    return LinearProblem(raw.spectrum, raw.alignment - bias, noise)


def _kappa(s: Matrix, n: int, lam: Matrix) -> Matrix:
    """Root κ of f(κ) = κ − λ − (1/n) Σ κs/(s + κ), convex with f(0) ≤ 0: Newton from the right falls onto it."""
    kappa = lam + s.sum() / n  # f ≥ 0 here
    for _ in range(NEWTON_STEPS):
        kept = s / (s + kappa[:, None])
        value = kappa * (1 - kept.sum(axis=1) / n) - lam
        slope = 1 - (kept**2).sum(axis=1) / n
        step = np.where(slope > 0, value / np.where(slope > 0, slope, 1.0), 0.0)
        kappa = np.maximum(kappa - step, lam)
        if (np.abs(step) <= 1e-15 * kappa).all():
            break
    return np.where((lam == 0) & (n >= s.size), 0.0, kappa)
