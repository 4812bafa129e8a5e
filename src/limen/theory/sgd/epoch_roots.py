"""The two sums of the epoch law, root by root, for modes of one kind.

With g = 1 − r, M steps in an epoch and t steps between two places, for one root of γ(t) ∝ Σ A r^|t|/(1 − r)

    G_t = (1 − rᵗ)/g,  S_t = (t − G_t)/g = Σ_{j<t} G_j,  R_t = (t(t − 1)/2 − S_t)/g = Σ_{j<t} S_j        all ≥ 0
    d(t) = G_t − [S_t(t + G_t) + G_{M−t+1}G_t² − 2R_{t+1}]/M²,                             t < M
         = 2R_{M+1}/M² + Z r^{t−M},  Z = [r(G_M/M)² − r^M]/g                               t ≥ M
           = g[M − 1 − S_M + 2rR_M/M + r(S_M/M)²]                                          (the same, for small gM)

is the root's part of ½E(y_{k+t} − y_k)² under reshuffling: white noise's loss G minus that of its average over M steps.
Where gM is small, R is a binomial series and the others follow from it: nothing is divided by g. From a fixed start,
w_j = Σ α_i r_iʲ, the epochs that are over have left

    Σ_ij α_iα_j C_ij (r_ir_j)^s (1 − (r_ir_j)^{pM})/(1 − (r_ir_j)^M),  t = pM + s,  C_ij = Σ_{j<M} r_iʲr_jʲ − G_M G_M'/M

with C_ij = O(g_ig_jM³) for slow roots. Powers of real roots are exponentials of t ln|r|; those of complex ones products
of two tabulated ones, since a cosine takes 25 times as long as an exponential. Both sums are analytic in disc, the
squared distance of the roots: at close roots they are the mean of their values with disc on a circle round it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from limen.theory.sgd.complex_log import log_of
from limen.theory.sgd.recursion import Recursion, Steps
from limen.theory.sgd.root_powers import GONE, SMALL, Floats, Numbers, Powers, Root, binomials, column, powers
from limen.theory.sgd.roots import LOG_OF_ZERO, RealRoots

PRODUCT_TERMS = 20
"""Terms of the series for d, a product of three."""
EARLY = 0.1
"""|g|t below which 1 − rᵗ of a complex root is taken as −expm1."""
LOG_SINH = (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775, -691 / 3831077250)
"""ln(sinh x/x) in powers of x²."""
APART = 1e-3
"""|disc| in (1 − b)² from which roots are apart: forms lose a factor 1/√disc of precision."""
RADIUS, CIRCLE = 0.02, 12
"""Of the circle round the disc of close roots, in (1 − b)², and points on it."""
MODES = 2048
"""Modes at a time: tables of powers stay in the cache."""

# shapes: T steps, L modes


def slow_moments(t: Steps, m: int) -> Floats:
    """d(t) = Σ_k D_k(t)(−g)ᵏ for t < M as D [T, PRODUCT_TERMS]: the sums above are such series, and multiply."""
    total, once, twice = (binomials(n, first, PRODUCT_TERMS) for n, first in ((t, 1), (t, 2), (t + 1, 3)))
    rest, at = binomials(m + 1 - t, 1, PRODUCT_TERMS), np.asarray(t, dtype=np.float64)[:, None]
    taken = at * once + _product(once, total) + _product(rest, _product(total, total)) - 2 * twice
    return np.asarray(total - taken / m**2)


def _product(one: Floats, two: Floats) -> Floats:
    """Coefficients of the product of two series [T, K]."""
    found = np.zeros_like(one)
    for k in range(one.shape[1]):
        found[:, k:] += one[:, k : k + 1] * two[:, : one.shape[1] - k]
    return found


@dataclass(frozen=True)
class Term:
    """A root's part of the moments at equilibrium: A, its slow or quick form, whether in waves."""

    root: Root
    part: Numbers
    m: int
    near: bool

    def settled(self) -> Floats:
        """A·2R_{M+1}/M² [L]."""
        _, once, twice = self.root.sums(self.m)
        return np.asarray((self.part * 2 * (twice + once)).real / self.m**2)

    def late(self, steps: Steps) -> Powers:
        """A·Z r^{t−M}, asked for by t − M."""
        r, g, m = self.root.value, self.root.gap, self.m
        total, once, twice = self.root.sums(m)
        small = g * (m - 1 - once + 2 * r * twice / m + r * (once / m) ** 2)
        plain = small if self.near else (r * (total / m) ** 2 - self.root.to(float(m))) / g
        return Powers(self.root, self.part * plain, steps - m)

    def early(self, steps: Steps) -> Early:
        """A·d(t), t < M."""
        return Early(self, steps)


class Early:
    """A root's part for t < M: in the far form constant + slope·t + c₂rᵗ + c₃r^{M−t}."""

    def __init__(self, term: Term, steps: Steps) -> None:
        self.term, root = term, term.root
        self.waves = None
        if term.near:
            self.powers = (term.part * powers(-root.gap, PRODUCT_TERMS)).real
            return
        r, g, m = root.value, root.gap, term.m
        self.cube = r * term.part / (m**2 * g**3)
        self.slope = -(term.part * (1 + r) / (m * g) ** 2).real
        self.both = term.part / g + 2 * self.cube
        if root.complex:
            last = root.to(float(m))
            self.constant = (self.both - 2 * self.cube * last).real
            self.waves = Powers(root, self.cube * last - self.both, steps), Powers(root, self.cube, m - steps)

    def add_to(self, found: Floats, t: Steps) -> None:
        """found += A·d(t)."""
        if self.term.near:
            found += slow_moments(t, self.term.m) @ self.powers
            return
        late = t * float(np.abs(self.term.root.gap).min()) > EARLY
        if self.waves is None or not late.any():
            self._add_far(found, t)
        elif not late.all():
            for rows in (late, ~late):
                some = found[rows]
                self.add_to(some, t[rows])
                found[rows] = some
        else:
            found += column(t) * self.slope
            found += self.constant
            self.waves[0].add_to(found, t)
            self.waves[1].add_to(found, self.term.m - t)

    def _add_far(self, found: Floats, t: Steps) -> None:
        """From E = 1 − rᵗ: E(A/g + 2c) + c·r^{M−t}E² + slope·t, c = Ar/(M²g³)."""
        root, m = self.term.root, self.term.m
        found += column(t) * self.slope
        lost = root.lost(column(t))
        if not root.gone(float(m - t.max())):
            left = root.to(column(m - t))
            left *= lost
            left *= lost
            left *= self.cube
            found += left.real
        lost *= self.both
        found += lost.real


class Over:
    """Weight·q^s(1 − q^{pM})/(1 − q^M), q = r_ir_j, of the epochs that are over from a fixed start."""

    def __init__(self, root: Root, weight: Numbers, m: int) -> None:
        whole = root.lost(float(m))
        self.root, self.m, self.flat = root, m, whole == 0
        self.weight = weight / np.where(self.flat, 1.0, whole)

    def add_to(self, found: Floats, t: Steps) -> None:
        """found += what is left at t = pM + s; p where q = 1."""
        count, into = column(t // self.m), t % self.m
        kept = ~(into * float(self.root.log.real.max()) < GONE)
        if not kept.all():
            if kept.any():
                some = found[kept]
                self.add_to(some, t[kept])
                found[kept] = some
            return
        values = self.root.to(column(into))
        if self.flat.any():
            values = values * np.where(self.flat, count, self.root.lost(self.m * count))
        elif not self.root.gone(float(self.m * count.min())):
            values *= self.root.lost(self.m * count)
        values = values * self.weight
        found += values.real


class Orbit:
    """The same for complex pairs: weight/(1 − q^M)·(q^s − q^t), as waves."""

    def __init__(self, root: Root, weight: Numbers, m: int, steps: Steps) -> None:
        weight, self.m = weight / root.lost(float(m)), m
        self.waves = Powers(root, weight, steps % m), Powers(root, -weight, steps)

    def add_to(self, found: Floats, t: Steps) -> None:
        """found += what is left at t."""
        self.waves[0].add_to(found, t % self.m)
        self.waves[1].add_to(found, t)


@dataclass(frozen=True)
class Pair:
    """Both roots of modes of one kind. One of a complex pair stands for both (`doubled`)."""

    first: Root
    second: Root
    product: Root
    """b."""
    doubled: bool = False

    @classmethod
    def real(cls, recursion: Recursion) -> Pair:
        """Real roots with ln|r| and 1 − r to all digits."""
        roots = RealRoots.of(recursion.a, recursion.b, recursion.discriminant)
        first = Root(roots.first, roots.below_one, roots.log_first)
        return cls(first, Root(roots.second, 1 - roots.second, roots.log_second), _momentum(recursion.b))

    @classmethod
    def turned(cls, recursion: Recursion, disc: Numbers, doubled: bool = False) -> Pair:
        """Roots with another, complex disc."""
        apart, middle = np.sqrt(disc.astype(np.complex128)), 1 - recursion.b + recursion.a
        low, high = np.asarray(middle - apart) / 2, np.asarray(middle + apart) / 2
        first, second = Root(1 - low, low, _log(low)), Root(1 - high, high, _log(high))
        return cls(first, second, _momentum(recursion.b) if doubled else first.times(second), doubled)

    def terms(self, m: int, share: Floats, near: tuple[bool, bool]) -> list[Term]:
        """Parts of the moments at equilibrium, times `share`."""
        r, q = self.first.value, self.second.value
        apart = (r - q) * (1 + r * q)
        slow, fast = (1 + q) * r / apart, -(1 + r) * q / apart
        if self.doubled:
            return [Term(self.first, 2 * slow * share, m, near[0])]
        return [Term(self.first, slow * share, m, near[0]), Term(self.second, fast * share, m, near[1])]

    def over(self, m: int, share: Floats, x: tuple[float, float], steps: Steps) -> list[Over | Orbit]:
        """What the epochs that are over have left of x = c₀y_k + c₁y_{k−1} from a fixed start, times `share`."""
        (now, before), one, two = x, self.first, self.second
        apart = one.value - two.value
        slow, fast = (now * one.value + before) / apart, -(now * two.value + before) / apart
        if self.doubled:
            mixed = (2 * slow * fast * share * covariance(one, two, m)).real
            wave = 2 * slow**2 * share * covariance(one, one, m)
            return [Orbit(one.times(one), wave, m, steps), Over(self.product, mixed, m)]
        found = [
            Over(one.times(one), share * slow**2 * covariance(one, one, m), m),
            Over(self.product, 2 * share * slow * fast * covariance(one, two, m), m),
            Over(two.times(two), share * fast**2 * covariance(two, two, m), m),
        ]
        return [term for term in found if term.weight.any()]


def covariance(a: Root, b: Root, m: int) -> Numbers:
    """C = Σ_{j<M} aʲbʲ − Σ aʲ Σ bʲ/M [L], of slow roots by ln D(z) = ln(sinh(Mz/2)/(M sinh(z/2))) at both and their
    sum."""
    one, two, product = a.sums(m)[0], b.sums(m)[0], a.times(b).sums(m)[0]
    near = np.maximum(np.abs(a.gap), np.abs(b.gap)) * m < SMALL
    if not near.any():
        return np.asarray(product - one * two / m)
    x, y = (powers(root.log[near], 2 * len(LOG_SINH)) for root in (a, b))
    excess = np.zeros_like(x[0])
    for n, c in enumerate(LOG_SINH, start=1):
        mixed = sum(comb(2 * n, k) * x[k] * y[2 * n - k] for k in range(1, 2 * n))
        excess = excess + c * (float(m) ** (2 * n) - 1) / 4**n * mixed
    found = np.asarray(product - one * two / m)
    found[near] = (one * two)[near] / m * np.expm1(excess)
    return found


@dataclass(frozen=True)
class Block:
    """Modes of one kind: which, and pairs of roots whose mean is to be taken."""

    modes: NDArray[np.int64]
    pairs: list[Pair]
    near: tuple[bool, bool]
    """Whether |g|M of the first and the second root is small."""


def blocks(recursion: Recursion, m: int, kept: NDArray[np.bool_]) -> Iterator[Block]:
    """Real roots apart, complex roots apart and close roots, slow and quick ones, so many modes at a time."""
    b, disc, far = recursion.b, recursion.discriminant, APART * (1 - recursion.b) ** 2
    real = (disc > far) | (b == 0)
    kind = np.where(real, 0, np.where(disc < -far, 1, 2))
    middle, apart = 1 - b + recursion.a, np.sqrt(disc.astype(np.complex128))
    high = np.maximum(np.abs(middle + apart), np.abs(middle - apart)) / 2
    slow, both = np.abs(recursion.a) / high * m < SMALL, high * m < SMALL
    number = 3 * kind + slow + both
    for which in np.unique(number[kept]):
        modes = np.flatnonzero(kept & (number == which))
        for first in range(0, len(modes), MODES):
            at = modes[first : first + MODES]
            part = Recursion(recursion.a[at], b[at])
            yield Block(at, _pairs(part, int(which) // 3), (bool(slow[at[0]]), bool(both[at[0]])))


def _pairs(part: Recursion, kind: int) -> list[Pair]:
    if kind == 0:
        return [Pair.real(part)]
    if kind == 1:
        return [Pair.turned(part, part.discriminant, doubled=True)]
    turns = np.exp(2j * np.pi * (np.arange(CIRCLE // 2) + 0.5) / CIRCLE)  # on the other half are conjugates
    width = RADIUS * (1 - part.b) ** 2
    return [Pair.turned(part, part.discriminant + width * turn) for turn in turns]


def _log(gap: Numbers) -> Numbers:
    return log_of(1 - gap, gap)


def settled(recursion: Recursion, m: int) -> Floats:
    """L(0)/(s²κ) = Σ_j Λ_M(j)e_j [L], e averaged over an epoch's lags; NaN for unstable modes.

    >>> settled(Recursion(np.array([0.0]), np.array([0.0])), 2).tolist()  # Σ Λ(j)|j| = 2·¼
    [0.5]
    """
    found = np.full(len(recursion.a), np.nan)
    for block in blocks(recursion, m, recursion.stable | (recursion.a == 0)):
        share = np.full(len(block.modes), 1 / len(block.pairs))
        terms = [term for pair in block.pairs for term in pair.terms(m, share, block.near)]
        found[block.modes] = sum(term.settled() for term in terms)
    return found


def _momentum(b: Floats) -> Root:
    """b as a root, one for all modes where it is the same for all."""
    b = b[:1] if (b == b[0]).all() else b
    log = np.log(np.abs(b), out=np.full(b.shape, LOG_OF_ZERO), where=b != 0)
    return Root(b, 1 - b, np.where(b > 0.5, np.log1p(-np.where(b > 0.5, 1 - b, 0.0)), log))
