"""Positions and velocities along k given directions: Uᵀ(θ_k − θ_ref) and Uᵀv_k of every update.

Reading U costs k passes over memory, so b successive buffers are held (b·n numbers) and taken together in one product:
k/b + 2 passes an update. Positions follow by the recursion of limen.measure.recorder.track; at every shard they are
projected anew and the difference is a self-test.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from limen.measure.recorder.flat import Array, FlatParameters
from limen.measure.recorder.sketch import Stretch
from limen.measure.recorder.track import LinearTrack
from limen.records.errors import BadInput, Problem
from limen.records.trajectory import Floats, OptimizerSettings

BLOCK = 1 << 18
"""Numbers of one vector in one product."""
ORTHONORMAL = 1e-2
"""Largest difference of a product of two directions from 1 or 0."""
MOST_MODES = {"full": 20, "lean": 5}
HELD = {"full": 8, "lean": 2}
"""Buffers held together."""


def basis_of(modes: Any, names: list[str], weights: FlatParameters) -> tuple[Array, tuple[float, ...]]:
    """Directions [k, n] in the order of the flat weights, and their eigenvalues [k].

    `modes` has `eigenvalues` [k], `vectors` [k, n'] (float32, parameters one after the other, each in C order) and
    maybe `names`, the parameters that the vectors run over; directions are zero elsewhere.
    Raises BadInput where lengths do not fit, names are not those of the recorded parameters, numbers are not finite or
    directions not orthonormal.
    """
    vectors = np.asarray(modes.vectors)
    values = tuple(float(value) for value in np.asarray(modes.eigenvalues))
    given = tuple(getattr(modes, "names", None) or names)
    sizes = dict(zip(names, weights.sizes, strict=True))
    unknown = [name for name in given if name not in sizes]
    problems = []
    if unknown:
        what = f"expected directions over recorded parameters, got {', '.join(unknown[:3])}"
        problems.append(Problem("modes", what, cause="frozen or renamed since the curvature was measured"))
    if vectors.ndim != 2 or len(vectors) != len(values):
        problems.append(Problem("modes", f"expected one vector an eigenvalue, got {vectors.shape}, {len(values)}"))
    elif not unknown and vectors.shape[1] != sum(sizes[name] for name in given):
        expected = sum(sizes[name] for name in given)
        what = f"expected vectors of {expected:,} numbers (the recorded parameters), got {vectors.shape[1]:,}"
        problems.append(Problem("modes", what, fix="measure the curvature of this model, with the same frozen parts"))
    else:
        problems += _of_numbers(vectors, values)
    if problems:
        raise BadInput(problems)
    if given != tuple(names):
        spread = np.zeros((len(vectors), weights.total), dtype=np.float32)
        begin = 0
        for name in given:
            start = weights.starts[names.index(name)]
            spread[:, start : start + sizes[name]] = vectors[:, begin : begin + sizes[name]]
            begin += sizes[name]
        vectors = spread
    return weights.logical_to_memory(np.ascontiguousarray(vectors, dtype=np.float32)), values


def _of_numbers(vectors: Array, values: tuple[float, ...]) -> list[Problem]:
    """Eigenvalues that are no numbers, directions that are not orthonormal."""
    problems = []
    if not np.isfinite(values).all():
        problems.append(Problem("modes", f"expected finite eigenvalues, got {values}"))
    gram = np.zeros((len(vectors), len(vectors)))
    for start in range(0, vectors.shape[1], BLOCK):
        part = vectors[:, start : start + BLOCK].astype(np.float32, copy=False)
        gram += part @ part.T
    apart = float(np.abs(gram - np.eye(len(vectors))).max(initial=0.0))
    if not apart <= ORTHONORMAL:
        what = f"expected orthonormal directions, got products off by {apart:.2g}"
        problems.append(Problem("modes", what, fix="numpy.linalg.qr of their transpose, or a measured curvature"))
    return problems


def fingerprint(basis: Array | None) -> str:
    """SHA-256 of directions; empty where there are none."""
    return "" if basis is None else hashlib.sha256(np.ascontiguousarray(basis).data).hexdigest()


class Projections:
    """Rows of positions and velocities that come as the held buffers are taken."""

    def __init__(self, basis: Array, weights: FlatParameters, held: int) -> None:
        self.basis = basis
        self.weights = weights
        self._held = np.empty((held, weights.total), dtype=np.float32)
        self._settings: list[OptimizerSettings] = []
        self.track = LinearTrack(np.zeros(len(basis)))
        self.positions: list[Floats] = []
        self.velocities: list[Floats] = []

    def visit(self, stretch: Stretch, buffer: Array) -> None:
        """One stretch of the buffer of the update at hand."""
        start = self.weights.starts[stretch.parameter]
        self._held[len(self._settings), start + stretch.start : start + stretch.stop] = buffer

    def close_row(self, settings: OptimizerSettings) -> None:
        """The buffer of this update is complete."""
        self._settings.append(settings)
        if len(self._settings) == len(self._held):
            self.take()

    def repeat_row(self, *, finite: bool) -> None:
        """A row without an update (skipped), or with one that is no number."""
        self.take()
        nothing = np.full(len(self.basis), np.nan)
        self.positions.append(self.track.position if finite else nothing)
        self.velocities.append(-self.track.buffer if finite else nothing)

    @property
    def rows(self) -> int:
        """Rows not yet dropped, those of held buffers included."""
        return len(self.positions) + len(self._settings)

    def take_back(self, rows: int) -> None:
        """Forget the newest rows, of updates that were not recorded after all."""
        for _ in range(rows):
            if self._settings:
                self._settings.pop()
            else:
                self.positions.pop()
                self.velocities.pop()

    def take(self) -> None:
        """Project what is held."""
        count = len(self._settings)
        if not count:
            return
        for buffer, settings in zip(self.of(self._held[:count]).T, self._settings, strict=True):
            self.positions.append(self.track.moved(buffer, settings))
            self.velocities.append(-buffer)
        self._settings.clear()

    def of(self, vectors: Array) -> Floats:
        """Uᵀ of vectors [m, n]: [k, m], float32 products in blocks, summed in float64."""
        found = np.zeros((len(self.basis), len(vectors)))
        for start in range(0, self.weights.total, BLOCK):
            part = slice(start, start + BLOCK)
            found += self.basis[:, part] @ vectors[:, part].T.astype(np.float32, copy=False)
        return found

    def anew(self, reference: list[Array]) -> Floats:
        """Uᵀ(θ − θ_ref) at the weights as they are: [k]."""
        found = np.zeros(len(self.basis))
        now = self.weights.kept("after", self.weights.parameters)
        for begin, after, before in zip(self.weights.starts, now, reference, strict=False):
            for start in range(0, after.size, BLOCK):
                part = slice(start, min(start + BLOCK, after.size))
                offset = (after[part] - before[part]).astype(np.float32, copy=False)
                found += self.basis[:, begin + part.start : begin + part.stop] @ offset
        return found

    def first(self, rows: int) -> tuple[Floats, Floats]:
        """Positions and velocities [rows, k] of the oldest rows not yet dropped."""
        self.take()
        shape = (rows, len(self.basis))
        return np.array(self.positions[:rows]).reshape(shape), np.array(self.velocities[:rows]).reshape(shape)

    def drop(self, rows: int) -> None:
        """Forget the oldest rows."""
        self.positions, self.velocities = self.positions[rows:], self.velocities[rows:]
