"""The closed forms of `recursion` for real roots that lie apart, and for complex or close ones; symbols as there.

Real roots use 1 − rᵗ = −expm1(t ln r); complex and close roots use sin(tψ)/sin ψ, or sinh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FAST_TURN = 0.1
"""ψ in (1 − b) from which the energy's two waves may be taken apart: nearer to critical damping they cancel."""
GONE = -45.0
"""ln of what is nothing beside 1."""
LOG_OF_ZERO = -1e300
"""Stands for ln 0: its multiples have exp 0, its multiple by 0 is 0."""


# shapes: T steps, L modes


@dataclass(frozen=True)
class RealRoots:
    """Real roots that lie apart: of one sign, of two signs, or beyond 1 (unstable)."""

    b: Floats
    first: Floats
    second: Floats
    below_one: Floats
    """1 − r₁ = a/(1 − r₂), with all its digits."""
    log_first: Floats
    log_second: Floats
    """ln|r|."""

    @classmethod
    def of(cls, a: Floats, b: Floats, discriminant: Floats) -> RealRoots:
        """r₁ is the greater root."""
        apart = np.sqrt(np.maximum(discriminant, 1e-30))  # b = 0, a = 1 is the one double root that comes here
        phi = 1 + b - a
        larger = (phi + np.where(phi >= 0, apart, -apart)) / 2  # in size; b/larger is the other without cancellation
        other = np.divide(b, larger, out=np.zeros_like(b), where=larger != 0)
        first, second = np.where(phi >= 0, larger, other), np.where(phi >= 0, other, larger)
        below_one = 2 * a / (1 - b + a + apart)
        above_minus_one = (2 * (1 + b) - a) / (1 + first)
        return cls(b, first, second, below_one, _log_size(first, below_one), _log_size(second, above_minus_one))

    def _lost(self, t: Floats) -> tuple[Floats, Floats]:
        """1 − r₁ᵗ and 1 − r₂ᵗ."""
        return _lost(self.first, self.log_first, t), _lost(self.second, self.log_second, t)

    def _lost_each(self, first: Floats, t: Floats) -> Floats:
        """(1 − r₁ᵗ)/(1 − r₁), t where r₁ = 1."""
        flat = self.below_one == 0
        if flat.any():
            return np.where(flat, t, first / np.where(flat, 1.0, self.below_one))
        return first * (1 / self.below_one)

    def impulse(self, t: Floats) -> Floats:
        """(r₁ᵗ − r₂ᵗ)/(r₁ − r₂)."""
        first, second = _power(self.first, self.log_first, t), _power(self.second, self.log_second, t)
        return (first - second) / (self.first - self.second)

    def response(self, t: Floats) -> Floats:
        """[r₁(1 − r₁ᵗ)/(1 − r₁) − r₂(1 − r₂ᵗ)/(1 − r₂)]/(r₁ − r₂)."""
        first, second = self._lost(t)
        ends = self.first * self._lost_each(first, t) - self.second / (1 - self.second) * second
        return ends / (self.first - self.second)

    def excursion(self, t: Floats) -> Floats:
        """W_t − b/(1 + b)·U_{t−1}, collected by root."""
        first, second = self._lost(t)
        if first.shape[1] != len(self.first):
            first = np.broadcast_to(first, (len(t), len(self.first))).copy()
        apart, damped = self.first - self.second, self.b / (1 + self.b)
        slow = (self.first + damped * self.below_one) / apart
        fast = -(self.second / (1 - self.second) + damped) / apart
        flat = self.below_one == 0
        if flat.any():
            each = np.where(flat, t, first / np.where(flat, 1.0, self.below_one))
            return slow * each + fast * second
        total = np.multiply(first, slow / self.below_one, out=first)
        total += second * fast
        return total

    def correlation(self, t: Floats) -> Floats:
        """[(1 − r₂²)r₁^{t+1} − (1 − r₁²)r₂^{t+1}]/[(r₁ − r₂)(1 + r₁r₂)]."""
        apart = (self.first - self.second) * (1 + self.b)
        slow = (1 - self.second**2) * self.first / apart
        fast = self.below_one * (1 + self.first) * self.second / apart
        return slow * _power(self.first, self.log_first, t) - fast * _power(self.second, self.log_second, t)

    def energy(self, t: Floats, now: float, before: float) -> Floats:
        """α₁²G(r₁²) + 2α₁α₂G(b) + α₂²G(r₂²), w_j = α₁r₁ʲ + α₂r₂ʲ, G(q) = (1 − qᵗ)/(1 − q)."""
        apart = self.first - self.second
        slow, fast = (now * self.first + before) / apart, -(now * self.second + before) / apart
        with np.errstate(over="ignore"):  # an unstable mode may leave the floats: its displacement is infinite
            total = slow**2 * _geometric(2 * self.log_first, self.below_one * (1 + self.first), t)
            if not fast.any():  # no momentum: one root
                return np.asarray(total)
            b = self.b[:1] if (self.b == self.b[0]).all() else self.b
            mixed = 2 * slow * fast / (1 - self.b)
            total += mixed * _lost(b, _log_size(b, 1 - np.abs(b)), t)
            total += fast**2 * _geometric(2 * self.log_second, 1 - self.second**2, t)
        return np.asarray(total)


@dataclass(frozen=True)
class RoundRoots:
    """Roots √b·e^{±iψ} (ψ² > 0) or √b·e^{±χ} close together (χ² = −ψ²); 0 < b < 1."""

    a: Floats
    b: Floats
    angle: Floats
    """ψ or χ ≥ 0."""
    turning: NDArray[np.bool_]
    """Complex roots."""

    @classmethod
    def of(cls, a: Floats, b: Floats, discriminant: Floats) -> RoundRoots:
        """Sin ψ = √(−disc)/(2√b), sinh χ = √disc/(2√b): accurate where cos ψ is not."""
        turning, size = discriminant < 0, np.sqrt(np.abs(discriminant))
        angle = np.where(turning, np.arctan2(size, 1 + b - a), np.arcsinh(size / (2 * np.sqrt(b))))
        return cls(a, b, angle, turning)

    def _gone(self, t: Floats) -> bool:
        """Whether these steps are beyond all memory."""
        return bool(float(t.min()) * float(np.log(self.b).max()) / 2 < GONE)

    def _scale(self, t: Floats) -> Floats:
        """b^{t/2} [T, L], or [T, 1] where b is the same for all; exactly 0 below 1e-300."""
        b = self.b[:1] if (self.b == self.b[0]).all() else self.b
        return np.exp(np.maximum(t * np.log(b) / 2, -700.0)) * (t * np.log(b) > -1380)

    def _waves(self, t: Floats) -> tuple[Floats, Floats]:
        """cos tψ and sin(tψ)/sin ψ, or cosh tχ and sinh(tχ)/sinh χ [T, L]."""
        if self.turning.all():
            x = t * self.angle
            return np.cos(x), np.sin(x) / np.sin(self.angle)
        x, y = np.where(self.turning, self.angle, 0.0), np.where(self.turning, 0.0, self.angle)
        sine = np.where(self.turning, np.sin(x), 1.0)
        even = np.where(self.turning, np.cos(t * x), np.cosh(np.minimum(t * y, 700.0)))
        return even, np.where(self.turning, np.sin(t * x) / sine, _sinh_ratio(t, y))

    def impulse(self, t: Floats) -> Floats:
        """b^{(t−1)/2}·sin(tψ)/sin ψ, or with sinh; t·b^{(t−1)/2} where ψ = 0."""
        if self._gone(t - 1):
            return np.zeros((len(t), len(self.b)))
        return self._scale(t - 1) * self._waves(t)[1]

    def correlation(self, t: Floats) -> Floats:
        """b^{t/2}[cos tψ + (1 − b)/(1 + b)·cot ψ·sin tψ], or with hyperbolic functions."""
        if self._gone(t):
            return np.zeros((len(t), len(self.b)))
        skew = (1 - self.b) / (1 + self.b)
        if self.turning.all():  # one cosine: cos tψ + s·sin tψ = √(1 + s²)·cos(tψ − arctan s)
            slope = skew / np.tan(self.angle)
            wave = np.cos(t * self.angle - np.arctan(slope))
            wave *= np.hypot(1.0, slope)
            wave *= self._scale(t)
            return wave
        even, odd = self._waves(t)
        cosine = np.where(self.turning, np.cos(self.angle), np.cosh(self.angle))
        return self._scale(t) * (even + skew * cosine * odd)

    def response(self, t: Floats) -> Floats:
        """(1 − U_t + bU_{t−1})/a."""
        return (1 - self.impulse(t + 1) + self.b * self.impulse(t)) / self.a

    def excursion(self, t: Floats) -> Floats:
        """(1 − r(t))/a."""
        return (1 - self.correlation(t)) / self.a

    def energy(self, t: Floats, now: float, before: float) -> Floats:
        """F(w_0, w_{−1}) − F(w_t, w_{t−1}) with F(u, v) = p(u² − 2φb/(1 + b)·uv + b²v²), the energy still to come."""
        b, phi = self.b, 1 + self.b - self.a
        p = (1 + b) / ((1 - b) * ((1 + b) ** 2 - phi**2))
        mixed, older = -2 * phi * b / (1 + b), b**2
        start = p * (now**2 + mixed * now * (-before / b) + older * (before / b) ** 2)
        if self._gone(t - 2):
            return np.broadcast_to(start, (len(t), len(b)))
        if self.turning.all() and (self.angle > FAST_TURN * (1 - b)).all():
            return self._turning_energy(t, start, now, before)
        cosine = np.where(self.turning, np.cos(self.angle), np.cosh(self.angle))
        even, odd = self._waves(t)  # U_{t−1} = b^{(t−1)/2}·odd; neighbours by the addition theorem
        root = np.sqrt(b)
        ahead, behind = (cosine * odd + even) * root, (cosine * odd - even) / root  # U_t and U_{t−2} in the same units
        w, w_before = now * ahead + before * odd, now * odd + before * behind
        left = w * w + mixed * w * w_before + older * (w_before * w_before)
        return np.asarray(start - p * self._scale(2 * (t - 1)) * left)

    def _turning_energy(self, t: Floats, whole: Floats, now: float, before: float) -> Floats:
        """S_∞ − bᵗ[2|α|²/(1 − b) + 2Re(α²r^{2t}b^{−t}/(1 − r²))], w_j = αrʲ + ᾱr̄ʲ: one cosine a number."""
        root = np.sqrt(self.b) * np.exp(1j * self.angle)
        alpha = (now * root + before) / (root - root.conj())
        wave = 2 * alpha**2 / (1 - root**2)
        left = np.cos(2 * self.angle * t + np.angle(wave))
        left *= np.abs(wave)
        left += 2 * np.abs(alpha) ** 2 / (1 - self.b)
        left *= self._scale(2 * t)
        return np.asarray(np.subtract(whole, left, out=left))


def _log_size(root: Floats, short: Floats) -> Floats:
    """ln|root|, from `short` = 1 − |root| where that is small; of 0 a number whose multiples have exp 0."""
    close = np.abs(short) < 0.5
    size = np.log(np.maximum(np.abs(root), 1e-300), out=np.full(root.shape, LOG_OF_ZERO), where=root != 0)
    return np.where(close, np.log1p(-np.where(close, short, 0.0)), size)


def _power(root: Floats, log_size: Floats, t: Floats) -> Floats:
    """Rootᵗ for integer t ≥ 0."""
    with np.errstate(over="ignore"):
        size = np.exp(t * log_size)
    return np.where((root < 0) & (t % 2 == 1), -size, size) if (root < 0).any() else size


def _lost(root: Floats, log_size: Floats, t: Floats) -> Floats:
    """1 − rootᵗ with all its digits for roots near 1."""
    if (root == 0).all() or float(t.min()) * float(log_size.max()) < GONE:
        return (t > 0).astype(float)  # [T, 1]: the same for all modes
    if (root < 0).any():
        near = np.where(root > 0, 0.0, 1 - _power(root, log_size, t))
        return np.where(root > 0, _lost(np.abs(root), np.where(root > 0, log_size, -1.0), t), near)
    lost = t * log_size
    with np.errstate(over="ignore"):
        np.expm1(lost, out=lost)
    return np.negative(lost, out=lost)


def _geometric(log_ratio: Floats, below_one: Floats, t: Floats) -> Floats:
    """Σ_{j<t} qʲ from ln q and 1 − q; t where q = 1."""
    flat = below_one == 0
    return np.where(flat, t, -np.expm1(t * np.where(flat, 0.0, log_ratio)) / np.where(flat, 1.0, below_one))


def _sinh_ratio(t: Floats, y: Floats) -> Floats:
    """Sinh(ty)/sinh y, t where y = 0."""
    some = np.where(y == 0, 1.0, y)
    return np.where(y == 0, t, np.sinh(np.minimum(t * some, 700.0)) / np.sinh(some))
