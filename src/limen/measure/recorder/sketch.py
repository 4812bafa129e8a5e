"""CountSketch S of a long vector in d numbers, without an index array: E‖Sx‖² = ‖x‖².

Every stretch c of a parameter (at most 32 rows of a random length L_c ∈ [d, 2d)) has a random shift s_c and a random
sign ε_c; entry i of the stretch is added to bucket (s_c + i mod L_c) mod d with sign ε_c σ_i, σ a fixed pattern of
independent signs. For a fixed x the relative variance of ‖Sx‖² is at most about 2/d (random lengths and shifts keep
rows from meeting twice in the same way, whatever period x has); for a mean of ‖Sx‖² over increments of covariance C it
is 2/(d r), r = (tr C)²/tr C² (Charikar, Chen and Farach-Colton 2002; tests hold both to it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from limen.arrays.random import stream
from limen.measure.recorder.flat import Array
from limen.records.trajectory import Floats

ROWS = 32
"""Most rows of a stretch: a stretch then stays in the cache."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Numbers start … stop of one parameter, as rows of one length, and where they go."""

    parameter: int
    start: int
    stop: int
    rows: int
    shift: int
    negative: bool

    @property
    def where(self) -> slice:
        """Within the parameter."""
        return slice(self.start, self.stop)

    @property
    def length(self) -> int:
        """L: of a row."""
        return (self.stop - self.start) // self.rows


class Place(NamedTuple):
    """Shape, signs and buckets of one stretch: made once, used at every update."""

    shape: tuple[int, int]
    signs: Array
    buckets: Array
    put: Any
    """`np.add` or `np.subtract`."""


def added(place: Place, values: Array) -> None:
    """Rows of signed values, summed, into their buckets."""
    place.put(place.buckets, np.einsum("rl,rl->l", values.reshape(place.shape), place.signs), place.buckets)


class CountSketch:
    """One random linear map from parameters of given sizes to d numbers.

    >>> sketch = CountSketch([5000], dimension=256, seed=0)
    >>> float(np.sum(sketch.of([np.eye(1, 5000)[0]]) ** 2))
    1.0
    """

    def __init__(self, sizes: list[int], dimension: int, seed: int) -> None:
        self.dimension = dimension
        self.stretches = _stretches(sizes, dimension, seed)
        self._signs: dict[Any, Array] = {
            kind: _signs(dimension, seed).astype(kind) for kind in (np.float32, np.float64)
        }
        self._buckets: dict[Any, Array] = {
            kind: np.zeros(3 * dimension, dtype=kind) for kind in (np.float32, np.float64)
        }

    def place(self, stretch: Stretch, kind: type[np.floating[Any]]) -> Place:
        """Where a stretch of numbers of one type goes."""
        size = stretch.stop - stretch.start
        return Place(
            (stretch.rows, stretch.length),
            self._signs[kind][:size].reshape(stretch.rows, stretch.length),
            self._buckets[kind][stretch.shift : stretch.shift + stretch.length],
            np.subtract if stretch.negative else np.add,
        )

    def add(self, stretch: Stretch, values: Array) -> None:
        """Add the numbers of one stretch."""
        added(self.place(stretch, values.dtype.type), values)

    def taken(self) -> Floats:
        """The sketch [d] of what was added since the last call."""
        folded = np.zeros(self.dimension)
        for buckets in self._buckets.values():
            folded += buckets.reshape(3, self.dimension).sum(0)
            buckets[:] = 0
        return folded

    def of(self, arrays: Sequence[Array]) -> Floats:
        """The sketch [d] of a vector given as one array a parameter."""
        for stretch in self.stretches:
            self.add(stretch, arrays[stretch.parameter][stretch.where])
        return self.taken()

    def buckets_and_signs(self) -> tuple[list[Floats], list[Floats]]:
        """For every parameter the bucket and the sign of each number: the slow, plain reading of the map."""
        sizes = [0] * (max((s.parameter for s in self.stretches), default=-1) + 1)
        for stretch in self.stretches:
            sizes[stretch.parameter] = max(sizes[stretch.parameter], stretch.stop)
        buckets, signs = [np.zeros(size) for size in sizes], [np.zeros(size) for size in sizes]
        for stretch in self.stretches:
            inside = np.arange(stretch.stop - stretch.start)
            where = (stretch.shift + inside % stretch.length) % self.dimension
            buckets[stretch.parameter][stretch.where] = where
            pattern = self._signs[np.float64][inside]
            signs[stretch.parameter][stretch.where] = (-1 if stretch.negative else 1) * pattern
        return buckets, signs


@lru_cache(maxsize=4)
def _signs(dimension: int, seed: int) -> Floats:
    return stream("recorder/signs", dimension, seed).choice(np.array([-1.0, 1.0]), ROWS * 2 * dimension)


def _stretches(sizes: list[int], dimension: int, seed: int) -> list[Stretch]:
    """Full stretches, then the rows that are left, then the numbers that fill no row."""
    rng = stream("recorder/stretches", dimension, seed, len(sizes))
    found = []
    for parameter, size in enumerate(sizes):
        start = 0
        while start < size:
            length = min(int(rng.integers(dimension, 2 * dimension)), size - start)
            rows = min(ROWS, (size - start) // length)
            shift, negative = int(rng.integers(dimension)), bool(rng.integers(2))
            found.append(Stretch(parameter, start, start + rows * length, rows, shift, negative))
            start += rows * length
    return found
