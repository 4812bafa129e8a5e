"""The exact law of SGD's iterates on a quadratic loss: discrete time, any stable learning rate.

With the recursion of `recursion` (y, unit noise variance replaced by s² = (η(1 − d))²C) and x = c₀y_k + c₁y_{k−1},
c₀ + c₁ = 1, at equilibrium

    Var x = s²κ/a − c₀c₁·D_y(1),          D_y(t) = E(y_{k+t} − y_k)² = 2s²κ e_t,     κ = (1 + b)/((1 − b)(2(1 + b) − a))
    D_x(t) = D_y(t) + c₀c₁[D_y(t + 1) − 2D_y(t) + D_y(t − 1) − 2D_y(1)]
    Var v = [(1 − ρ)²s²κ/a + ρD_y(1)]/η²,   ρ = 1 − ηλ_d,   since v = (y_k − ρy_{k−1})/η

and from the fixed start (x_0, v_0 = 0)

    E x_t = m_t x_0,  1 − m_t = aW_t + (1 − m_1 − a)U_{t−1},   Var x_t = s²S_t,   D(t) = ((1 − m_t)x_0)² + s²S_t.

Heavy ball, coupled decay: Var x = ηC(1 + β)/((1 − β)h(2(1 + β) − ηh)), 1/(1 − q) times the Langevin law's, q = ηh/(2(1
+ β)). Assumptions: quadratic loss, noise independent from step to step with one covariance. torch.optim.SGD does not
dampen its first gradient; neither does the fixed start.

Derivation: docs/statements/sgd-discrete.md. Prior art for the covariance: Liu, Ziyin, Ueda, ICML 2021
(arXiv:2012.03636).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from limen.theory.sgd.law import Law, Start, Steps, whole_steps
from limen.theory.sgd.problem import Floats, Modes


class Discrete(Law):
    """The exact law. See the header of its file for every formula.

    One mode, h = 1, η = 1, no momentum: x_{k+1} = −n_k, so the variance is C and steps are independent.

    >>> law = Discrete(Modes(curvature=[1.0], noise=[3.0], learning_rate=1.0))
    >>> law.position_variance.tolist(), law.displacement([0, 1, 5]).tolist()
    ([3.0], [0.0, 6.0, 6.0])
    """

    name: ClassVar[str] = "discrete"

    @property
    def position_variance(self) -> Floats:
        """Var x [L]; NaN for flat and unstable modes."""
        now, before = self.coefficients
        y = self._y_variance
        return np.asarray(y - now * before * self._y_displacement(np.array([1]))[0])

    @property
    def velocity_variance(self) -> Floats:
        """Var v [L]; finite for flat modes without decoupled decay, NaN for unstable ones."""
        shrink, eta = self.problem.shrink, self.problem.learning_rate
        lag = np.where(self.regime == "unstable", np.nan, self._y_displacement(np.array([1]))[0])
        kept = (1 - shrink) ** 2 * self._y_variance if shrink != 1 else 0.0
        return np.asarray((kept + shrink * lag) / eta**2)

    def position_autocorrelation(self, steps: ArrayLike) -> Floats:
        """r(t) [T, L]."""
        at = whole_steps(steps)
        now, before = self.coefficients
        r = self.recursion.correlation(at)
        if before:
            ahead, back = self.recursion.correlation(at + 1), self.recursion.correlation(np.abs(at - 1))
            r = self._y_variance * (r + now * before * (ahead - 2 * r + back)) / self.position_variance
        return np.asarray(np.where(np.isnan(self.position_variance), np.nan, r))

    def velocity_autocorrelation(self, steps: ArrayLike) -> Floats:
        """E[v_k v_{k+t}]/Var v [T, L]; NaN for unstable modes."""
        at = whole_steps(steps)
        shrink, eta = self.problem.shrink, self.problem.learning_rate
        d = [self._y_displacement(np.abs(at + shift)) for shift in (-1, 0, 1)]
        covariance = shrink * (d[0] + d[2]) / 2 - (1 + shrink**2) * d[1] / 2
        if shrink != 1:
            covariance = covariance + (1 - shrink) ** 2 * self._y_variance
        return np.asarray(covariance / eta**2 / self.velocity_variance)

    @property
    def _y_variance(self) -> Floats:
        r = self.recursion
        variance = np.full(r.a.shape, np.nan)
        np.divide(self.step_variance * r.mobility, r.a, out=variance, where=r.stable)
        return variance

    def _y_displacement(self, steps: Steps) -> Floats:
        return 2 * self.step_variance * self.recursion.mobility * self.recursion.excursion(steps)

    def _displacements(self, steps: Steps, start: Start, part: Law) -> Floats:
        return _fixed(part, steps) if start == "fixed" else _stationary(part, steps)


def _stationary(law: Law, steps: Steps) -> Floats:
    now, before = law.coefficients
    scale = 2 * law.step_variance * law.recursion.mobility
    e = law.recursion.excursion(steps)
    if before:
        ahead, back = law.recursion.excursion(steps + 1), law.recursion.excursion(np.abs(steps - 1))
        e = e + now * before * (ahead - 2 * e + back - 2 * law.recursion.excursion(np.array([1])))
    return np.asarray(scale * e)


def _fixed(law: Law, steps: Steps) -> Floats:
    noise = fixed_variance(law, steps)
    return noise if not law.problem.offset.any() else noise + (pull(law, steps) * law.problem.offset) ** 2


def fixed_variance(law: Law, steps: Steps) -> Floats:
    """s²[S_t + (u² − 1)w_{t−1}²] [T, L], u = 1/(1 − d): the noise of independent batches, the first undampened."""
    undamped = 1 / (1 - law.problem.dampening)
    energy = law.recursion.energy(steps, *law.coefficients)
    if undamped != 1:
        energy = energy + (undamped**2 - 1) * answer(law, steps) ** 2
    return np.asarray(law.step_variance * energy)


def pull(law: Law, steps: Steps) -> Floats:
    """1 − m_t [T, L]: the share of the offset that the mean has come back by t steps after a start at rest."""
    p, recursion = law.problem, law.recursion
    force = p.learning_rate * (1 - p.dampening) * p.stiffness
    first = 1 - p.shrink + force * (1 + p.momentum if p.nesterov else 1)
    with np.errstate(invalid="ignore", over="ignore"):  # an unstable mode may leave the floats
        back = recursion.a * recursion.response(steps) + np.where(
            first == recursion.a, 0.0, (first - recursion.a) * recursion.impulse(steps)
        )
    if p.dampening:
        back = back + p.dampening / (1 - p.dampening) * force * answer(law, steps)
    return np.asarray(back)


def answer(law: Law, steps: Steps) -> Floats:
    """w_{t−1}: what the first step's gradient does to x_t."""
    now, before = law.coefficients
    u = law.recursion.impulse(steps)
    return u if not before else now * u + before * law.recursion.impulse(np.maximum(steps - 1, 0))


def discrete(problem: Modes, allow_unstable: bool = False) -> Discrete:
    """The exact discrete law of the problem; raises Unstable beyond the edge of stability unless allowed."""
    return Discrete(problem, allow_unstable)
