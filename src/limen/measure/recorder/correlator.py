"""Displacement and velocity correlation over all origins at log-spaced lags, in memory that does not grow.

Level m = 0, 1, … sees every 2^m-th sketched state (q_k = S(θ_k − θ_ref), S v_k), decimated and not averaged: averages
would lower the displacement. It holds the last 16 of them and adds, for lags 2^m·j,

    ‖q_k − q_{k−lag}‖²   and   ⟨S v_k, S v_{k−lag}⟩        j = 1 … 16 at level 0, 9 … 16 above.

Errors over time are blocked (Flyvbjerg and Petersen 1989): means of 1, 2, 4, … successive values are held, and the
standard error is that of the longest blocks of which at least 16 have passed, the unfinished one after them counted by
its length, so that error and mean are of the same values; NaN before.
Source of the scheme: Ramírez, Sukumaran, Vorselaars and Likhtman, J. Chem. Phys. 133, 154103 (2010).
"""

from __future__ import annotations

import numpy as np

from limen.records.trajectory import Correlation, Floats

HELD = 16
UPPER = HELD // 2
BLOCKINGS = 40
LEAST_BLOCKS = 16


class Blocked:
    """Means of a vector that comes once in a while, and their standard errors by blocking.

    >>> blocked = Blocked(1)
    >>> for value in range(32):
    ...     blocked.add(np.array([value % 2]))
    >>> float(blocked.mean()[0]), int(blocked.counts[0])
    (0.5, 32)
    """

    def __init__(self, size: int) -> None:
        self.counts = np.zeros(BLOCKINGS, dtype=np.int64)
        self.sums = np.zeros((BLOCKINGS, size))
        self.squares = np.zeros((BLOCKINGS, size))
        self.waiting = np.zeros((BLOCKINGS, size))

    def add(self, values: Floats) -> None:
        """One more vector [size]."""
        for level in range(BLOCKINGS):
            self.counts[level] += 1
            self.sums[level] += values
            self.squares[level] += values**2
            if self.counts[level] % 2:
                self.waiting[level] = values
                return
            values = (self.waiting[level] + values) / 2

    def mean(self) -> Floats:
        """[size]; NaN before the first."""
        if not self.counts[0]:
            return np.full(self.sums.shape[1], np.nan)
        mean: Floats = self.sums[0] / self.counts[0]
        return mean

    def error(self) -> Floats:
        """Standard error [size]; NaN before 16 values."""
        enough = np.flatnonzero(self.counts >= LEAST_BLOCKS)
        if not len(enough):
            return np.full(self.sums.shape[1], np.nan)
        level = int(enough[-1])
        count, whole = int(self.counts[level]), self.mean()
        rest, share = self._unfinished(level)
        # n_b-weighted squares round the mean of every value, n_b in blocks: E = (blocks − 1)·σ² of one block
        scatter = self.squares[level] - 2 * whole * self.sums[level] + count * whole**2 + share * (rest - whole) ** 2
        blocks = count + (share > 0)
        error: Floats = np.sqrt(np.maximum(scatter, 0.0) / ((blocks - 1) * (count + share)))
        return error

    def _unfinished(self, level: int) -> tuple[Floats, float]:
        """Mean [size] of the values after the last whole block of this level, and their number over that of a block."""
        total, values = np.zeros(self.sums.shape[1]), 0
        for below in range(level):
            if self.counts[below] % 2:
                total, values = total + (1 << below) * self.waiting[below], values + (1 << below)
        return (total / values if values else total), values / (1 << level)


class Correlator:
    """The levels of one segment that began after `start` updates."""

    def __init__(self, start: int, dimension: int) -> None:
        self.start = start
        self.dimension = dimension
        self.seen = 0
        self._positions: list[Floats] = []
        self._velocities: list[Floats] = []
        self._blocked: list[Blocked] = []

    def add(self, position: Floats, velocity: Floats) -> None:
        """One more update's q and S v, each [d]."""
        self.seen += 1
        index = self.seen - 1
        if index == 0:
            self._grow()
        elif index & (index - 1) == 0:  # 2^(m−1): level m begins; level m−1 still holds the first state of all
            self._grow()
            self._positions[-1][0], self._velocities[-1][0] = self._positions[-2][0], self._velocities[-2][0]
        for level in range(len(self._blocked)):
            if index % (1 << level):
                return
            self._insert(level, index >> level, position, velocity)

    def _grow(self) -> None:
        self._positions.append(np.zeros((HELD, self.dimension)))
        self._velocities.append(np.zeros((HELD, self.dimension)))
        self._blocked.append(Blocked(2 * len(_lags(len(self._blocked)))))

    def _insert(self, level: int, index: int, position: Floats, velocity: Floats) -> None:
        """Compare with what the level holds, then take the place of the oldest."""
        positions, velocities = self._positions[level], self._velocities[level]
        place = index % HELD
        if index >= HELD:
            apart = positions - position
            squares = np.einsum("ij,ij->i", apart, apart)
            products = velocities @ velocity
            order = (place - np.arange(1 if level == 0 else UPPER + 1, HELD + 1)) % HELD
            self._blocked[level].add(np.concatenate([squares[order], products[order]]))
        positions[place], velocities[place] = position, velocity

    def result(self) -> Correlation | None:
        """What is known so far; None before 17 updates."""
        known = [level for level, blocked in enumerate(self._blocked) if blocked.counts[0]]
        if not known:
            return None
        lags = [_lags(level) for level in known]
        means = [self._blocked[level].mean() for level in known]
        errors = [self._blocked[level].error() for level in known]
        return Correlation(
            start=self.start,
            lag=np.concatenate(lags),
            origins=np.concatenate(
                [np.full(len(some), self._blocked[level].counts[0]) for some, level in zip(lags, known, strict=True)]
            ),
            displacement=np.concatenate([mean[: len(mean) // 2] for mean in means]),
            displacement_error=np.concatenate([error[: len(error) // 2] for error in errors]),
            velocity=np.concatenate([mean[len(mean) // 2 :] for mean in means]),
            velocity_error=np.concatenate([error[len(error) // 2 :] for error in errors]),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Everything needed to go on, as arrays."""
        found: dict[str, np.ndarray] = {"correlator": np.array([self.start, self.dimension, self.seen])}
        for level, blocked in enumerate(self._blocked):
            found[f"positions-{level}"] = self._positions[level]
            found[f"velocities-{level}"] = self._velocities[level]
            for name in ("counts", "sums", "squares", "waiting"):
                found[f"{name}-{level}"] = getattr(blocked, name)
        return found

    @classmethod
    def from_state(cls, state: dict[str, np.ndarray]) -> Correlator:
        """The correlator that `state` described."""
        start, dimension, seen = (int(value) for value in state["correlator"])
        made = cls(start, dimension)
        made.seen = seen
        while f"positions-{len(made._blocked)}" in state:
            level = len(made._blocked)
            made._grow()
            made._positions[level] = state[f"positions-{level}"]
            made._velocities[level] = state[f"velocities-{level}"]
            for name in ("counts", "sums", "squares", "waiting"):
                setattr(made._blocked[level], name, state[f"{name}-{level}"])
        return made


def _lags(level: int) -> np.ndarray:
    return (1 << level) * np.arange(1 if level == 0 else UPPER + 1, HELD + 1)
