"""Orthonormal rows grown by products of a symmetric matrix: what `krylov` searches in.

Rows: locked ones, then the active Krylov rows, then the next ones, whose images are not known yet: one for a single
start, s for a block of s (band Lanczos). With coefficients G in locked and active rows and C in the next ones,

    A q_j = Σ_i G_ij q_i + Σ_k C_kj q_next,k

For one start C = (0, …, 0, β); after a restart from Ritz pairs it is the arrowhead C s. Each step takes the first of
the next rows; in a block that is made the direction in which the pairs still wanted have most of their residuals.

Every image is made orthogonal to all rows: first to the two of the three-term recurrence, then to all at once, again
where that took more than a part of its norm ("twice is enough"). What a row loses to the locked ones stays in G, so
that it counts in residuals. Where nothing is left the rows span an invariant space and a random row begins the next
one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.arrays.random import stream

Vector = NDArray[Any]
"""float32 or float64."""
Floats = NDArray[np.float64]

TWICE = 0.7
"""Another orthogonalisation when one leaves less than this share of the norm."""
LEAST_START = 1e-3
"""A start is random where less than this share of the given one is new."""
ROUNDING = 32.0
"""Multiples of eps·‖A‖ that count as zero."""
COLUMNS = 1 << 16
"""Columns that are rotated at once, in place."""


class Space:
    """Orthonormal rows: locked ones, then the Krylov rows with their coefficients, then the next one."""

    def __init__(
        self, product: Callable[[Vector], Vector], shape: tuple[int, int], dtype: np.dtype[Any], seed: int
    ) -> None:
        """Room for shape[0] rows, next ones included, and a further one, of shape[1] numbers each."""
        self.product, self.size, self.dtype = product, shape[1], dtype
        room = min(shape) + 1
        self.rows = np.empty((room, self.size), dtype)
        self.coefficients = np.zeros((room, room))
        self.coupling = np.zeros((0, 0))
        self.locked = self.used = self.products = self.fresh = 0  # fresh: starts that are still to come
        self.scale, self.exhausted = 0.0, False
        self.gemv, self.axpy = scipy.linalg.get_blas_funcs(("gemv", "axpy"), dtype=dtype)
        self.random = stream("krylov", seed, self.size)

    @property
    def active(self) -> slice:
        """The Krylov rows."""
        return slice(self.locked, self.used)

    @property
    def zero(self) -> float:
        """What rounding leaves of a product that should vanish."""
        return ROUNDING * float(np.finfo(self.dtype).eps) * self.scale

    @property
    def coming(self) -> int:
        """The next rows."""
        return len(self.coupling)

    def begin(self, start: Vector | None) -> None:
        """A new space beside the locked rows, from the starts [n] or [s, n], or a random row."""
        self.used, self.coupling = self.locked, np.zeros((0, 0))
        self.exhausted = self.used >= self.size
        if self.exhausted:
            return
        for vector in () if start is None else np.atleast_2d(start):
            row = np.array(vector, self.dtype)
            norm = float(np.linalg.norm(row))
            left = self._orthogonalise(row)[1]
            if left > LEAST_START * norm and self.used + self.coming < self.size:
                np.divide(row, left, out=self.rows[self.used + self.coming])
                self.coupling = np.zeros((self.coming + 1, 0))
        self.fresh = self.coming
        if not self.coming:
            self._random_row()

    def step(self) -> None:
        """One product: the first of the next rows becomes active, what its image leaves becomes the last of them."""
        j, row = self.used, self.rows[self.used]
        image = np.ascontiguousarray(self.product(row), self.dtype)
        if np.may_share_memory(image, row):
            image = image.copy()
        self.products += 1
        self.fresh = max(self.fresh - 1, 0)
        self.coefficients[j, self.active] = self.coupling[0]
        last, others = self.coupling[0, -1:], self.coupling[1:]
        self.used += 1
        self.coupling = np.zeros((len(others), self.used - self.locked))
        found, beta = self._orthogonalise(image, self._local(image, last, len(others)))
        self.coefficients[: self.used, j] = found[: self.used]
        self.coupling[:, :-1], self.coupling[:, -1] = others, found[self.used :]
        self.scale = max(self.scale, float(np.abs(found).max()), beta)
        self.exhausted = self.used >= self.size
        if beta > self.zero and self.used + self.coming < self.size:
            np.divide(image, beta, out=self.rows[self.used + self.coming])
            self.coupling = np.vstack((self.coupling, np.zeros(self.used - self.locked)))
            self.coupling[-1, -1] = beta
        elif not self.coming and not self.exhausted:  # an invariant space: the rest of the matrix lies elsewhere
            self._random_row()

    def prefer(self, coordinates: Floats) -> None:
        """Turn the next rows so that the first is where these combinations of active rows (columns) have most of C."""
        if self.coming > 1 and coordinates.shape[1]:
            turn = np.linalg.svd(self.coupling @ coordinates)[0].T
            self.coupling = turn @ self.coupling
            self.rotate(self.used, turn.T, self.used + self.coming)

    def ritz(self) -> tuple[Floats, Floats, Floats]:
        """θ, coordinates as columns, residuals."""
        columns = self.coefficients[: self.used, self.active]
        own = columns[self.locked :]
        projected = np.triu(own) + np.triu(own, 1).T
        values, coordinates = np.linalg.eigh(projected)
        left = columns.copy()
        left[self.locked :] -= projected
        squares = ((left @ coordinates) ** 2).sum(axis=0) + ((self.coupling @ coordinates) ** 2).sum(axis=0)
        return values, coordinates, np.sqrt(squares)

    def rotate(self, first: int, coordinates: Floats, last: int | None = None) -> None:
        """Put combinations (columns of `coordinates`) of the rows first, …, last − 1 in their place; None: used."""
        rows = slice(first, self.used if last is None else last)
        kept, mix = coordinates.shape[1], np.ascontiguousarray(coordinates.T, self.dtype)
        for column in range(0, self.size, COLUMNS):
            block = slice(column, column + COLUMNS)
            self.rows[first : first + kept, block] = mix @ self.rows[rows, block]

    def restart(self, values: Floats, coordinates: Floats) -> None:
        """Go on from some Ritz pairs of the active rows and the next rows alone."""
        self.rotate(self.locked, coordinates)
        before, shared = self.used, self.coefficients[: self.locked, self.active] @ coordinates
        self.used = self.locked + len(values)
        for k in range(self.coming):
            self.rows[self.used + k] = self.rows[before + k]
        self.coupling = self.coupling @ coordinates
        self.coefficients[:, self.locked :] = 0.0
        self.coefficients[: self.locked, self.active] = shared
        self.coefficients[self.active, self.active] = np.diag(values)

    def _local(self, image: Vector, last: Floats, others: int) -> Floats:
        """Take away the two terms of a single start's recurrence, so that one pass over all rows is enough."""
        found, j = np.zeros(self.used + others), self.used - 1
        if others or not last.any() or np.count_nonzero(self.coefficients[j, self.locked : j]) != 1:
            return found
        for i in (j - 1, j):
            found[i] = last[0] if i < j else float(self.rows[i] @ image)  # what β misses, the pass finds
            image = self.axpy(self.rows[i], image, a=-found[i])
        return found

    def _orthogonalise(self, image: Vector, found: Floats | None = None) -> tuple[Floats, float]:
        """Make `image` orthogonal to all rows, the next ones too, in place; its coefficients and the norm left."""
        count = self.used + self.coming
        found = np.zeros(count) if found is None else found
        before = float(np.linalg.norm(image))
        for _ in range(3):
            if count == 0:
                return found, before
            rows = self.rows[:count].T
            part = self.gemv(1.0, rows, image, trans=1)
            left = self.gemv(-1.0, rows, part, 1.0, image, overwrite_y=1)
            if not np.may_share_memory(left, image):
                image[:] = left
            found += part
            after = float(np.linalg.norm(image))
            if after > TWICE * before:
                return found, after
            before = after
        return found, before

    def _random_row(self) -> None:
        row = self.random.standard_normal(self.size, self.dtype)
        _, norm = self._orthogonalise(row)
        np.divide(row, norm, out=self.rows[self.used])
        self.coupling = np.zeros((1, self.used - self.locked))
