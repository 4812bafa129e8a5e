"""Are two fitted models different on the same rows, and are several such answers still believable together?

McNemar: of the rows on which exactly one of two models errs, the number on which the first errs is Bin(b+c, ½) when
both have the same error (exact, two-sided; McNemar 1947). Holm: step-down adjusted p values, which hold the chance of
any false rejection at α under every dependence (Holm, Scand. J. Stat. 6, 1979). Both are conditional on the fitted
models: they say nothing about the encoders at other label counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from limen.arrays.checks import Floats, count, vector


def mcnemar_exact(b: int, c: int) -> float:
    """Exact two-sided p value from b rows where only the first model errs and c where only the second does.

    >>> mcnemar_exact(0, 5)
    0.0625
    >>> mcnemar_exact(0, 0)
    1.0
    """
    count("b", b, least=0)
    count("c", c, least=0)
    return 1.0 if b + c == 0 else float(binomtest(int(b), int(b) + int(c), 0.5).pvalue)


def holm(p_values: ArrayLike) -> Floats:
    """Holm-adjusted p values in the order given: max over j ≤ i of min(1, (m − j + 1) p_(j)), shape [m].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = vector("p_values", p_values)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"p_values: expected numbers in [0, 1], got {p.min()} to {p.max()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return adjusted
