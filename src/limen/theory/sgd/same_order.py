"""SGD that goes through the data in one fixed order: the noise repeats every epoch, and so does the path.

With M batches an epoch in one random order, kept for ever, the noise has period M and sums to zero over it: at
equilibrium the iterates run round a closed orbit. Over the draw of the order

    E x_kx_{k+t} = (1/(M − 1)) Σ_{m=1}^{M−1} |T(ω_m)|² C cos(ω_m t),  ω_m = 2πm/M,
    |T(ω)|² = (η(1 − d))²|c₀ + c₁e^{−iω}|²/|1 − φe^{−iω} + be^{−2iω}|²,

so the displacement has period M, is 0 after whole epochs, and flat modes have finite variance round their own mean.
Discrete Fourier transform of one period of the noise: Cov(n_k, n_{k+j}) = CM/(M − 1)·(1[M divides j] − 1/M).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.discrete import Discrete
from limen.theory.sgd.law import whole_steps
from limen.theory.sgd.problem import Floats, Modes


def same_order_variance(problem: Modes, steps_per_epoch: int) -> Floats:
    """Variance round the orbit's mean, over its phases and the draw of the order [L], parameter².

    >>> same_order_variance(Modes(curvature=[1.0], noise=[3.0], learning_rate=1.0), 4).round(12)  # x_{k+1} = −n_k
    array([3.])
    """
    return np.asarray(_spectrum(problem, steps_per_epoch).sum(axis=0))


def same_order_displacement(problem: Modes, steps_per_epoch: int, steps: ArrayLike) -> Floats:
    """Σ_l weight_l E(x_{k+t} − x_k)² on the orbit [T], parameter²: periodic, 0 at whole epochs."""
    at = whole_steps(steps)
    power = _spectrum(problem, steps_per_epoch) @ problem.weight  # modes share the frequencies
    omega = 2 * np.pi * np.arange(1, steps_per_epoch) / steps_per_epoch
    return np.asarray(4 * np.sin(np.outer(at % steps_per_epoch, omega) / 2) ** 2 @ power)


def _spectrum(problem: Modes, m: int) -> Floats:
    """Power at each harmonic [M − 1, L]."""
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 2:
        raise BadInput(Problem("steps_per_epoch", f"expected a whole number ≥ 2, got {m!r}"))
    law = Discrete(problem)
    now, before = law.coefficients
    turn = np.exp(-2j * np.pi * np.arange(1, m) / m)[:, None]
    r = law.recursion
    answer = np.abs(now + before * turn) ** 2 / np.abs(1 - (1 + r.b - r.a) * turn + r.b * turn**2) ** 2
    return np.asarray(law.step_variance * answer / (m - 1))
