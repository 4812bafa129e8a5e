"""SGD as underdamped Langevin dynamics: the phase-space Ornstein-Uhlenbeck process of the published theory.

To second order in the learning rate heavy ball obeys, in time t = ηk with z = (x, v),

    dx = v dt,   dv = −(2/(η(1 + β)))[hx + (1 − β)v] dt + (2/(√η(1 + β)))√C dW

    dz = −Az dt + √(2D/κ) dW,  A = [[0, −1], [2h/(η(1 + β)), 2(1 − β)/(η(1 + β))]],  D = diag(0, 2(1 − β)Σ/(η(1 + β))),
    κ = S(1 − β²)                                                               (Kunin et al., arXiv:2107.09133)

    Var x = ηC/(2(1 − β)h),   Var v = C/(1 − β²),   Cov = 0          (1 − q times the exact ones, q = ηh/(2(1 + β)))
    r(t) = e^{−γt}(cos δt + (γ/δ) sin δt),  γ = (1 − β)/(η(1 + β)),  ω² = 2h/(η(1 + β)),  δ² = ω² − γ²
    displacement from equilibrium  Σ 2 Var x (1 − r),   from (x_0, 0)  x_0²(r − 1)² + Var x − [e^{−At}B e^{−Aᵀt}]_xx/κ

with 2D = AB + BAᵀ, modified loss Ψ(z) = ½zᵀUz, U = B⁻¹, p ∝ exp(−κΨ), and probability current J = −Q∇Ψ p, Q = AB − D.
Steps are η long. The published sum for the displacement mixes the discrete Green-Kubo sum with the continuous
correlation; `displacement_published` is that sum, and shows a diffusion that is not there
(docs/statements/sgd-langevin.md). Dampening and decoupled decay enter by the recursion's own force and momentum;
Nesterov's look-ahead has no such form. torch.optim.SGD does not dampen its first gradient, which an equation of motion
cannot say: with dampening d, displacements from a fixed start lack (1/(1 − d)² − 1)s²w_{t−1}² of the exact law's
variance and dηh·w_{t−1} of the offset that it takes back: they are those of heavy ball with rate η(1 − d). At t = 1
and without an offset they are below (1 − d)² of the exact ones; for confined modes both errors die out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.law import Law, Start, Steps, whole_steps
from limen.theory.sgd.problem import Floats, Modes

APART = 1e-3
"""Distance of the roots, in the quicker one, from which forms with their difference below keep their digits."""
CACHED, GONE = 1 << 15, 45.0
"""Numbers of a block that stays in the processor's cache; decay in e-folds after which nothing is left."""
SERIES = 1e-4
"""|δt|² below which sin(δt)/δ is its series."""


class Langevin(Law):
    """The continuous law in the exact one's units. Rates of its motion per step: `friction`, `frequency`.

    One mode at equilibrium: ηC/(2(1 − β)h), and twice that far from the start.

    >>> law = Langevin(Modes(curvature=[2.0], noise=[3.0], learning_rate=0.1, momentum=0.5))
    >>> law.position_variance.round(12).tolist(), law.displacement([10**5]).round(12).tolist()
    ([0.15], [0.3])
    """

    name: ClassVar[str] = "langevin"

    def __post_init__(self) -> None:
        if self.problem.nesterov:
            raise BadInput(
                Problem("law", "the Langevin law is that of heavy ball; Nesterov momentum looks ahead by a step",
                        "its equation of motion has another noise", "use the discrete law, which is exact for both")
            )  # fmt: skip
        super().__post_init__()

    @property
    def friction(self) -> Floats:
        """γη = (1 − b)/(1 + b): decay of the envelope per step [L]."""
        b = self.recursion.b
        return (1 - b) / (1 + b)

    @property
    def frequency2(self) -> Floats:
        """ω²η² = 2a/(1 + b) per step² [L]."""
        return 2 * self.recursion.a / (1 + self.recursion.b)

    @property
    def position_variance(self) -> Floats:
        """s²/(2(1 − b)a) [L]; NaN for flat and unstable modes."""
        r = self.recursion
        variance = np.full(r.a.shape, np.nan)
        np.divide(self.step_variance, 2 * (1 - r.b) * r.a, out=variance, where=r.stable)
        return variance

    @property
    def local_displacement(self) -> float:
        """η²E‖v‖²: the displacement of the continuous process over time η is low even as η → 0 (.57 of it at β = 0)."""
        return float(self.problem.learning_rate**2 * (self.velocity_variance @ self.problem.weight))

    @property
    def velocity_variance(self) -> Floats:
        """s²/(η²(1 − b²)) of dx/dt [L]; NaN for unstable modes."""
        variance = self.step_variance / self.problem.learning_rate**2 / (1 - self.recursion.b**2)
        return np.where(self.regime == "unstable", np.nan, variance)

    def position_autocorrelation(self, steps: ArrayLike) -> Floats:
        """r(t) = even + γ·odd [T, L]; NaN for flat and unstable modes."""
        even, odd = self._motion(whole_steps(steps))
        return np.asarray(np.where(self.recursion.stable, even + self.friction * odd, np.nan))

    def velocity_autocorrelation(self, steps: ArrayLike) -> Floats:
        """C(t) = even − γ·odd [T, L]."""
        even, odd = self._motion(whole_steps(steps))
        return even - self.friction * odd

    def displacement_published(self, steps: ArrayLike) -> Floats:
        """Σ_l Var_l·η²(t + 2 Σ_{k<t}(t − k)C_l(k)), Var_l of the velocity: the sum as printed, with its defect [T].

        A confined mode seems to diffuse: 1 + 2 Σ_k C(k) = (1 − β)/(3(1 + β)) + … where it must be 0, which dominates
        from
        about 3(1 + β)²/(ηh(1 − β)) steps on. Time and memory grow with the largest step.
        """
        at = whole_steps(steps)
        velocity = self.velocity_autocorrelation(np.arange(at.max() + 1)) @ (
            self.problem.weight * self.velocity_variance * self.problem.learning_rate**2
        )
        # Σ_{k=1}^{t−1}(t − k)C(k): the sum of the running sums
        running = np.concatenate([[0.0], np.cumsum(np.cumsum(velocity[1:]))])
        return np.asarray(velocity[0] * at + 2 * running[np.maximum(at - 1, 0)] * (at > 0))

    def _displacements(self, steps: Steps, start: Start, part: Law) -> Floats:
        assert isinstance(part, Langevin)
        return part._fixed(steps) if start == "fixed" else part._stationary(steps)

    def _stationary(self, steps: Steps) -> Floats:
        """2 Var x (1 − r); 2a Var x = s²/(1 − b)."""
        return np.asarray(self.step_variance / (1 - self.recursion.b) * self._lost(steps))

    def _fixed(self, steps: Steps) -> Floats:
        """Offset²(1 − r)² + Var x[1 − r² − ω²odd²], the bracket divided by a as (1 − r)/a·(1 + r) − 2/(1 + b)·odd²."""
        odd, lost, a, b = self._odd(steps), self._lost(steps), self.recursion.a, self.recursion.b
        back = a * lost  # 1 − r
        odd *= odd
        odd *= -2 / (1 + b)
        lost *= 2 - back
        lost += odd
        lost *= self.step_variance / (2 * (1 - b))
        if self.problem.offset.any():
            lost += (back * self.problem.offset) ** 2
        return lost

    @property
    def _rates(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """γ − |δ| = ω²/(γ + |δ|), γ + |δ| and whether motion is real there: both rates of decay per step."""
        size = np.sqrt(np.abs(self.frequency2 - self.friction**2))
        real = self.frequency2 <= self.friction**2
        quick = self.friction + np.where(real, size, 0.0)
        return np.where(real, self.frequency2 / quick, self.friction), quick, real

    def _motion(self, steps: Steps) -> tuple[Floats, Floats]:
        """even = e^{−γt} cos δt and odd = e^{−γt} sin(δt)/δ, t in steps [T, L]; as exponentials where δ is
        imaginary."""
        t = np.asarray(steps, dtype=np.float64)[:, None]
        delta2 = self.frequency2 - self.friction**2
        size = np.sqrt(np.abs(delta2))
        slow, quick, real = self._rates
        with np.errstate(over="ignore"):  # an unstable mode may leave the floats
            decay, slow_left, quick_left = np.exp(-self.friction * t), np.exp(-slow * t), np.exp(-quick * t)
            x = t * np.where(real, 0.0, size)
            even = np.where(real, (slow_left + quick_left) / 2, decay * np.cos(x))
            apart = np.where(size == 0, 1.0, size)
            odd = np.where(real, (slow_left - quick_left) / 2, decay * np.sin(x)) / apart
            y = t**2 * delta2
            odd = np.where(np.abs(y) < SERIES, t * decay * (1 - y / 6 * (1 - y / 20)), odd)
        return even, odd

    def _lost(self, steps: Steps) -> Floats:
        """(1 − r)/a [T, L], finite at a = 0."""
        return self._by_kind(steps, (_real_lost, _turning_lost, _near_lost))

    def _odd(self, steps: Steps) -> Floats:
        """e^{−γt} sin(δt)/δ [T, L]."""
        return self._by_kind(steps, (_real_odd, _turning_odd, lambda law, at: law._motion(at)[1]))

    def _by_kind(self, steps: Steps, forms: tuple[Form, Form, Form]) -> Floats:
        """Real roots apart, complex roots apart and close roots, each by its own form, a few rows at a time."""
        found = np.empty((len(steps), len(self.recursion.a)))
        slow, quick, real = self._rates
        apart = real & ((quick - slow) / 2 > APART * quick)  # closer ones lose the difference; they are far from flat
        turning = ~real & (self.frequency2 > (1 + APART) * self.friction**2)
        for modes, form in zip((apart, turning, ~apart & ~turning), forms, strict=True):
            if not modes.any():
                continue
            part = self if modes.all() else self._part(np.flatnonzero(modes))
            assert isinstance(part, Langevin)
            several = max(1, CACHED // int(modes.sum()))
            for first in range(0, len(steps), several):
                values = form(part, steps[first : first + several])
                if modes.all():
                    found[first : first + several] = values
                else:
                    found[first : first + several, modes] = values
        return found


Form = Callable[[Langevin, Steps], Floats]
"""Values [T, L] of modes of one kind."""


def _real_odd(law: Langevin, steps: Steps) -> Floats:
    """(e^{−st} − e^{−qt})/(2δ)."""
    t = np.asarray(steps, dtype=np.float64)[:, None]
    slow, quick, _ = law._rates
    with np.errstate(over="ignore"):
        left = np.exp(-slow * t)
        if float(t.min()) * float(quick.min()) < GONE:
            left -= np.exp(-quick * t)
    left *= 1 / (quick - slow)
    return np.asarray(left)


def _turning_odd(law: Langevin, steps: Steps) -> Floats:
    t = np.asarray(steps, dtype=np.float64)[:, None]
    gamma = law.friction
    if float(t.min()) * float(gamma.min()) > GONE:
        return np.zeros((len(steps), len(gamma)))
    delta = np.sqrt(law.frequency2 - gamma**2)
    wave = np.sin(delta * t)
    wave *= np.exp(-(gamma[:1] if (gamma == gamma[0]).all() else gamma) * t)
    wave /= delta
    return np.asarray(wave)


def _real_lost(law: Langevin, steps: Steps) -> Floats:
    """[(1 − e^{−st})/s − (1 − e^{−qt})/q]/((1 + b)δ); s = 0 at a = 0."""
    t = np.asarray(steps, dtype=np.float64)[:, None]
    slow, quick, _ = law._rates
    scale = 1 / ((1 + law.recursion.b) * (quick - slow) / 2)
    flat = slow == 0
    with np.errstate(over="ignore"):
        lost = np.expm1(-slow * t)
        lost *= -scale / np.where(flat, 1.0, slow)
        if flat.any():
            lost = np.where(flat, t * scale, lost)
        if float(t.min()) * float(quick.min()) > GONE:
            return np.asarray(lost - scale / quick)
        fast = np.expm1(-quick * t)
    fast *= scale / quick
    lost += fast
    return np.asarray(lost)


def _turning_lost(law: Langevin, steps: Steps) -> Floats:
    """(1 − e^{−γt}√(1 + γ²/δ²)·cos(δt − arctan(γ/δ)))/a."""
    t = np.asarray(steps, dtype=np.float64)[:, None]
    gamma, a = law.friction, law.recursion.a
    if float(t.min()) * float(gamma.min()) > GONE:
        return np.broadcast_to(1 / a, (len(steps), len(a)))
    delta = np.sqrt(law.frequency2 - gamma**2)
    wave = np.cos(delta * t - np.arctan(gamma / delta))
    wave *= np.hypot(1.0, gamma / delta)
    same = gamma[:1] if (gamma == gamma[0]).all() else gamma
    wave *= np.exp(-same * t)
    np.subtract(1.0, wave, out=wave)
    wave /= a
    return np.asarray(wave)


def _near_lost(law: Langevin, steps: Steps) -> Floats:
    even, odd = law._motion(steps)
    return np.asarray((1 - even - law.friction * odd) / law.recursion.a)


def langevin(problem: Modes, allow_unstable: bool = False) -> Langevin:
    """The underdamped Langevin law of the problem; raises Unstable beyond the edge of (discrete) stability."""
    return Langevin(problem, allow_unstable)
