"""Finite-sample, distribution-free bounds on the mean of bounded independent variables.

With X_1…X_n i.i.d., each bound misses the mean with probability at most δ (one side):

    Clopper–Pearson   k ~ Bin(n, p):  p ≥ betaincinv(k, n−k+1, δ),  p ≤ betaincinv(k+1, n−k, 1−δ)       [1]
    Chernoff-kl       X in [0, 1]:    kl(mean ‖ p) ≤ ln(1/δ)/n on either side of the mean                [2]
    Hoeffding         X in [0, b]:    |p − mean| ≤ b √(ln(1/δ)/(2n)) on one side                         [2]
    Maurer–Pontil     X in [0, b]:    p ≤ mean + √(2 V ln(2/δ)/n) + 7 b ln(2/δ)/(3(n−1)), V of the sample [3]

[1] Clopper, Pearson, Biometrika 26 (1934). [2] Hoeffding, JASA 58 (1963), theorems 1 and 2.
[3] Maurer, Pontil, COLT 2009 (arXiv:0907.3740), theorem 4.
"""

from __future__ import annotations

import math

from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betainccinv, betaincinv, rel_entr

from limen.arrays.checks import count, positive, probability, vector


def clopper_pearson_lower(k: int, n: int, delta: float) -> float:
    """Lower bound at confidence 1 − δ on a probability of which k of n trials showed the event [1].

    Raises ValueError unless 0 ≤ k ≤ n, n ≥ 1 and 0 < δ < 1.

    >>> round(clopper_pearson_lower(10, 10, 0.05), 6) == round(0.05 ** 0.1, 6)
    True
    """
    _successes(k, n)
    probability("delta", delta)
    return 0.0 if k == 0 else float(betaincinv(k, n - k + 1, delta))


def clopper_pearson_upper(k: int, n: int, delta: float) -> float:
    """Upper bound at confidence 1 − δ on a probability of which k of n trials showed the event [1].

    Raises ValueError unless 0 ≤ k ≤ n, n ≥ 1 and 0 < δ < 1.

    >>> round(clopper_pearson_upper(0, 10, 0.05), 6) == round(1 - 0.05 ** 0.1, 6)
    True
    """
    _successes(k, n)
    probability("delta", delta)
    return 1.0 if k == n else float(betainccinv(k + 1, n - k, delta))


def kl_lower(mean: float, n: int, delta: float, scale: float = 1.0) -> float:
    """Smallest expectation compatible with a sample mean of n losses in [0, scale], at confidence 1 − δ [2].

    The smallest q ≤ mean/scale with kl(mean/scale ‖ q) ≤ ln(1/δ)/n, times `scale`. Raises ValueError for a mean
    outside [0, scale] (then the range is not what the caller believes).

    >>> round(kl_lower(1.0, 20, 0.05), 9) == round(0.05 ** (1 / 20), 9)
    True
    """
    return scale * (1.0 - _kl_above(1.0 - _fraction(mean, scale), n, delta))


def kl_upper(mean: float, n: int, delta: float, scale: float = 1.0) -> float:
    """Largest expectation compatible with a sample mean of n losses in [0, scale], at confidence 1 − δ [2].

    >>> round(kl_upper(0.0, 20, 0.05), 9) == round(1 - 0.05 ** (1 / 20), 9)
    True
    """
    return scale * _kl_above(_fraction(mean, scale), n, delta)


def hoeffding_deviation(n: int, delta: float, scale: float = 1.0) -> float:
    """Deviation that the mean of n losses in [0, scale] exceeds on one side with probability at most δ [2].

    >>> round(hoeffding_deviation(100, 0.05), 4)
    0.1224
    """
    return positive("scale", scale) * math.sqrt(-math.log(probability("delta", delta)) / (2 * count("n", n)))


def maurer_pontil_upper(losses: ArrayLike, delta: float, scale: float = 1.0) -> float:
    """Upper bound at confidence 1 − δ on the expectation of losses in [0, scale], by their own variance [3].

    There is no lower twin for a floor: min L̂ ≤ L̂(h*) asks how far the loss of the unknown minimiser h* deviates, and
    the variance that can be computed is the fitted model's, not that of h*. Use `kl_lower`, which needs no variance.
    `losses` [n] must come from rows the model never saw, n ≥ 2.

    >>> round(maurer_pontil_upper([0.5] * 101, 2 / 2.718281828459045), 4)
    0.5233
    """
    x = vector("losses", losses, least=2)
    b = positive("scale", scale)
    if x.min() < 0 or x.max() > b:
        raise ValueError(f"losses: expected values in [0, {b}], got {x.min()} to {x.max()}")
    price = math.log(2 / probability("delta", delta))
    return float(x.mean() + math.sqrt(2 * x.var(ddof=1) * price / x.size) + 7 * b * price / (3 * (x.size - 1)))


def _successes(k: int, n: int) -> None:
    count("n", n)
    if count("k", k, least=0) > n:
        raise ValueError(f"k: expected at most n = {n}, got {k}")


def _fraction(mean: float, scale: float) -> float:
    if not 0.0 <= mean <= positive("scale", scale):
        raise ValueError(f"mean: expected a number in [0, {scale}], got {mean}")
    return mean / scale


def _kl_above(p: float, n: int, delta: float) -> float:
    budget = -math.log(probability("delta", delta)) / count("n", n)
    if p == 1.0:
        return 1.0
    if p == 0.0:
        return -math.expm1(-budget)

    def excess(q: float) -> float:
        return float(rel_entr(p, q) + rel_entr(1 - p, 1 - q)) - budget

    top = math.nextafter(1.0, 0.0)
    return 1.0 if excess(top) < 0 else float(brentq(excess, p, top, xtol=1e-15, rtol=1e-14))
