"""What every law answers, in the same units and shapes: the numbers a recorded run is compared with.

A law gives the position's variance at equilibrium and its displacement; the rest follows for all laws alike:

    displacement(t)        Σ_l E(x_{k+t} − x_k)²          temperature_l   h_l Var x_l
    local_displacement     displacement(1), stationary    excess_loss     ½ Σ_l h_l Var x_l
    exponent(t)            d ln displacement/d ln t        relaxation      −1/ln|largest root| steps

Sums over modes carry the modes' weights. `stationary` starts from equilibrium (flat modes: from an equilibrium
velocity), `fixed` from (μ + offset, v = 0).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.problem import Floats, Modes
from limen.theory.sgd.recursion import Recursion

Start = Literal["stationary", "fixed"]
Steps = NDArray[np.int64]

BLOCK = 8192
"""Modes whose displacements are held at once."""
CRITICAL = 1e-12
"""Relative distance of η·h from critical damping that counts as none."""


ALLOWED = "--allow-unstable --start fixed (allow_unstable=True, start='fixed') for displacements from a fixed start"


class Unstable(BadInput):
    """The learning rate is beyond the edge of stability: no equilibrium exists."""


@dataclass(frozen=True)
class Law(ABC):
    """The law of one problem; `allow_unstable` leaves unstable modes in, with displacements from a fixed start only."""

    problem: Modes
    allow_unstable: bool = False
    name: ClassVar[str]

    def __post_init__(self) -> None:
        unstable = self.regime == "unstable"
        if unstable.any() and not self.allow_unstable:
            raise Unstable(self._why_unstable(unstable))

    @cached_property
    def recursion(self) -> Recursion:
        """y_{k+1} = φy_k − by_{k−1} + ε, x = c₀y_k + c₁y_{k−1}; see `coefficients`."""
        p = self.problem
        eta, beta, shrink = p.learning_rate, p.momentum, p.shrink
        force = eta * (1 - p.dampening) * p.stiffness
        damped = beta * (shrink - force) if p.nesterov else np.full(force.shape, beta * shrink)
        return Recursion(force + (1 - shrink) * (1 - beta), damped)

    @property
    def step_variance(self) -> Floats:
        """Var ε: what a batch's noise adds to y in one step, (η(1 − d))²C."""
        p = self.problem
        return (p.learning_rate * (1 - p.dampening)) ** 2 * p.step_noise

    @property
    def coefficients(self) -> tuple[float, float]:
        """(c₀, c₁): the position is y itself, but for Nesterov (1 + β, −β), which looks ahead."""
        beta = self.problem.momentum
        return (1 + beta, -beta) if self.problem.nesterov else (1.0, 0.0)

    @cached_property
    def regime(self) -> NDArray[np.str_]:
        """Each mode's kind of motion: flat, overdamped, critical, underdamped, flipping (sign changes each step),
        unstable.

        Discrete: oscillation iff disc < 0, that is (1 − √b)² < a < (1 + √b)²; flipping where the larger root is
        negative.
        """
        r = self.recursion
        disc, phi = r.discriminant, 1 + r.b - r.a
        critical = np.abs(disc) <= CRITICAL * np.maximum(r.a, 1.0) * np.maximum(1 - r.b, 1e-300)
        kinds = np.where(disc < 0, "underdamped", np.where(phi < 0, "flipping", "overdamped")).astype("<U11")
        kinds[critical & (phi >= 0)] = "critical"
        kinds[r.a == 0] = "flat"
        kinds[(r.a != 0) & ~r.stable] = "unstable"
        return kinds

    @property
    def edge_share(self) -> Floats:
        """q: learning rate over the one at which the mode becomes unstable [L]; ηh/(2(1 + β)) for heavy ball."""
        p = self.problem
        pull = p.stiffness * (1 - p.dampening) * (1 + 2 * p.momentum if p.nesterov else 1)
        decay = p.weight_decay * (1 + p.momentum) if p.decoupled else 0.0
        return np.asarray(p.learning_rate * (pull + decay) / (2 * (1 + p.momentum)))

    @property
    def max_stable_learning_rate(self) -> float | None:
        """2(1 + β)/max_l((1 − d)h(1 + 2β·[Nesterov]) + λ_d(1 + β)); None without positive curvature or with
        negative."""
        closest = float(self.edge_share.max())
        return None if closest <= 0 or (self.recursion.a < 0).any() else self.problem.learning_rate / closest

    @property
    def relaxation_steps(self) -> Floats:
        """−1/ln|largest root| [L]: steps in which memory falls to 1/e; infinite for flat modes, NaN for unstable
        ones."""
        root = self.recursion.largest_root
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = -1 / np.log(root)
        slow = np.abs(self.recursion.a) < 1e-3 * (1 - self.recursion.b)  # the root of a slow mode has lost its digits
        if slow.any():
            with np.errstate(divide="ignore", invalid="ignore"):
                steps = np.where(slow, -1 / np.log1p(-self._slow_gap), steps)
        return np.where(self.regime == "flat", np.inf, np.where(self.regime == "unstable", np.nan, steps))

    @property
    def _slow_gap(self) -> Floats:
        r = self.recursion
        gap = 2 * r.a / (1 - r.b + r.a + np.sqrt(np.maximum(r.discriminant, 0.0)))
        return np.where(gap == 0, np.nan, gap)

    @property
    @abstractmethod
    def position_variance(self) -> Floats:
        """Var x_l at equilibrium [L], parameter²; NaN where there is none (flat, unstable)."""

    @property
    @abstractmethod
    def velocity_variance(self) -> Floats:
        """Var v_l of the optimizer's velocity v = −buffer at equilibrium [L], (loss/parameter)²."""

    @abstractmethod
    def position_autocorrelation(self, steps: ArrayLike) -> Floats:
        """E[x_k x_{k+t}]/Var x at equilibrium [T, L]; NaN for flat and unstable modes."""

    @abstractmethod
    def _displacements(self, steps: Steps, start: Start, part: Law) -> Floats:
        """E(x_{k+t} − x_k)² of the modes of `part` [T, L]."""

    def mode_displacement(self, steps: ArrayLike, start: Start = "stationary") -> Floats:
        """E(x_{k+t} − x_k)² of each mode [T, L], parameter²; unstable modes have it from a fixed start only."""
        found = self._displacements(whole_steps(steps), _start(start), self)
        if start == "stationary":
            found[:, self.regime == "unstable"] = np.nan
        return found

    def displacement(self, steps: ArrayLike, start: Start = "stationary") -> Floats:
        """Σ_l weight_l E(x_{k+t} − x_k)² [T], parameter²: how far weights move in t steps; 0 at t = 0."""
        at = whole_steps(steps)
        if start == "stationary" and (self.regime == "unstable").any():
            return np.full(len(at), np.nan)
        total, weight = np.zeros(len(at)), self.problem.weight
        order = np.argsort(self.recursion.kind, kind="stable")
        for first in range(0, len(weight), BLOCK):
            kept = order[first : first + BLOCK]
            total += self._displacements(at, _start(start), self._part(kept)) @ weight[kept]
        return total

    @property
    def local_displacement(self) -> float:
        """E‖θ_{k+1} − θ_k‖² at equilibrium, parameter²; η²E‖v‖² only for heavy ball without decoupled decay."""
        return float(self.displacement([1])[0])

    @property
    def temperature(self) -> Floats:
        """h_l Var x_l [L], loss: the same for all modes when noise is proportional to curvature; NaN without
        variance."""
        return self.problem.stiffness * self.position_variance

    @property
    def excess_loss(self) -> float | None:
        """½ Σ h_l Var x_l of the regularised loss; None with a flat or unstable mode, which has no equilibrium."""
        total = float(self.temperature @ self.problem.weight) / 2
        return None if np.isnan(total) else total

    def exponent(self, steps: ArrayLike, start: Start = "stationary") -> Floats:
        """d ln displacement/d ln t [T], between t − m and t + m with m = 1 + ⌊t/1000⌋; at t = 1 between 1 and 2."""
        at = whole_steps(steps)
        near = 1 + at // 1000
        return slope(lambda t: self.displacement(t, start), np.maximum(at - near, 1), at + near)

    def _part(self, kept: NDArray[np.int64]) -> Law:
        p = self.problem
        cut = {name: getattr(p, name)[kept] for name in ("curvature", "noise", "offset", "weight")}
        return replace(self, problem=replace(p, **cut), allow_unstable=True)

    def _why_unstable(self, unstable: NDArray[np.bool_]) -> Problem:
        limit, p = self.max_stable_learning_rate, self.problem
        if limit is None:
            worst = float(p.stiffness.min())
            return Problem(
                "curvature", f"expected h ≥ 0, got a mode with curvature and decay {worst:g}: it grows without bound",
                fix=f"leave the mode out, or {ALLOWED}",
            )  # fmt: skip
        return Problem(
            "learning_rate",
            f"expected at most {limit:g}, the edge of stability, got {p.learning_rate:g}: "
            f"{int(unstable.sum())} of {unstable.size} modes have no equilibrium",
            f"the largest curvature is {float(p.stiffness.max()):g}",
            f"lower the learning rate, or {ALLOWED}",
        )


def slope(displacement: Callable[[Steps], Floats], low: Steps, high: Steps) -> Floats:
    """Rise of ln displacement over rise of ln t between two steps."""
    both = displacement(np.concatenate([low, high]))
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.log(both[len(low) :]) - np.log(both[: len(low)])
    return np.asarray(rise / (np.log(high) - np.log(low)))


def whole_steps(steps: ArrayLike) -> Steps:
    """Steps as integers ≥ 0 [T]; BadInput for others."""
    given = np.atleast_1d(np.asarray(steps))
    try:
        with np.errstate(invalid="ignore"):
            whole = given.astype(np.int64)
        right = given.ndim == 1 and bool((whole == given).all()) and bool((whole >= 0).all())
    except (TypeError, ValueError, OverflowError):
        right = False
    if not right:
        raise BadInput(Problem("steps", f"expected whole numbers of steps ≥ 0, got {given.tolist()}"))
    return whole


def _start(start: str) -> Start:
    if start == "stationary":
        return "stationary"
    if start == "fixed":
        return "fixed"
    raise BadInput(Problem("start", f"expected stationary or fixed, got {start!r}"))
