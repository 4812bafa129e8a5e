"""What a moving average over M steps leaves of a geometric correlation, without losing digits.

    Λ_M(j) = (M − |j|)/M² for |j| < M       (weights of the average of M, convolved with themselves)
    T_r(k) = Σ_j Λ_M(j)(1 − r^{|k−j|}),     for |k| ≥ M  1 − r^{|k|}(sinh(Mz/2)/(M sinh(z/2)))²,  z = −ln r

With F(k) = r^{|k|}r/(1 − r)² + |k|(1 + r)/(2(1 − r)), whose second difference is r^{|k|}: T = 1 − [F(k + M) − 2F(k) +
F(k − M)]/M². For r near 1 both terms of F are huge and cancel; there the series in z is used, which starts with z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.theory.sgd.recursion import Recursion, Steps

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

NEAREST = 1e-5
"""Distance of disc from 0, in (1 − b)², below which roots are moved apart."""
SERIES = 0.5
"""z·(k + M) below which the series is summed."""
TERMS = 24


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


def averaged_loss(gap: Complex, steps: NDArray[np.int64], window: int) -> Complex:
    """T_r(k)/(1 − r) for gap = 1 − r [L] (complex; 0 for flat) and steps k ≥ 0 [T]: [T, L], finite at gap 0.

    >>> averaged_loss(np.array([0.5 + 0j]), np.array([0]), 2).real  # Σ Λ(j)(1 − r^|j|) = 2·¼·½, over ½
    array([[0.5]])
    """
    k = np.asarray(steps, dtype=np.float64)[:, None]
    found = np.empty((len(k), len(gap)), dtype=np.complex128)
    near = np.abs(gap) * (float(k.max(initial=0.0)) + window) < SERIES
    if near.any():
        found[:, near] = _series(gap[near], k, window)
    if not near.all():
        found[:, ~near] = _closed(gap[~near], k, window)
    return found


def _closed(gap: Complex, k: NDArray[np.float64], window: int) -> Complex:
    """From F; where z·(k + M) is small for some steps only, those take the series."""
    r = 1 - gap
    log = log_of(r, gap)

    def antidifference(at: NDArray[np.float64]) -> Complex:
        size = np.abs(at)
        return np.asarray(np.exp(size * log) * r / gap**2 + size * (1 + r) / (2 * gap))

    left = (antidifference(k + window) - 2 * antidifference(k) + antidifference(k - window)) / window**2
    found = (1 - left) / gap
    near = np.abs(gap) * (k + window) < SERIES
    if near.any():
        for row in np.flatnonzero(near.any(axis=1)):
            modes = near[row]
            found[row, modes] = _series(gap[modes], k[row : row + 1], window)[0]
    return np.asarray(found)


def _series(gap: Complex, k: NDArray[np.float64], window: int) -> Complex:
    """Σ_n (−1)^{n+1} zⁿ/n!·μ_n(k), μ_n = Σ_j Λ(j)|k − j|ⁿ, over 1 − r; μ_n from sums of powers."""
    z = -log_of(1 - gap, gap)
    lags = np.arange(-(window - 1), window, dtype=np.float64)
    weights = (window - np.abs(lags)) / window**2
    away = np.abs(k - lags)  # [T, 2M − 1]
    reach = k + window
    ratio = np.where(gap == 0, 1.0, z / np.where(gap == 0, 1.0, gap))  # z/(1 − r), 1 at 0
    total = np.zeros((len(k), len(gap)), dtype=np.complex128)
    factor, power = np.ones_like(total), away / reach
    scaled = reach * z
    for n in range(1, TERMS):
        moment = (power @ weights)[:, None]
        factor = factor * (1.0 if n == 1 else scaled) / n
        total += (-1) ** (n + 1) * factor * moment
        power = power * away / reach
    return np.asarray(total * reach * ratio)


def log_of(root: Complex, gap: Complex) -> Complex:
    """ln r from r and 1 − r, with all its digits near 1 (numpy's complex log1p loses them); ln 1e-300 for r = 0."""
    near = np.abs(gap) < 0.5
    x, y = -np.where(near, gap.real, 0.0), -np.where(near, gap.imag, 0.0)
    close = np.log1p(x * (2 + x) + y * y) / 2 + 1j * np.arctan2(y, 1 + x)
    return np.where(near, close, np.log(np.where(root == 0, 1e-300, root)))
