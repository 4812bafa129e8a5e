"""Powers of roots that keep their digits, many at a time.

For a root r with g = 1 − r, in n steps

    G_n = (1 − rⁿ)/g,   S_n = (n − G_n)/g = Σ_{j<n} G_j,   R_n = (n(n − 1)/2 − S_n)/g = Σ_{j<n} S_j        all ≥ 0

Where |g|n is small R is the binomial series Σ_k C(n, k + 3)(−g)ᵏ and the others follow from it: nothing is divided by
g. Powers of real roots are exponentials of n ln|r|; those of complex ones products of two from tables, r^{64i} and rʲ,
since a cosine takes 25 times as long as an exponential.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.theory.sgd.recursion import Steps

Floats = NDArray[np.float64]
Numbers = NDArray[Any]
"""Real or complex."""

SMALL, TERMS = 0.3, 14
"""|g|n below which the series is summed, and its terms: .3¹⁴·6/17! is nothing beside 1."""
GONE = -45.0
"""ln of what is nothing beside 1."""
TABLE = 64
"""Powers of a complex root in the first table; the second has every so manieth."""

# shapes: T steps, L modes


@dataclass(frozen=True)
class Root:
    """One root a mode: r, 1 − r and ln|r| (ln r if complex), all [L]."""

    value: Numbers
    gap: Numbers
    log: Numbers

    def times(self, other: Root) -> Root:
        """The root that is the product."""
        gap = self.gap + other.gap - self.gap * other.gap
        return Root(self.value * other.value, gap, self.log + other.log)

    @property
    def complex(self) -> bool:
        """Whether it may lie off the axis."""
        return np.iscomplexobj(self.value)

    def to(self, n: Numbers | float) -> Numbers:
        """rⁿ, n ≥ 0 [T, 1] or one number."""
        size = np.multiply(n, self.log)
        np.exp(size, out=size)
        return np.where((self.value < 0) & (np.asarray(n) % 2 == 1), -size, size) if self._flips else size

    def lost(self, n: Numbers | float) -> Numbers:
        """1 − rⁿ, with all its digits where r is near 1."""
        lost = np.multiply(n, self.log)
        lost = np.negative(np.expm1(lost, out=lost), out=lost)
        return np.where(self.value < 0, 1 - self.to(n), lost) if self._flips else lost

    def total(self, n: Numbers | float) -> Numbers:
        """G_n; n where r = 1."""
        flat = self.gap == 0
        return (
            np.where(flat, n, self.lost(n) / np.where(flat, 1.0, self.gap)) if flat.any() else self.lost(n) / self.gap
        )

    def sums(self, n: int) -> tuple[Numbers, Numbers, Numbers]:
        """G, S and R of n steps [L]."""
        near = np.abs(self.gap) * n < SMALL
        some = np.where(near, 1.0, self.gap)
        once = (n - self.total(float(n))) / some
        twice = np.where(near, series(np.array([n]), np.where(near, self.gap, 0.0))[0], (n * (n - 1) / 2 - once) / some)
        once = np.where(near, n * (n - 1) / 2 - self.gap * twice, once)
        return np.where(near, n - self.gap * once, self.total(float(n))), once, twice

    @cached_property
    def table(self) -> tuple[Floats, Floats]:
        """Real and imaginary part of rⁿ, n < TABLE [TABLE, L]."""
        low = _doubled(self.to(1.0), TABLE)
        return low.real.copy(), low.imag.copy()

    def gone(self, n: float) -> bool:
        """Whether rⁿ is nothing for all modes."""
        return bool(n * float(self.log.real.max()) < GONE)

    @property
    def _flips(self) -> bool:
        return not self.complex and bool((self.value < 0).any())


def series(n: Steps, gap: Numbers) -> Numbers:
    """R_n = Σ_k C(n, k + 3)(−g)ᵏ [T, L], for small g·n.

    >>> series(np.array([3, 4]), np.array([0.5])).tolist()
    [[1.0], [3.5]]
    """
    return np.asarray(binomials(n, 3, TERMS) @ powers(-gap, TERMS))


def powers(x: Numbers, count: int) -> Numbers:
    """1, x, x², … [count, L]."""
    found = np.empty((count, len(x)), x.dtype)
    found[0] = 1
    for k in range(1, count):
        np.multiply(found[k - 1], x, out=found[k])
    return found


def _doubled(x: Numbers, count: int) -> Numbers:
    """1, x, x², … [count, L], each a product of two that are at most half as far: rounding grows with ln count."""
    found = np.empty((count, len(x)), x.dtype)
    found[0], filled = 1, 1
    while filled < count:
        more = min(filled, count - filled)
        np.multiply(found[:more], x if filled == 1 else found[filled // 2] ** 2, out=found[filled : filled + more])
        filled += more
    return found


def binomials(n: Steps, first: int, count: int) -> Floats:
    """C(n, first), …, C(n, first + count − 1) [T, count]."""
    at, k = np.asarray(n, dtype=np.float64)[:, None], np.arange(first + count - 1)
    return np.asarray(np.cumprod(np.maximum(at - k, 0) / (k + 1), axis=1)[:, first - 1 :])


class Powers:
    """Re(weight·rⁿ) [T, L] at some of the steps given first; what is nothing for all modes is left out."""

    def __init__(self, root: Root, weight: Numbers, steps: Steps) -> None:
        self.root, self.weight = root, weight
        if not root.complex:
            return
        last = int(min(steps.max(initial=0), GONE / min(float(root.log.real.max()), -1e-300)))
        self.far = np.unique(steps[steps <= last] // TABLE)
        if len(self.far) * TABLE > last // TABLE:
            high = _doubled(root.to(float(TABLE)), int(self.far.max(initial=0)) + 1)[self.far]
        else:
            high = root.to(TABLE * column(self.far))
        high *= weight
        self.tables = *root.table, high.real.copy(), high.imag.copy()

    def add_to(self, found: Floats, n: Steps) -> None:
        """found += Re(weight·rⁿ)."""
        kept = n * float(self.root.log.real.max()) >= GONE
        if not kept.all():
            if kept.any():
                some = found[kept]
                self.add_to(some, n[kept])
                found[kept] = some
            return
        if not self.root.complex:
            values = self.root.to(column(n))
            values *= self.weight
            found += values
            return
        at, (cosine, sine, even, odd) = np.searchsorted(self.far, n // TABLE), self.tables
        values = cosine[n % TABLE]
        values *= even[at]
        found += values
        np.multiply(sine[n % TABLE], odd[at], out=values)
        found -= values


def column(t: Steps) -> Floats:
    """Steps as [T, 1]."""
    return np.asarray(t, dtype=np.float64)[:, None]
