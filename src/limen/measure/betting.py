"""Upper bounds on a mean, or on a floor, by betting against it: finite-sample, for losses in [0, b].

X_1, X_2, … in [0, b] with E[X_i | X_1 … X_{i−1}] ≥ L for every i (for independent rows of one probe L is its loss; for
rows scored by probes of earlier rows, `limen.adapt.prequential`, L is the floor). If L ≥ m, then

    K_n(m) = Σ_j w_j Π_i (1 + λ_j (m − X_i)),      λ_j = 2^{−j}/(b − m),   w_j ≥ 0, Σ w_j = 1

has E K_n(m) ≤ 1, and no factor is negative, so P(K_n(m) ≥ 1/δ) ≤ δ (Markov). λ_j (m − X) rises with m, hence K_n does;
the bound is the m where it reaches 1/δ, or b.                    Waudby-Smith, Ramdas, J. R. Stat. Soc. B 86 (2024).

By concavity Σ_i ln(1 + λ(m − X_i)) is at least the exponent of the Chernoff-kl bound at the same λ, so against
`kl_upper` only the weights can lose: ln(1/w_j) beside ln(1/δ), and the grid. One half of the weight is on λ_0, the best
bet where b is large against the deviation of the losses.
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

    >>> round(betting_upper(np.zeros(100), 0.05), 4)  # Clopper-Pearson: 0.0295, kl too
    0.0352
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
        with np.errstate(divide="ignore"):  # the largest bet loses everything where a loss is b
            factors = np.log1p(np.multiply.outer(bets, (m - x) / (1 - m))).sum(axis=1)
        return float(logsumexp(factors, b=weights)) - target

    top = math.nextafter(1.0, 0.0)
    if x.min() == 1 or wealth(top) <= 0:
        return b
    return b * float(brentq(wealth, float(x.mean()), top, xtol=1e-15, rtol=1e-13))
