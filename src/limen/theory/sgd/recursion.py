"""The recursion every mode of a linear optimizer obeys, solved in closed form at any step.

    y_{k+1} = φ y_k − b y_{k−1} + ε_k,     φ = 1 + b − a,     stable iff |b| < 1 and 0 < a < 2(1 + b)

with roots r_{1,2} = ½(φ ± √disc), disc = φ² − 4b = (a − (1 − √b)²)(a − (1 + √b)²). Its solutions from rest and at
equilibrium (Var ε = 1) are, for t = 0, 1, …

    U_{t−1} = (r₁ᵗ − r₂ᵗ)/(r₁ − r₂)        answer at t to a unit impulse at step 0
    W_t     = Σ_{j<t} U_j                   answer to a unit force
    e_t     = W_t − b/(1 + b)·U_{t−1}       (1 − r(t))/a, r the autocorrelation at equilibrium; finite for flat modes,
    a = 0
    S_t     = Σ_{j<t} w_j²                  variance from a fixed start of x = c₀y_k + c₁y_{k−1}, w_j = c₀U_j +
    c₁U_{j−1}

and Var y = κ/a with κ = (1 + b)/((1 − b)(2(1 + b) − a)). Every form is chosen to keep its digits as a → 0, as r₁ → r₂
and for millions of steps: roots far apart use 1 − rᵗ = −expm1(t ln r); close and complex roots use sin(tψ)/sin ψ;
early steps of both, where those cancel, are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from limen.theory.sgd.roots import Floats, RealRoots, RoundRoots

Steps = NDArray[np.int64]

CLOSE = 1e-4
"""Roots count as close when disc < CLOSE·(1 − b)²: apart, forms lose a factor (1 − b)/√disc ≤ 100 of precision."""
LEAST_EARLY, EARLY = 32, 4096
"""Early steps added up one by one, at least and at most: enough to a momentum of .999."""
CACHED = 1 << 15
"""Numbers of a block that stays in the processor's cache."""
DENSE = 2
"""Steps are walked one by one as long as one in so many is asked for: cheaper than a closed form each."""

# shapes: T steps, L modes


@dataclass(frozen=True)
class Recursion:
    """The solutions for modes with a [L] and b [L]; steps are integers [T] ≥ 0, answers [T, L]."""

    a: Floats
    b: Floats

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Whether an equilibrium exists; flat modes (a = 0) have none, and do not blow up."""
        return (np.abs(self.b) < 1) & (self.a > 0) & (self.a < 2 * (1 + self.b))

    @property
    def mobility(self) -> Floats:
        """κ = a·Var y for unit noise; finite at a = 0."""
        return (1 + self.b) / ((1 - self.b) * (2 * (1 + self.b) - self.a))

    @cached_property
    def discriminant(self) -> Floats:
        """Disc, from its factors where there are real ones, which keeps its digits at critical damping."""
        root = np.sqrt(np.maximum(self.b, 0.0))
        product = (self.a - (1 - root) ** 2) * (self.a - (1 + root) ** 2)
        return np.where(self.b >= 0, product, (1 + self.b - self.a) ** 2 - 4 * self.b)

    @cached_property
    def largest_root(self) -> Floats:
        """|r| of the slower root: the memory of a mode shrinks by it every step."""
        apart = np.sqrt(np.maximum(self.discriminant, 0.0))
        real = (np.abs(1 + self.b - self.a) + apart) / 2
        return np.where(self.discriminant < 0, np.sqrt(np.maximum(self.b, 0.0)), real)

    @cached_property
    def kind(self) -> NDArray[np.int64]:
        """A number per mode that is the same for modes whose closed forms are: blocks of one kind are quickest."""
        phi = np.sign(1 + self.b - self.a).astype(np.int64)
        return np.where(self._round, 9, 3 * phi + np.sign(self.b).astype(np.int64))

    @cached_property
    def _round(self) -> NDArray[np.bool_]:
        # b ≤ 0 has real roots on both sides of 0; unstable modes have real roots
        return (self.discriminant < CLOSE * (1 - self.b) ** 2) & (self.b > 0)

    @cached_property
    def _real(self) -> RealRoots:
        kept = ~self._round
        return RealRoots.of(self.a[kept], self.b[kept], self.discriminant[kept])

    @cached_property
    def _near(self) -> RoundRoots:
        kept = self._round
        return RoundRoots.of(self.a[kept], self.b[kept], self.discriminant[kept])

    def impulse(self, steps: Steps) -> Floats:
        """U_{t−1}, 0 at t = 0."""
        return self._filled(steps, lambda state: state.impulse, lambda roots, t: roots.impulse(t))

    def response(self, steps: Steps) -> Floats:
        """W_t."""
        return self._filled(steps, lambda state: state.response, lambda roots, t: roots.response(t))

    def excursion(self, steps: Steps) -> Floats:
        """e_t."""
        damped = self.b / (1 + self.b)
        return self._filled(
            steps, lambda state: state.response - damped * state.impulse, lambda roots, t: roots.excursion(t)
        )

    def correlation(self, steps: Steps) -> Floats:
        """r(t), autocorrelation of y at equilibrium; 1 for flat modes."""
        return self._filled(steps, None, lambda roots, t: roots.correlation(t))

    def energy(self, steps: Steps, now: float, before: float) -> Floats:
        """S_t with c₀ = `now`, c₁ = `before`."""
        found = self._filled(
            steps, lambda state: state.energy, lambda roots, t: roots.energy(t, now, before), now, before
        )
        forgotten = self.largest_root < 0.1  # nothing is left of early steps, and closed forms cancel
        last = self._last_early(steps)
        if forgotten.any() and (steps > last).any():
            kept = Recursion(self.a[forgotten], self.b[forgotten])
            found[np.ix_(steps > last, forgotten)] = list(kept.walk(last, now, before))[-1].energy
        return found

    def walk(self, last: int, now: float = 1.0, before: float = 0.0) -> Iterator[State]:
        """The solutions at t = 0, …, last, one step after the other."""
        phi = 1 + self.b - self.a
        u_before, u, response, energy = np.zeros_like(phi), np.zeros_like(phi), np.zeros_like(phi), np.zeros_like(phi)
        for t in range(last + 1):
            yield State(u, response, energy)
            u, u_before = (phi * u - self.b * u_before if t else np.ones_like(phi)), u
            response = response + u
            energy = energy + (now * u + before * u_before) ** 2

    def _last_early(self, steps: Steps) -> int:
        """4/(1 − b) steps, where closed forms cancel, and further as long as the steps asked for lie densely."""
        if not self.b.size or not steps.size:
            return -1
        early = int(min(EARLY, max(LEAST_EARLY, np.ceil(4 / max(1 - float(self.b.max()), 1e-12)))))
        at = np.unique(steps)
        dense = at[(np.arange(len(at)) + 1) * DENSE >= at]
        return max(early, int(dense[-1])) if len(dense) else early

    def _filled(
        self,
        steps: Steps,
        early: Callable[[State], Floats] | None,
        late: Callable[[RealRoots | RoundRoots, Floats], Floats],
        now: float = 1.0,
        before: float = 0.0,
    ) -> Floats:
        """Early steps by walking, late ones by the closed forms, a few rows at a time so that they stay in the
        cache."""
        found = np.empty((len(steps), len(self.a)))
        last = -1 if early is None else self._last_early(steps)
        asked = set(steps[steps <= last].tolist())
        if early is not None and asked:
            for t, state in enumerate(self.walk(max(asked), now, before)):
                if t in asked:
                    found[steps == t] = early(state)
        rows = np.flatnonzero(steps > last)
        apart = ~self._round
        for roots, modes in ((self._real, apart), (self._near, self._round)):
            if not modes.any():
                continue
            several = max(1, CACHED // len(roots.b))
            for first in range(0, len(rows), several):
                at = rows[first : first + several]
                values = late(roots, np.asarray(steps[at], dtype=np.float64)[:, None])
                if modes.all():
                    found[at] = values
                else:
                    found[np.ix_(at, modes)] = values
        return found


@dataclass(frozen=True, slots=True)
class State:
    """U_{t−1}, W_t and S_t at one step [L]."""

    impulse: Floats
    response: Floats
    energy: Floats
