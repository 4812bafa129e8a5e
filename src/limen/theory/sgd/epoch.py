"""SGD on reshuffled data: the noise of an epoch's M batches sums to zero, so flat directions do not diffuse beyond an
epoch.

Batches without repetition within an epoch of M = N/S steps, a fresh order each epoch. With one batch's covariance C the
noise has, averaged over where in an epoch one looks,

    Cov(n_k, n_{k+j}) = −C(M − |j|)/(M(M − 1)),  0 < |j| < M;        spectrum C(M − F_M(ω))/(M − 1), F_M Fejér's
    kernel, 0 at ω = 0
                      = M/(M − 1)·(white noise − the average of white noise over M steps)

so every second moment is that of the i.i.d. law minus that of its iterates averaged over M steps (`window`):

    E x_kx_{k+t} = M/(M − 1)·[γ(t) − Σ_j Λ_M(j)γ(t − j)],   γ the i.i.d. autocovariance, C the covariance of a batch of
    an epoch

From a fixed start at the beginning of an epoch, with w_j the answer to an impulse and B_q = Σ of the w of whole epochs,

    Var x_t = M/(M − 1)·[Σ_{j<t} w_j² − (1/M) Σ_epochs (Σ_{j in epoch} w_j)²].

Augmentation adds white noise of covariance `white`: that part is the i.i.d. law's. Identity V fails under this noise.
Kuhn and Rosenow (arXiv:2306.05300) found the anticorrelation and its effect on the variance; the displacement is
derived in docs/statements/sgd-epoch.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.discrete import pull
from limen.theory.sgd.law import Law, Start, Steps, slope, whole_steps
from limen.theory.sgd.problem import Floats, Modes
from limen.theory.sgd.recursion import Recursion
from limen.theory.sgd.window import Complex, averaged_loss, log_of

NEAREST = 1e-5
"""Distance of disc from 0, in (1 − b)², below which roots are moved apart."""


@dataclass(frozen=True)
class Epoch(Law):
    """The law under reshuffling; `steps_per_epoch` M ≥ 2. `white`: share of a batch's noise that augmentation makes
    fresh.

    >>> from limen.theory.sgd import Discrete
    >>> modes = Modes(curvature=[0.0], noise=[1.0], learning_rate=0.1, momentum=0.9)
    >>> law, iid = Epoch(modes, steps_per_epoch=50), Discrete(modes)
    >>> (law.displacement([1000], "fixed") / iid.displacement([1000], "fixed")).round(4).tolist()
    [0.0028]
    """

    name: ClassVar[str] = "epoch"
    steps_per_epoch: int = field(default=2, kw_only=True)
    white: Floats = field(default_factory=lambda: np.zeros(1), kw_only=True)

    def __post_init__(self) -> None:
        problems = []
        m = self.steps_per_epoch
        if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 2:
            problems.append(Problem("steps_per_epoch", f"expected a whole number ≥ 2, got {m!r}"))
        share = np.atleast_1d(np.asarray(self.white, dtype=np.float64))
        modes = len(self.problem.curvature)
        if share.shape not in ((1,), (modes,)) or not ((share >= 0) & (share <= 1)).all():
            problems.append(Problem("white", f"expected shares in [0, 1], one or one per mode ({modes})"))
        if problems:
            raise BadInput(problems)
        object.__setattr__(self, "white", np.array(np.broadcast_to(share, modes)))
        super().__post_init__()

    @property
    def position_variance(self) -> Floats:
        """Var x [L], averaged over the phases of an epoch; NaN for flat modes, though their displacement is bounded."""
        now, before = self.coefficients
        return np.asarray(self._y_variance - now * before * self._y_displacement(np.array([1]))[0])

    @property
    def velocity_variance(self) -> Floats:
        """Var v = [(1 − ρ)²Var y + ρD_y(1)]/η² [L]; NaN for unstable modes."""
        rho, eta = self.problem.shrink, self.problem.learning_rate
        kept = (1 - rho) ** 2 * self._y_variance if rho != 1 else 0.0
        lag = np.where(self.regime == "unstable", np.nan, self._y_displacement(np.array([1]))[0])
        return np.asarray((kept + rho * lag) / eta**2)

    def position_autocorrelation(self, steps: ArrayLike) -> Floats:
        """1 − D(t)/(2 Var x) [T, L]; NaN for flat and unstable modes."""
        unit = replace(
            self, problem=replace(self.problem, noise=np.ones_like(self.problem.noise))
        )  # also of modes at rest
        return 1 - unit.mode_displacement(steps) / (2 * unit.position_variance)

    def exponent(self, steps: ArrayLike, start: Start = "stationary") -> Floats:
        """d ln displacement/d ln t [T]; from a fixed start between places alike in their epochs, NaN in the first."""
        if start == "stationary":
            return super().exponent(steps, start)
        at, m = whole_steps(steps), self.steps_per_epoch
        apart = m * np.maximum(1, (1 + at // 1000) // m)
        inside = at > apart
        low = np.where(inside, at - apart, 1)
        found = slope(lambda t: self.displacement(t, start), low, np.maximum(at + apart, 2))
        return np.where(inside, found, np.nan)

    def _displacements(self, steps: Steps, start: Start, part: Law) -> Floats:
        assert isinstance(part, Epoch)
        return part._from_fixed(steps) if start == "fixed" else part._stationary(steps)

    def _part(self, kept: Steps) -> Law:
        p = self.problem
        cut = {name: getattr(p, name)[kept] for name in ("curvature", "noise", "offset", "weight")}
        return replace(self, problem=replace(p, **cut), white=self.white[kept], allow_unstable=True)

    @property
    def _scale(self) -> Floats:
        """M/(M − 1)·s²κ."""
        m = self.steps_per_epoch
        return m / (m - 1) * self.step_variance * self.recursion.mobility

    @cached_property
    def _roots(self) -> Roots:
        return Roots.of(self.recursion.a, self.recursion.b)

    @property
    def _y_variance(self) -> Floats:
        correlated = self._scale * self._roots.averaged(np.array([0]), self.steps_per_epoch)[0]
        iid = np.full(correlated.shape, np.nan)
        np.divide(self.step_variance * self.recursion.mobility, self.recursion.a, out=iid, where=self.recursion.stable)
        return np.where(self.recursion.stable, self._mixed(iid, correlated), np.nan)

    def _y_displacement(self, steps: Steps) -> Floats:
        """E(y_{k+t} − y_k)²: i.i.d. ℓ(t), reshuffled ℓ(t) + L(0) − L(t), L the loss ℓ averaged over an epoch."""
        lost, m = self.recursion.excursion(steps), self.steps_per_epoch
        roots = self._roots
        held = roots.averaged(np.array([0]), m) - roots.averaged(steps, m)
        iid = 2 * self.step_variance * self.recursion.mobility * lost
        return self._mixed(iid, 2 * self._scale * (lost + held))

    def _mixed(self, iid: Floats, correlated: Floats) -> Floats:
        """White and reshuffled parts of the noise, each with its own law: moments add."""
        return np.asarray(self.white * np.where(self.white == 0, 0.0, iid) + (1 - self.white) * correlated)

    def _stationary(self, steps: Steps) -> Floats:
        now, before = self.coefficients
        d = self._y_displacement(steps)
        if before:
            ahead, back = self._y_displacement(steps + 1), self._y_displacement(np.abs(steps - 1))
            d = d + now * before * (ahead - 2 * d + back - 2 * self._y_displacement(np.array([1])))
            d[steps == 0] = 0.0
        return d

    def _from_fixed(self, steps: Steps) -> Floats:
        """s²[white·S + (1 − white)·M/(M − 1)·(S − Σ B²/M)] + ((1 − m_t)x_0)²."""
        (now, before), m = self.coefficients, self.steps_per_epoch
        energy = self.recursion.energy(steps, now, before)
        partial = now * self.recursion.response(steps % m)
        if before:
            partial = partial + before * self.recursion.response(np.maximum(steps % m - 1, 0))
        epochs = partial**2 + self._roots.whole_epochs(steps, m, now, before)
        correlated = m / (m - 1) * (energy - epochs / m)
        noise = self.step_variance * self._mixed(energy, correlated)
        return np.asarray(noise + (pull(self, steps) * self.problem.offset) ** 2)


@dataclass(frozen=True)
class Roots:
    """Both roots as complex numbers: γ(t) ∝ A r₁ᵗ + B r₂ᵗ [L]."""

    b: Floats
    first: Complex
    second: Complex
    below_one: Complex
    """1 − r₁ = a/(1 − r₂)."""

    @classmethod
    def of(cls, a: Floats, b: Floats) -> Roots:
        """Modes within NEAREST of critical damping are taken at that distance: double roots have another form."""
        closest = np.where(b > 0, NEAREST * (1 - b) ** 2, 1e-14)
        disc = Recursion(a, b).discriminant
        apart = np.sqrt(np.where(np.abs(disc) < closest, closest, disc).astype(np.complex128))
        below_second = np.asarray((1 - b + a + apart) / 2, dtype=np.complex128)
        below_first = np.asarray(a / below_second, dtype=np.complex128)
        return cls(b, 1 - below_first, 1 - below_second, below_first)

    def averaged(self, steps: Steps, window: int) -> Floats:
        """L(t)/(s²κ) = Σ_j Λ(j)e_{|t−j|} [T, L]."""
        apart = (self.first - self.second) * (1 + self.b)
        slow = (1 + self.second) * self.first / apart  # A/(1 − r₂)
        fast = -(1 + self.first) * self.second / apart  # B/(1 − r₁)
        total = slow * averaged_loss(self.below_one, steps, window)
        return np.asarray((total + fast * averaged_loss(1 - self.second, steps, window)).real)

    def whole_epochs(self, steps: Steps, m: int, now: float, before: float) -> Floats:
        """Σ_{u<p}(Σ_{j=s+uM}^{s+uM+M−1} w_j)², t = pM + s, as geometric sums of the roots [T, L]."""
        p, s = (steps // m)[:, None], (steps % m)[:, None]
        apart = self.first - self.second
        log1, log2 = log_of(self.first, self.below_one), log_of(self.second, 1 - self.second)
        each1 = (now * self.first + before) / apart * _sum(log1, self.below_one, m)
        each2 = -(now * self.second + before) / apart * _sum(log2, 1 - self.second, m)
        total = np.zeros(1, dtype=np.complex128)
        for factor, log in ((each1**2, 2 * log1), (2 * each1 * each2, log1 + log2), (each2**2, 2 * log2)):
            total = total + factor * np.exp(s * log) * _sum(m * log, -np.expm1(m * log), p)
        return np.asarray(np.real(total))


def _sum(log: Complex, below_one: Complex, count: ArrayLike) -> Complex:
    """Σ_{j<count} qʲ = (1 − q^count)/(1 − q); count where q = 1."""
    flat = below_one == 0
    terms = -np.expm1(np.asarray(count) * log) / np.where(flat, 1.0, below_one)
    return np.where(flat, np.asarray(count) + 0j, terms)


def epoch(problem: Modes, steps_per_epoch: int, white: ArrayLike | None = None, allow_unstable: bool = False) -> Epoch:
    """The law under reshuffling; `white` is the share of a batch's noise that is drawn afresh, one or [L].

    None: that of the examples an epoch leaves out, (N − MS)/(N − S), where the problem names its `examples`; else 0.
    Augmentation adds to it.
    """
    share = dropped_share(problem, steps_per_epoch) if white is None else np.asarray(white, dtype=float)
    return Epoch(problem, allow_unstable, steps_per_epoch=steps_per_epoch, white=share)


def dropped_share(problem: Modes, steps_per_epoch: int) -> Floats:
    """(N − MS)/(N − S): an epoch that drops its remainder does not sum to zero; 0 where N is not known or S = N."""
    n, size = problem.examples, problem.batch_size
    left = 0.0 if n is None or n == size else max(0.0, (n - steps_per_epoch * size) / (n - size))
    return np.array([left])
