"""SGD on reshuffled data: the noise of an epoch's M batches sums to zero, so flat directions do not diffuse beyond an
epoch.

Batches without repetition within an epoch of M = N/S steps, a fresh order each epoch. With one batch's covariance C the
noise has, averaged over where in an epoch one looks,

    Cov(n_k, n_{k+j}) = −C(M − |j|)/(M(M − 1)),  0 < |j| < M;        spectrum C(M − F_M(ω))/(M − 1), F_M Fejér's
    kernel, 0 at ω = 0
                      = M/(M − 1)·(white noise − the average of white noise over M steps)

so every second moment is that of the i.i.d. law minus that of its iterates averaged over M steps (`epoch_roots`):

    E x_kx_{k+t} = M/(M − 1)·[γ(t) − Σ_j Λ_M(j)γ(t − j)],   γ the i.i.d. autocovariance, C the covariance of a batch of
    an epoch

From a fixed start at the beginning of an epoch, with w_j the answer to an impulse and B_q = Σ of the w of whole epochs,

    Var x_t = M/(M − 1)·[Σ_{j<t} w_j² − (1/M) Σ_epochs (Σ_{j in epoch} w_j)²].

The first gradient of all is not dampened (torch): its answer is u w_{t−1}, u = 1/(1 − d), in both sums.

Augmentation adds white noise of covariance `white`: that part is the i.i.d. law's. Identity V fails under this noise.
Kuhn and Rosenow (arXiv:2306.05300) found the anticorrelation and its effect on the variance; the displacement is
derived in docs/statements/sgd-epoch.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.discrete import answer, fixed_variance, pull
from limen.theory.sgd.epoch_roots import Block, Term, blocks, settled
from limen.theory.sgd.law import Law, Start, Steps, slope, whole_steps
from limen.theory.sgd.problem import Floats, Modes
from limen.theory.sgd.recursion import CACHED

WALKED = 8
"""Steps are walked one by one as long as one in so many is asked for."""


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

    @property
    def _y_variance(self) -> Floats:
        r = self.recursion
        found = self._scale * settled(r, self.steps_per_epoch)
        iid = np.full(found.shape, np.nan)
        np.divide(self.step_variance * r.mobility, r.a, out=iid, where=r.stable)
        return np.where(r.stable, self._mixed(iid, found), np.nan)

    def _y_displacement(self, steps: Steps) -> Floats:
        """E(y_{k+t} − y_k)² [T, L]: of white noise, less that of its average over an epoch; NaN if unstable."""
        r, m = self.recursion, self.steps_per_epoch
        found, usual = np.empty((len(steps), len(r.a))), r.stable | (r.a == 0)
        found[:, ~usual] = np.nan
        rest, early, late = (np.flatnonzero(at) for at in (steps == 0, (steps > 0) & (steps < m), steps >= m))
        for block in blocks(r, m, usual):
            terms = self._terms(block, 2 * self._scale)
            _write(found, block.modes, (rest, steps), 0.0, [])
            _write(found, block.modes, (early, steps), 0.0, [term.early(steps[early]) for term in terms])
            rest_of = sum(term.settled() for term in terms)
            _write(found, block.modes, (late, steps - m), rest_of, [term.late(steps[late]) for term in terms])
        if self.white.any():
            found = self._mixed(2 * self.step_variance * r.mobility * r.excursion(steps), found)
        return found

    def _terms(self, block: Block, scale: Floats) -> list[Term]:
        share = scale[block.modes] / len(block.pairs)
        return [term for pair in block.pairs for term in pair.terms(self.steps_per_epoch, share, block.near)]

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
        noise = self._bridges(steps)
        if self.white.any():
            noise = self._mixed(fixed_variance(self, steps), noise)
        return noise if not self.problem.offset.any() else noise + (pull(self, steps) * self.problem.offset) ** 2

    def _bridges(self, steps: Steps) -> Floats:
        """M/(M − 1)·s²(S − Σ B²/M) [T, L]: of the epoch under way and those over; infinite where beyond the floats."""
        r, m, x = self.recursion, self.steps_per_epoch, self.coefficients
        scale = m / (m - 1) * self.step_variance
        into, where = np.unique(steps % m, return_inverse=True)
        found, begun, over = np.empty((len(steps), len(r.a))), np.flatnonzero(steps < m), np.flatnonzero(steps >= m)
        with np.errstate(over="ignore", invalid="ignore"):  # an unstable mode may leave the floats
            table = self._under_way(into, scale)
            for block in blocks(r, m, np.ones(len(r.a), dtype=bool)):
                share = scale[block.modes] / len(block.pairs)
                past = [term for pair in block.pairs for term in pair.over(m, share, x, steps[over])]
                under_way = (table, where)
                _write(found, block.modes, (begun, steps), under_way, [])
                _write(found, block.modes, (over, steps), under_way, past)
            if self.problem.dampening:
                found += scale * self._undampened(steps)
        return found if r.stable.all() else np.where(np.isnan(found) & ~r.stable, np.inf, found)

    def _undampened(self, steps: Steps) -> Floats:
        """(u² − 1)w² − [(P + (u − 1)w)² − P²]/M [T, L]: what the first gradient has more, w = w_{t−1}.

        P_t = Σ of the first epoch's w is W_t, and then a free motion: W_M U_{t−M} − bW_{M−1}U_{t−M−1}. Heavy ball only.
        """
        r, m, more = self.recursion, self.steps_per_epoch, 1 / (1 - self.problem.dampening) - 1
        first, late = answer(self, steps), steps > m
        whole = r.response(np.minimum(steps, m))
        if late.any():
            before, all_of = r.response(np.array([m - 1, m]))
            since = steps[late] - m
            whole[late] = all_of * r.impulse(since + 1) - r.b * before * r.impulse(since)
        return np.asarray(more * first * ((2 + more) * first - (2 * whole + more * first) / m))

    def _under_way(self, into: Steps, scale: Floats) -> Floats:
        """Scale·(S − P²/M) after so many steps of an epoch: stepped where they lie densely."""
        r, m, (now, before) = self.recursion, self.steps_per_epoch, self.coefficients
        found = np.empty((len(into), len(r.a)))
        if into.max(initial=0) < WALKED * len(into):
            row = {int(s): i for i, s in enumerate(into)}
            for s, at in enumerate(r.walk(int(into.max(initial=0)), now, before)):
                if s in row:
                    partial = at.response if not before else (now + before) * at.response - before * at.impulse
                    np.multiply(scale, at.energy - partial**2 / m, out=found[row[s]])
            return found
        partial = now * r.response(into)
        if before:
            partial += before * r.response(np.maximum(into - 1, 0))
        return np.asarray(scale * (r.energy(into, now, before) - partial**2 / m))


class _Part(Protocol):
    def add_to(self, found: Floats, t: Steps) -> None:
        """found += values at t [T, L]."""


def _write(
    found: Floats,
    modes: Steps,
    at: tuple[Steps, Steps],
    base: Floats | float | tuple[Floats, Steps],
    parts: Sequence[_Part],
) -> None:
    """found[rows, modes] = base (or a table and which of its rows) + parts, a few at a time; rows, steps in `at`."""
    (rows, steps), several = at, max(1, CACHED // len(modes))
    columns = _slice(modes)
    for first in range(0, len(rows), several):
        some = rows[first : first + several]
        if isinstance(base, tuple):
            values = base[0][np.ix_(base[1][some], modes)] if columns is modes else base[0][base[1][some], columns]
        else:
            values = np.empty((len(some), len(modes)))
            values[:] = base
        for part in parts:
            part.add_to(values, steps[some])
        if columns is modes:
            found[np.ix_(some, modes)] = values
        else:
            found[_slice(some), columns] = values


def _slice(indices: Steps) -> Any:
    """Sorted indices as a slice where they follow one another."""
    return slice(indices[0], indices[-1] + 1) if indices[-1] - indices[0] == len(indices) - 1 else indices


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
