"""What a moving average over M steps leaves of a geometric correlation, without losing digits.

    Λ_M(j) = (M − |j|)/M² for |j| < M       (weights of the average of M, convolved with themselves)
    T_r(k) = Σ_j Λ_M(j)(1 − r^{|k−j|}),     for |k| ≥ M  1 − r^{|k|}(sinh(Mz/2)/(M sinh(z/2)))²,  z = −ln r

With F(k) = r^{|k|}r/(1 − r)² + |k|(1 + r)/(2(1 − r)), whose second difference is r^{|k|}: T = 1 − [F(k + M) − 2F(k) +
F(k − M)]/M². For r near 1 both terms of F are huge and cancel; there the series in z is used, which starts with z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]

SERIES = 0.5
"""z·(k + M) below which the series is summed."""
TERMS = 24


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
