"""The two rules by which an interval passes a coverage simulation (docs: how sure)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta


@pytest.fixture
def certified() -> Callable[[np.ndarray, float], None]:
    """A certified interval fails only if the upper 99 % Clopper–Pearson limit of its coverage is below nominal."""

    def check(hits: np.ndarray, nominal: float) -> None:
        n, k = hits.size, int(hits.sum())
        assert n >= 2000
        upper = 1.0 if k == n else float(beta.isf(0.01, k + 1, n - k))
        assert upper >= nominal, f"coverage {k / n:.4f} of {n}, nominal {nominal}"

    return check


@pytest.fixture
def statistical() -> Callable[[np.ndarray], None]:
    """A statistical interval of nominal 95 % covers 93 to 97 %."""

    def check(hits: np.ndarray) -> None:
        assert hits.size >= 2000
        assert 0.93 <= hits.mean() <= 0.97, f"coverage {hits.mean():.4f} of {hits.size}"

    return check
