"""A quadratic loss, gradient noise and an optimizer, mode by mode: what every law of SGD's limiting dynamics is a law
of.

Near a minimum μ of the (regularised) loss the coordinate x = uᵀ(θ − μ) along each Hessian eigenvector u obeys

    g_k = h x_k + n_k,   E n_k = 0,   Var n_k = C = noise/batch_size · (N − S)/(N − 1)     (N: examples; factor 1
    without)
    v_{k+1} = β v_k − (1 − d) g_k,    x_{k+1} = (1 − ηλ_d) x_k + η v_{k+1}                  heavy ball
    v_{k+1} = β v_k − g_k,            x_{k+1} = (1 − ηλ_d) x_k + η (β v_{k+1} − g_k)        Nesterov

with curvature ρ, h = ρ + weight_decay when it is in the gradient (coupled: h = ρ + λ, λ_d = 0; decoupled: h = ρ, λ_d =
λ), learning rate η, momentum β, dampening d, batch size S: the update of torch.optim.SGD, whose buffer is −v. Only the
noise along the mode itself enters variances and displacements, whatever the noise between modes (`matrices` treats
that).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.records.errors import BadInput, Problem

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Modes:
    """The problem: modes [L] and the optimizer's settings. Lists are taken for arrays; one value serves all modes.

    >>> modes = Modes(curvature=[0.1, 10], noise=[0.1, 10], learning_rate=0.1, momentum=0.9, batch_size=32)
    >>> modes.step_noise.tolist(), modes.stiffness.tolist()
    ([0.003125, 0.3125], [0.1, 10.0])

    Raises BadInput naming every setting that is out of range.
    """

    curvature: Floats
    """ρ_l, eigenvalues of the Hessian of the data loss [L], loss/parameter²; any sign, 0 for flat modes."""
    noise: Floats
    """u_lᵀΣu_l: variance of the gradient of one example along each mode [L], loss²/parameter²."""
    learning_rate: float
    momentum: float = 0.0
    batch_size: int = 1
    weight_decay: float = 0.0
    decoupled: bool = False
    nesterov: bool = False
    dampening: float = 0.0
    """d; without momentum it does nothing, as in torch, and reads 0."""
    examples: int | None = None
    """N: batches are subsets of N distinct examples; None: drawn with replacement, or from a stream."""
    offset: Floats = field(default_factory=lambda: np.zeros(1))
    """x_0 of a fixed start, one value or [L], parameters; v_0 = 0, under decoupled decay the fixed point's v* = λμ."""
    weight: Floats = field(default_factory=lambda: np.ones(1))
    """Modes that each entry stands for, one value or [L]: sums over modes are weighted."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        for name in ("curvature", "noise", "offset", "weight"):
            object.__setattr__(self, name, _vector(name, getattr(self, name), problems))
        _settings(self, problems)
        sizes = {name: getattr(self, name).size for name in ("curvature", "noise", "offset", "weight")}
        modes = max(sizes.values())
        for name, size in sizes.items():
            if size not in (1, modes):
                problems.append(_bad(name, f"one value or one per mode ({modes})", size, "lists of different lengths"))
        if problems:
            raise BadInput(problems)
        if self.momentum == 0:  # there is no buffer to dampen into: torch leaves the gradient as it is
            object.__setattr__(self, "dampening", 0.0)
        for name in sizes:
            object.__setattr__(self, name, np.array(np.broadcast_to(getattr(self, name), modes)))

    @property
    def stiffness(self) -> Floats:
        """h_l: curvature of the loss that the gradient is of, decay included when it is coupled."""
        return self.curvature if self.decoupled else self.curvature + self.weight_decay

    @property
    def step_noise(self) -> Floats:
        """C_l: variance of a batch's gradient along each mode [L]."""
        n = self.examples
        finite = 1.0 if n is None else (n - self.batch_size) / max(n - 1, 1)
        return self.noise / self.batch_size * finite

    @property
    def shrink(self) -> float:
        """1 − ηλ_d: the factor that decoupled weight decay puts on the weights each step."""
        return 1.0 - self.learning_rate * self.weight_decay if self.decoupled else 1.0


def _vector(name: str, values: ArrayLike, problems: list[Problem]) -> Floats:
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        problems.append(_bad(name, "numbers", repr(values)))
        return np.zeros(1)
    if array.ndim != 1 or array.size == 0:
        problems.append(_bad(name, "one number per mode", f"shape {array.shape}"))
        return np.zeros(1)
    if not np.isfinite(array).all():
        problems.append(_bad(name, "finite numbers", f"{int((~np.isfinite(array)).sum())} NaN or infinite"))
    if name in ("noise", "weight") and (array < 0).any():
        problems.append(_bad(name, "variances ≥ 0" if name == "noise" else "weights ≥ 0", f"{array.min():g}"))
    return array


def _settings(modes: Modes, problems: list[Problem]) -> None:
    number = {name: getattr(modes, name) for name in ("learning_rate", "momentum", "weight_decay", "dampening")}
    for name, value in number.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
            problems.append(_bad(name, "a finite number", repr(value)))
            return
    if modes.learning_rate <= 0:
        problems.append(_bad("learning_rate", "a number above 0", f"{modes.learning_rate:g}"))
    if not 0 <= modes.momentum < 1:
        problems.append(_bad("momentum", "a number in [0, 1)", f"{modes.momentum:g}"))
    if modes.weight_decay < 0:
        problems.append(_bad("weight_decay", "a number ≥ 0", f"{modes.weight_decay:g}"))
    if not 0 <= modes.dampening < 1:
        problems.append(_bad("dampening", "a number in [0, 1)", f"{modes.dampening:g}"))
    if modes.nesterov and (modes.dampening != 0 or modes.momentum == 0):
        cause = "torch.optim.SGD refuses it too"
        problems.append(_bad("nesterov", "momentum above 0 and no dampening", "other settings", cause))
    if modes.decoupled and modes.learning_rate * modes.weight_decay >= 1:
        problems.append(_bad("weight_decay", "learning_rate · weight_decay below 1 when decoupled", "more than that"))
    size, examples = modes.batch_size, modes.examples
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        problems.append(_bad("batch_size", "a whole number ≥ 1", repr(size)))
    elif examples is not None and not (isinstance(examples, int | np.integer) and examples >= size):
        problems.append(_bad("examples", f"a whole number ≥ batch_size ({size})", repr(examples)))


def _bad(name: str, expected: str, got: Any, cause: str = "") -> Problem:
    return Problem(name, f"expected {expected}, got {got}", cause)
