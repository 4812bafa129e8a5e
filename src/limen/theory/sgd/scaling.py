"""Which learning rate and momentum go with another batch size, and what changes when they are changed together.

Laws that a pair (η, S, β) → (η′, S′, β′) can keep, on modes well inside stability:

    equilibrium    spread of the weights           η/(S(1 − β))          linear rule: η ∝ S
    local          size of a step                  η²/(S(1 − β²))        square-root rule: η ∝ √S
    diffusion      of flat modes, per epoch        η²/(S²(1 − β)²)       linear rule
    memory         of momentum, in epochs          (1 − β)/S             1 − β ∝ S
    portrait       the phase portrait in steps     (1 − β)/(1 + β) and η/(1 + β)   (S free: it is temperature only)

Equilibrium and diffusion per epoch agree: the linear rule keeps both, at the price of larger steps. The rule holds
while the learning rate is a small share of the edge of stability (`correction`) and noise is additive (W < 1,
`multiplicative`). The continuous law's Var x is 1 − q of the exact one, q = a/(2(1 + b)) with the recursion's a and b:
ηh/(2(1 + β)) for heavy ball, the same as the share of the edge; with decoupled decay the two differ inside the edge,
and with Nesterov momentum there is no continuous law. Statements: docs/statements/sgd-scaling.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from limen.arrays.checks import count, positive
from limen.records.errors import BadInput, Problem
from limen.theory.sgd.discrete import Discrete
from limen.theory.sgd.problem import Modes

Keep = Literal["equilibrium", "local", "diffusion", "portrait"]
KEEPS = ("equilibrium", "local", "diffusion", "portrait")


@dataclass(frozen=True, slots=True)
class Rescaled:
    """Settings for another batch size."""

    settings: Modes
    kept: str
    correction: float
    """Learning rate after the change over the edge of stability (see `correction`)."""
    temperature_ratio: float
    """η/(S(1 − β)) after over before."""
    step_ratio: float
    """η²/(S(1 − β²)) after over before: size of a step, squared."""
    stable: bool


def rescale(problem: Modes, batch_size: int, keep: Keep = "equilibrium", momentum: float | None = None) -> Rescaled:
    """The learning rate that keeps `keep` at another batch size, and momentum if given.

    >>> modes = Modes([1.0], [1.0], learning_rate=0.1, momentum=0.9, batch_size=32)
    >>> [round(rescale(modes, 128, keep).settings.learning_rate, 12) for keep in ("equilibrium", "local")]
    [0.4, 0.2]

    `portrait` keeps η and β (the batch size changes only the temperature). Raises BadInput for an unknown `keep`.
    """
    size = count("batch_size", batch_size)
    if keep not in KEEPS:
        raise BadInput(Problem("keep", f"expected one of {', '.join(KEEPS)}, got {keep!r}"))
    eta, beta, old = problem.learning_rate, problem.momentum, problem.batch_size
    new = beta if momentum is None else momentum
    rate = {
        "equilibrium": eta * size / old * (1 - new) / (1 - beta),
        "diffusion": eta * size / old * (1 - new) / (1 - beta),
        "local": eta * np.sqrt(size / old * (1 - new**2) / (1 - beta**2)),
        "portrait": eta * (1 + new) / (1 + beta),
    }[keep]
    after = replace(problem, learning_rate=float(rate), momentum=new, batch_size=size)
    q = correction(after)
    temperature = rate / (size * (1 - new)) / (eta / (old * (1 - beta)))
    step = rate**2 / (size * (1 - new**2)) / (eta**2 / (old * (1 - beta**2)))
    return Rescaled(after, keep, q, float(temperature), float(step), q < 1)


def correction(problem: Modes) -> float:
    """Learning rate over the edge of stability, ηh_max/(2(1 + β)) for heavy ball; 0 without positive curvature.

    For heavy ball without decoupled decay it is also what the continuous law's variances lack (`continuous_share`).
    """
    return max(0.0, float(Discrete(problem, allow_unstable=True).edge_share.max()))


def continuous_share(problem: Modes) -> float | None:
    """1 − q: the continuous law's Var x over the exact one in the sharpest mode; None where no continuous law exists.

    That is so for Nesterov momentum. 1 where all modes are flat; 0 or less beyond the edge of stability.

    >>> continuous_share(Modes([1.0], [1.0], learning_rate=0.38, momentum=0.9))
    0.9
    """
    if problem.nesterov:
        return None
    recursion = Discrete(problem, allow_unstable=True).recursion
    return 1 - max(0.0, float((recursion.a / (2 * (1 + recursion.b))).max()))


def validity(problem: Modes, tolerance: float) -> float:
    """Largest learning rate at which the continuous law's Var x is within `tolerance` of the exact one.

    Infinite where all modes are flat. Raises BadInput for Nesterov momentum, which has no continuous law.

    >>> round(validity(Modes([1.0], [1.0], learning_rate=0.1, momentum=0.9), 0.05), 3)
    0.181
    """
    within = positive("tolerance", tolerance)
    if problem.nesterov:
        what = "Nesterov momentum has no continuous law that could be near the exact one"
        raise BadInput(Problem("nesterov", what, fix="max_stable_learning_rate of the discrete law"))
    # 1/(1 − q) = 1 + tolerance: a = 2(1 + b)·share, a = η[(1 − d)h + λ(1 − β)], b = β(1 − ηλ)
    share, beta = within / (1 + within), problem.momentum
    decay = problem.weight_decay if problem.decoupled else 0.0
    force = (1 - problem.dampening) * float(problem.stiffness.max()) + decay * (1 - beta)
    lost = 2 * share * beta * decay
    return np.inf if force <= 0 else 2 * (1 + beta) * share / (force + lost)
