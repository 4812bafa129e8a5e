"""The floor of squared loss from one least-squares fit: formulas that are unbiased under stated assumptions.

Unpenalised least squares on n rows of rank d, n > d, with E[y|x] = Θᵀx and E[‖y − Θᵀx‖² | x] = σ² (the floor):

    E training = σ²(1 − d/n)                       for every design, so training/(1 − d/n) is unbiased;
    E test     = σ²(n − 1)/(n − d − 1)             for Gaussian rows of mean 0, n > d + 1, so
    E training · E test = σ⁴(1 + d/(n(n − d − 1))), and √(training · test) → σ² with relative error d/(2n(n − d − 1)).

The midpoint ½(training + test) tends to σ²(1 + γ²/(2(1 − γ))), γ = d/n: too high unless γ is small.
Training: the trace of the residual projector. Test: E (XᵀX)⁻¹ = Σ⁻¹/(n − d − 1) (inverse Wishart).
Hastie, Tibshirani, Friedman, ESL (2009), eq. 3.8; Hastie, Montanari, Rosset, Tibshirani, Ann. Stat. 50 (2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from limen.arrays.checks import count

LEAST_SQUARES = "unpenalised least squares on n independent rows of rank d < n"
WELL_SPECIFIED = "E[y|x] is linear in x: no linear adapter misses part of the signal"
HOMOSCEDASTIC = "the noise has one variance at every x (one-hot labels break this)"
GAUSSIAN = "rows are Gaussian; n and d are large"


@dataclass(frozen=True, slots=True)
class FloorFormula:
    """A floor that a formula gives, and what must hold for it; no interval comes with it."""

    value: float
    """In units of the squared loss."""
    assumptions: tuple[str, ...]
    source: str


def floor_from_training(training_loss: float, n: int, rank: int) -> FloorFormula:
    """training/(1 − d/n): unbiased for σ² whatever the features, for n > d = `rank` (constant feature counted).

    >>> floor_from_training(0.5, n=20, rank=10).value
    1.0

    Raises ValueError for n ≤ d or a negative loss.
    """
    count("rank", rank, least=0)
    if count("n", n) <= rank:
        raise ValueError(f"n: expected more rows than the rank {rank}, got {n}: the fit leaves no residual")
    return FloorFormula(
        _loss("training_loss", training_loss) / (1 - rank / n),
        (LEAST_SQUARES, WELL_SPECIFIED, HOMOSCEDASTIC),
        "trace of the residual projector; Hastie, Tibshirani, Friedman, ESL (2009), eq. 3.8",
    )


def floor_from_both(training_loss: float, test_loss: float) -> FloorFormula:
    """√(training · test): tends to σ² at every d/n < 1 for Gaussian rows; d need not be known.

    >>> floor_from_both(0.5, 2.0).value
    1.0

    Raises ValueError for a negative loss.
    """
    return FloorFormula(
        math.sqrt(_loss("training_loss", training_loss) * _loss("test_loss", test_loss)),
        (LEAST_SQUARES, WELL_SPECIFIED, HOMOSCEDASTIC, GAUSSIAN, "test rows come from the same population"),
        "inverse Wishart mean; Hastie, Montanari, Rosset, Tibshirani, Ann. Stat. 50 (2022)",
    )


def _loss(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: expected a finite loss of at least 0, got {value}")
    return value
