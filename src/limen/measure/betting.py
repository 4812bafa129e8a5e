"""Upper bounds on a mean, or on a floor, by betting against it: finite-sample, for losses in [0, b].

X_1, X_2, … in [0, b] with E[X_i | X_1 … X_{i−1}] ≥ L for every i (for independent rows of one probe L is its loss; for
rows scored by probes of earlier rows, `limen.adapt.prequential`, L is the floor). If L ≥ m, then

    K_n(m) = Σ_j w_j Π_i (1 + λ_j (m − X_i)),      λ_j = 2^{−j}/b,   w_j ≥ 0, Σ w_j = 1

has E K_n(m) ≤ 1, and every factor is positive, so P(K_n(m) ≥ 1/δ) ≤ δ (Ville, Markov). K_n rises with m; the bound is
the m where it reaches 1/δ, or b.                       Waudby-Smith, Ramdas, J. R. Stat. Soc. B 86 (2024); Ville 1939.

By concavity Σ_i ln(1 + λ(m − X_i)) is at least the exponent of the Chernoff-kl bound at the same λ, so against
`kl_upper` only the weights can lose: ln(1/w_j) beside ln(1/δ). One half of the weight is on λ = 1/b, the best bet where
b is large against the deviation of the losses.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import logsumexp

from limen.arrays.checks import positive, probability, vector


def betting_upper(losses: ArrayLike, delta: float, scale: float = 1.0) -> float:
    """Upper bound at confidence 1 − δ on L for losses [n] in [0, scale]; their order does not matter.

    Raises ValueError for losses outside [0, scale].

    >>> round(betting_upper(np.zeros(100), 0.05), 4)  # kl: 0.0295
    0.0365
    >>> betting_upper(np.ones(3), 0.05)
    1.0
    """
    x, b = vector("losses", losses) / positive("scale", scale), scale
    if x.min() < 0 or x.max() > 1:
        raise ValueError(f"losses: expected values in [0, {b}], got {b * x.min()} to {b * x.max()}")
    bets = 2.0 ** -np.arange(2 + math.ceil(math.log2(x.size) / 2))
    weights = bets / 2
    weights[-1] *= 2  # Σ = 1
    target = -math.log(probability("delta", delta))

    def wealth(m: float) -> float:
        # factors at m = 0 and X = 1 are 0 for the largest bet: the root lies above the mean, where they are not
        with np.errstate(divide="ignore"):
            factors = np.log1p(np.multiply.outer(bets, m - x)).sum(axis=1)
        return float(logsumexp(factors, b=weights)) - target

    if wealth(1.0) <= 0:
        return b
    return b * float(brentq(wealth, float(x.mean()), 1.0, xtol=1e-14, rtol=1e-13))
