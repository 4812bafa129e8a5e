"""Statistics of gradient noise, from numbers already projected: no model, no torch.

Shapes: N examples or batches, k modes; projections a_il = ⟨u_l, g_i⟩ are rows [N, k].

    covariance    Σ̂ = (1/(N−1)) Σ (a_i − ā)(a_i − ā)ᵀ
    its errors    Var s² = (m₄ − s⁴(N−3)/(N−1))/N for every mode, m₄ the fourth central moment
    slope         least squares of ln s_l² on ln λ_l, Student's interval with k − 2 degrees of freedom
    coherence     [H, Σ]_ij = (λ_i − λ_j)Σ_ij:   ‖[H, Σ]‖_F/(2‖H‖_F‖Σ‖_F) ≤ 1/√2 (Böttcher, Wenzel 2008);
                  errors by a jackknife that leaves out one block of examples after the other
    its floor     the same with Σ_ij² → Σ_iiΣ_jj/(N−1), i ≠ j: what sampling makes of a diagonal Σ
    Hill          1/α = mean ln(x_(i)/x_(m+1)) over the m largest; standard error α/√m
    correlation   n_k = mean of batch k's a_i − ā; at lag j the mean over modes and steps of n_k,l n_{k+j},l/Var n_l,
                  with the same steps k = 0, …, T − 1 − (largest lag) for every j: whole epochs
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from limen.arrays.means import t_interval
from limen.records.estimate import Estimate, not_identified

Floats = NDArray[np.float64]

BLOCKS = 20
TAIL_SHARE = 0.1
LEAST_FOR_HILL = 100
LEAST_MODES = 4
DISTINCT = 1e-6
"""Range of ln λ below which a slope has nothing to stand on."""
REFERENCE = "docs/statements/gradient-noise.md"


def covariance(rows: Floats) -> Floats:
    """Unbiased covariance [k, k] of rows [N ≥ 2, k].

    >>> covariance(np.array([[1.0], [3.0]])).tolist()
    [[2.0]]
    """
    centred = rows - rows.mean(axis=0)
    found: Floats = centred.T @ centred / (len(rows) - 1)
    return found


def variance_errors(rows: Floats) -> Floats:
    """Standard errors [k] of the variances of rows [N ≥ 4, k]; of whatever distribution has a fourth moment.

    Balanced signs leave nothing uncertain but the mean:

    >>> variance_errors(np.tile([[1.0], [-1.0]], (50, 1))).round(2).tolist()
    [0.0]
    """
    n = len(rows)
    centred = rows - rows.mean(axis=0)
    second, fourth = (centred**2).sum(axis=0) / (n - 1), (centred**4).mean(axis=0)
    # never negative: m₄ ≥ (m₂)² = s⁴((n−1)/n)², and ((n−1)/n)² ≥ (n−3)/(n−1) for n ≥ 3
    errors: Floats = np.sqrt((fourth - second**2 * (n - 3) / (n - 1)) / n)
    return errors


def trace(squares: Floats, batch_size: int, confidence: float) -> Estimate:
    """tr Σ of one example from ‖g_b − ḡ‖² of M batches of S examples: S/(M−1)·Σ_b.

    >>> trace(np.array([1.0, 1.0, 1.0]), 2, 0.95).value
    3.0
    """
    found = t_interval(squares * batch_size * len(squares) / (len(squares) - 1), confidence)
    return Estimate(
        found.value,
        found.low,
        found.high,
        confidence=confidence,
        grade="statistical",
        n=len(squares),
        method=f"between batches of {batch_size}",
        assumptions=("batches of distinct examples, drawn at random", "Student's interval over batches"),
        reference=REFERENCE,
    )


def slope(eigenvalues: Floats, variances: Floats, confidence: float) -> Estimate:
    """d ln s²/d ln λ over the modes where both are positive.

    >>> round(slope(np.array([1.0, 2.0, 4.0, 8.0]), np.array([3.0, 6.1, 12.0, 24.0]), 0.95).value, 2)
    1.0
    """
    used = (eigenvalues > 0) & (variances > 0)
    x, y = np.log(eigenvalues[used]), np.log(variances[used])
    if len(x) < LEAST_MODES or np.ptp(x) < DISTINCT:
        reason = f"needs {LEAST_MODES} modes of distinct positive curvature and noise, got {len(x)}: ask for more modes"
        return not_identified(reason, n=len(x), reference=REFERENCE)
    spread = ((x - x.mean()) ** 2).sum()
    value = float(((x - x.mean()) * y).sum() / spread)
    left = y - y.mean() - value * (x - x.mean())
    error = math.sqrt(float((left**2).sum()) / (len(x) - 2) / spread)
    half = float(student.ppf((1 + confidence) / 2, len(x) - 2)) * error
    return Estimate(
        value,
        value - half,
        value + half,
        confidence=confidence,
        grade="statistical",
        n=len(x),
        method="least squares of ln noise on ln curvature over modes",
        assumptions=("a power law with independent equal scatter over modes",),
        reference=REFERENCE,
    )


def coherence(eigenvalues: Floats, rows: Floats, confidence: float) -> tuple[Estimate, float]:
    """‖[H, Σ]‖_F/(2‖H‖_F‖Σ‖_F) in the span of the modes, and its floor.

    >>> turned = np.array([[1.0, 1.0], [-1.0, -1.0]] * 40)  # Σ ∝ ((1, 1), (1, 1)), H = diag(1, −1)
    >>> found, floor = coherence(np.array([1.0, -1.0]), turned, 0.95)
    >>> round(found.value, 6), floor < 0.1
    (0.5, True)
    """
    if len(eigenvalues) < 2 or len(rows) < 2 * BLOCKS:
        reason = f"needs 2 modes and {2 * BLOCKS} examples or batches, got {len(eigenvalues)} and {len(rows)}"
        return not_identified(reason, n=len(rows), reference=REFERENCE), 0.0
    sigma = covariance(rows)
    if not sigma.any() or not eigenvalues.any():
        return not_identified("curvature or noise vanishes along the modes", n=len(rows), reference=REFERENCE), 0.0
    apart = (eigenvalues[:, None] - eigenvalues[None, :]) ** 2
    size = 2 * float(np.linalg.norm(eigenvalues)) * float(np.linalg.norm(sigma))
    product = np.outer(np.diag(sigma), np.diag(sigma)) / (len(rows) - 1)
    floor = math.sqrt(float((apart * product).sum())) / size
    value, error = _jackknife(lambda part: _coherence(eigenvalues, covariance(part), apart), rows)
    half = float(student.ppf((1 + confidence) / 2, BLOCKS - 1)) * error
    estimate = Estimate(
        value,
        value - half,
        value + half,
        confidence=confidence,
        grade="statistical",
        n=len(rows),
        method=f"plug-in, jackknife over {BLOCKS} blocks",
        assumptions=(f"reads about {floor:.2g} for a covariance that is diagonal in the modes",),
        reference=REFERENCE,
    )
    return estimate, floor


def hill(values: Floats, confidence: float) -> Estimate:
    """Tail index α of positive values [N ≥ 100], from the largest tenth: P(X > x) ~ x^{−α}.

    A power law's quantiles, α = 2:

    >>> round(hill((1 - (np.arange(10_000) + 0.5) / 10_000) ** -0.5, 0.95).value, 1)
    2.0
    """
    n = len(values)
    if n < LEAST_FOR_HILL:
        reason = f"needs {LEAST_FOR_HILL} batches, got {n}: a smaller batch_size makes more"
        return not_identified(reason, n=n, reference=REFERENCE)
    ordered = np.sort(values)[::-1]
    tail = math.floor(TAIL_SHARE * n)
    if not ordered[tail] > 0 or ordered[0] == ordered[tail]:
        return not_identified("the largest values do not differ, or are 0", n=n, reference=REFERENCE)
    index = 1 / float(np.log(ordered[:tail] / ordered[tail]).mean())
    half = float(norm.ppf((1 + confidence) / 2)) * index / math.sqrt(tail)
    return Estimate(
        index,
        index - half,
        index + half,
        confidence=confidence,
        grade="statistical",
        n=n,
        method=f"Hill, the largest {tail} of {n}",
        assumptions=(
            "independent values with a power-law tail",
            "a light tail reads as a large index, not as infinity",
        ),
        reference=REFERENCE,
    )


def autocorrelation(noise: Sequence[Floats], lags: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Correlation at each lag and its standard error over R ≥ 2 sequences [T, k] of noise with mean 0 over examples.

    >>> values, _ = autocorrelation([np.array([[1.0], [-1.0], [1.0], [-1.0]])] * 2, np.array([0, 1, 2]))
    >>> values.tolist()
    [1.0, -1.0, 1.0]
    """
    scale = np.mean([(n**2).mean(axis=0) for n in noise], axis=0)
    seen, last = scale > 0, int(max(lags))
    pairs = [[n[: len(n) - last] * n[j : len(n) - last + j] for j in lags] for n in noise]
    each = np.array([[float((p.mean(axis=0)[seen] / scale[seen]).mean()) for p in row] for row in pairs])
    return each.mean(axis=0), each.std(axis=0, ddof=1) / math.sqrt(len(noise))


def _coherence(eigenvalues: Floats, sigma: Floats, apart: Floats) -> float:
    above = math.sqrt(float((apart * sigma**2).sum()))
    return above / (2 * float(np.linalg.norm(eigenvalues)) * float(np.linalg.norm(sigma)))


def _jackknife(statistic: Callable[[Floats], float], rows: Floats) -> tuple[float, float]:
    """The statistic and its delete-a-block standard error."""
    block = np.arange(len(rows)) % BLOCKS
    left = np.array([statistic(rows[block != i]) for i in range(BLOCKS)])
    return statistic(rows), math.sqrt((BLOCKS - 1) / BLOCKS * float(((left - left.mean()) ** 2).sum()))
