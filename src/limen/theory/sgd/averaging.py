"""What averaging iterates takes off the variance and the excess loss: exponential, window, two checkpoints.

With the autocorrelation r(k) of a mode at equilibrium and its variance,

    exponential x̄_k = αx̄_{k−1} + (1 − α)x_k     Var x̄/Var x = (1 − α)/(1 + α)·(2R(α) − 1),  R(α) = Σ_{k≥0} αᵏr(k)
    window of W iterates                          Var x̄/Var x = (1/W²)[W + 2Σ_{k<W}(W − k)r(k)]   (→ s²/(h²W)/Var x)
    two checkpoints k apart                       ½(1 + r(k))

R(α) = (1 − αbφ/(1 + b))/(1 − φα + bα²) for the exact law without look-ahead. The window's limit C/(h²W) depends
neither on the learning rate nor on momentum (Polyak and Juditsky, 1992). Excess loss of the average: ½ Σ h_l Var x̄_l
+ ½ Σ h_l(E x̄_l)². Under reshuffled data the correlation is the epoch law's: averages over whole epochs lose far more
variance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.checks import count
from limen.records.errors import BadInput, Problem
from limen.theory.sgd.discrete import Discrete
from limen.theory.sgd.epoch_roots import settled
from limen.theory.sgd.law import Law
from limen.theory.sgd.problem import Floats

ROWS = 1024
FORGOTTEN = 40.0
"""αᵏ < e^{−40} counts as nothing."""


def exponential_average(law: Law, alpha: float) -> Floats:
    """Var x̄/Var x of the exponential average with memory α in [0, 1) [L]; NaN for flat and unstable modes."""
    if not 0 <= alpha < 1:
        raise BadInput(Problem("alpha", f"expected a number in [0, 1), got {alpha}"))
    if isinstance(law, Discrete) and not law.problem.nesterov:
        r = law.recursion
        phi = 1 + r.b - r.a
        ahead = 2 * (1 - alpha * r.b * phi / (1 + r.b)) / (1 - phi * alpha + r.b * alpha**2) - 1
        return np.where(np.isnan(law.position_variance), np.nan, (1 - alpha) / (1 + alpha) * ahead)
    steps = 1 if alpha == 0 else int(np.ceil(-FORGOTTEN / np.log(alpha)))
    return 1 - _lost(law, lambda k: (1 - alpha) / (1 + alpha) * alpha**k, steps)


def window_average(law: Law, window: int) -> Floats:
    """Var x̄/Var x of the mean of `window` successive iterates [L]; NaN for flat and unstable modes.

    >>> from limen.theory.sgd.problem import Modes
    >>> window_average(Discrete(Modes([1.0], [1.0], learning_rate=1.0)), 10).round(12)  # independent iterates
    array([0.1])
    """
    size = count("window", window)
    if isinstance(law, Discrete) and not law.problem.nesterov:
        r = law.recursion
        return np.where(np.isnan(law.position_variance), np.nan, 1 - r.a * settled(r, size))
    return 1 - _lost(law, lambda k: (size - k) / size**2, size)


def two_checkpoints(law: Law, apart: int) -> Floats:
    """Var x̄/Var x of the mean of two iterates `apart` steps apart [L]."""
    return np.asarray((1 + law.position_autocorrelation([apart])[0]) / 2)


def excess_loss_saved(law: Law, ratio: Floats) -> float | None:
    """½ Σ h_l Var x_l (1 − ratio_l): what an average saves of the excess loss; None with a flat or unstable mode."""
    saved = float((law.temperature * (1 - ratio)) @ law.problem.weight) / 2
    return None if np.isnan(saved) else saved


def _lost(law: Law, weight: Callable[[NDArray[np.int64]], Any], steps: int) -> Floats:
    """2 Σ_{0<k<steps} weight(k)(1 − r(k)): weights of both signs of k sum to 1 with that of 0."""
    total = np.zeros(len(law.problem.curvature))
    for first in range(1, steps, ROWS):
        k = np.arange(first, min(first + ROWS, steps))
        total += weight(k) @ np.asarray(1 - law.position_autocorrelation(k))
    return np.asarray(2 * total)
