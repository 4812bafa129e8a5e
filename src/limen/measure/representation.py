"""Numbers of an encoder that need no labels: how close views are, how spread inputs are, how many directions they use.

For features f of n rows, u = f/‖f‖, and f⁺ the features of a second view of each row:

alignment        E ‖u − u⁺‖^a                                         mean over rows
uniformity       ln E exp(−t‖u − u′‖²), u′ another row                U-statistic; on the sphere −2t + ln ₀F₁(d/2; t²)
spectral_loss    −2 E fᵀf⁺ + E (fᵀf′⁺)²                               U-statistic, at the scale that makes it least:
                 −a²/b with a = E fᵀf⁺, b = E (fᵀf′⁺)², unless `scale = "given"`
rank_me          exp H(σ_k/Σσ), σ the singular values of F [n, d]     of these rows, not centred
effective_rank   (tr Σ)²/tr Σ², Σ the covariance of f                 both traces without bias, from fourth moments

Intervals: alignment t; uniformity and spectral loss t of the U-statistic's projections (Hoeffding 1948), by the delta
method; effective rank by the delete-a-group jackknife (20 groups). RankMe has none: its bias of order d/n is larger
than its spread. Unbiased traces, S the sample covariance and Q = Σ‖f − f̄‖⁴/(n − 1) (Himeno, Yamada 2014):

    tr Σ²  ~ c{(n−1)(n−2) tr S² + (tr S)² − nQ},        c = (n−1)/(n(n−2)(n−3)),
    (tr Σ)² ~ c{2 tr S² + (n²−3n+1)(tr S)² − nQ}.

Sources: Wang, Isola 2020 (arXiv:2005.10242); HaoChen et al. 2021 (arXiv:2106.04156); Garrido et al. 2023
(arXiv:2210.02885); Roy, Vetterli 2007 for the entropy, the participation ratio for the second rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.arrays.intervals import jackknife
from limen.measure.risk import loss_estimate
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified

Matrix = NDArray[np.float64]

BLOCK = 1024
GROUPS = 20
LEAST_ROWS = 4
"""Least rows of the unbiased traces."""

# shapes: n rows, d features


def alignment(features: Matrix, views: Matrix, power: float = 2.0, confidence: float = 0.95) -> Estimate:
    """E ‖u − u⁺‖^power of features [n, d] and those of a second view of the same rows; lower is more aligned.

    >>> alignment(np.eye(2), np.eye(2)[::-1]).value  # orthogonal unit vectors are √2 apart
    2.0
    """
    a, b = _unit(features, "features"), _unit(views, "views")
    _same_shape(a, b)
    found = loss_estimate((((a - b) ** 2).sum(axis=1)) ** (power / 2), None, confidence)
    return found.but(method=f"mean distance of views, power {power:g}", reference="Wang, Isola 2020")


def uniformity(features: Matrix, t: float = 2.0, confidence: float = 0.95) -> Estimate:
    """ln E exp(−t‖u − u′‖²) over pairs of different rows; lower is more uniform, 0 is one point.

    >>> ends = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    >>> bool(np.isclose(uniformity(ends).value, np.log((1 + 2 * np.exp(-8)) / 3)))
    True
    """
    u = _unit(features, "features")
    n = _enough(u)
    means = _row_means(u, u, lambda products: np.exp(-2 * t * (1 - products)))
    value = float(means.mean())
    if value == 0.0:
        return not_identified(f"t = {t:g} leaves no weight on any pair; a smaller t would", n=n, method="uniformity")
    rows = np.log(value) + 2 * (means - value) / value
    return _projected(rows, confidence, f"log of a U-statistic, t = {t:g}", "Wang, Isola 2020")


def spectral_loss(
    features: Matrix, views: Matrix, scale: Literal["best", "given"] = "best", confidence: float = 0.95
) -> Estimate:
    """Spectral contrastive loss of features [n, d] and of a second view of the same rows; lower is better.

    >>> ones = np.ones((4, 1))
    >>> spectral_loss(ones, ones).value, spectral_loss(3 * ones, 3 * ones, "given").value
    (-1.0, 63.0)
    """
    f, g = _finite(features, "features"), _finite(views, "views")
    _same_shape(f, g)
    _enough(f)
    together = np.einsum("ij,ij->i", f, g)
    apart = _row_means(f, g, np.square) + _row_means(g, f, np.square)  # twice the mean over pairs
    a, b = float(together.mean()), float(apart.mean()) / 2
    method = "U-statistic" if scale == "given" else "U-statistic at its best scale"
    if scale == "best" and (a <= 0 or b == 0):
        why = ("similar rows have a mean product of 0 or less: the best scale is 0",)
        return Estimate(0.0, grade="point", n=len(f), method=method, assumptions=why, reference="HaoChen et al. 2021")
    if scale == "given":
        rows = -2 * together + apart - b
    else:
        rows = -(a**2) / b - 2 * a / b * (together - a) + a**2 / b**2 * (apart - 2 * b)
    return _projected(rows, confidence, method, "HaoChen et al. 2021")


def rank_me(features: Matrix) -> Estimate:
    """exp of the entropy of the singular values of features [n, d], between 1 and min(n, d); higher is better.

    >>> round(rank_me(np.vstack([np.eye(3), np.eye(3)])).value, 9)
    3.0
    """
    f = _finite(features, "features")
    singular = scipy.linalg.svd(f, compute_uv=False)
    if singular[0] == 0.0:
        return not_identified("all features are 0", n=len(f), method="RankMe")
    shares = singular[singular > 0] / singular.sum()
    bias = f"of these {len(f):,} rows and {f.shape[1]:,} features: more rows give a larger one, by order d/n"
    return Estimate(
        float(np.exp(-(shares * np.log(shares)).sum())),
        grade="point",
        n=len(f),
        method="RankMe",
        assumptions=(bias,),
        reference="Garrido et al. 2023",
    )


def effective_rank(features: Matrix, confidence: float = 0.95) -> Estimate:
    """Participation ratio (tr Σ)²/tr Σ² of the covariance of features [n, d], between 1 and d in the population.

    >>> cube = np.array([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)] * 500)
    >>> round(effective_rank(cube).value, 2)
    2.0
    """
    f = _finite(features, "features")
    n = _enough(f)
    whole = _traces(n, *_moments(f), f)
    common: dict[str, Any] = {"n": n, "method": "participation ratio, unbiased traces", "reference": "Himeno 2014"}
    if whole[1] <= 0:
        return not_identified("more rows would do: tr Σ² is not told from 0", **common)
    value = whole[0] / whole[1]
    if n < LEAST_ROWS * GROUPS:
        return Estimate(value, grade="point", assumptions=(f"fewer than {LEAST_ROWS * GROUPS} rows",), **common)
    total, gram = _moments(f)
    order = np.arange(n) % GROUPS
    deleted = []
    for group in range(GROUPS):
        out = f[order == group]
        squares, square = _traces(n - len(out), total - out.sum(axis=0), gram - out.T @ out, f[order != group])
        deleted.append(squares / square)
    found = jackknife(value, deleted, confidence)
    if not (found.low > 0 and np.isfinite(found.high)):
        return not_identified("more rows would do: the interval reaches 0", **common)
    said = ("independent rows",)
    return Estimate(value, found.low, found.high, confidence, "statistical", assumptions=said, **common)


def _moments(f: Matrix) -> tuple[Matrix, Matrix]:
    return f.sum(axis=0), f.T @ f


def _traces(n: int, total: Matrix, gram: Matrix, rows: Matrix) -> tuple[float, float]:
    """Unbiased (tr Σ)² and tr Σ² from the sums of n rows."""
    mean = total / n
    covariance = (gram - n * np.outer(mean, mean)) / (n - 1)
    trace, square = float(np.trace(covariance)), float((covariance**2).sum())
    fourth = float((((rows - mean) ** 2).sum(axis=1) ** 2).sum()) / (n - 1)
    c = (n - 1) / (n * (n - 2) * (n - 3))
    squares = c * (2 * square + (n**2 - 3 * n + 1) * trace**2 - n * fourth)
    return squares, c * ((n - 1) * (n - 2) * square + trace**2 - n * fourth)


def _row_means(a: Matrix, b: Matrix, kernel: Callable[[Matrix], Matrix]) -> Matrix:
    """mean over j ≠ i of kernel(a_i·b_j), [n]."""
    n = len(a)
    sums = np.empty(n)
    for start in range(0, n, BLOCK):
        block = kernel(a[start : start + BLOCK] @ b.T)
        own = np.arange(len(block))
        block[own, start + own] = 0.0
        sums[start : start + BLOCK] = block.sum(axis=1)
    return sums / (n - 1)


def _projected(rows: Matrix, confidence: float, method: str, reference: str) -> Estimate:
    """Mean of a U-statistic's projections: rows whose mean is its value."""
    found = loss_estimate(rows, None, confidence)
    return found.but(method=f"{method}; t of its projections", reference=reference)


def _finite(features: Matrix, name: str) -> Matrix:
    f = np.asarray(features, dtype=np.float64)
    if f.ndim != 2 or f.size == 0 or not np.isfinite(f).all():
        raise BadInput(Problem(name, f"expected finite features [n, d], got shape {f.shape}", "NaN, or no row"))
    return f


def _unit(features: Matrix, name: str) -> Matrix:
    f = _finite(features, name)
    norms = np.linalg.norm(f, axis=1, keepdims=True)
    if zero := int((norms == 0).sum()):
        first = int(np.flatnonzero(norms[:, 0] == 0)[0])
        raise BadInput(Problem(name, f"{zero} rows are 0 and have no direction (first: row {first})"))
    unit: Matrix = f / norms
    return unit


def _same_shape(a: Matrix, b: Matrix) -> None:
    if a.shape != b.shape:
        raise BadInput(Problem("views", f"expected one view a row, shape {a.shape}, got {b.shape}"))


def _enough(f: Matrix) -> int:
    if len(f) < LEAST_ROWS:
        raise BadInput(Problem("features", f"expected at least {LEAST_ROWS} rows, got {len(f)}"))
    return len(f)
