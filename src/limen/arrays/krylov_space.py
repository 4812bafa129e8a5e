"""Orthonormal rows grown by products of a symmetric matrix: what `krylov` searches in.

Rows: locked ones, then the active Krylov rows, then the next one. With G the coefficients of A q_j in all rows,

    A q_j = Σ_i G_ij q_i + c_j q_next,      c = β e_last, or after a restart from Ritz pairs s the arrowhead β s_last

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
        """Room for shape[0] rows and the next one of shape[1] numbers each."""
        self.product, self.size, self.dtype = product, shape[1], dtype
        room = min(shape) + 1
        self.rows = np.empty((room, self.size), dtype)
        self.coefficients = np.zeros((room, room))
        self.coupling = np.zeros(0)
        self.locked = self.used = self.products = 0
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

    def begin(self, start: Vector | None) -> None:
        """A new space beside the locked rows, from the sum of the starts or a random row."""
        self.used, self.coupling = self.locked, np.zeros(0)
        self.exhausted = self.used >= self.size
        if self.exhausted:
            return
        if start is not None:
            row = np.array(start if start.ndim == 1 else start.sum(axis=0), self.dtype)
            norm = float(np.linalg.norm(row))
            left = self._orthogonalise(row)[1]
            if left > LEAST_START * norm:
                np.divide(row, left, out=self.rows[self.used])
                return
        self._random_row()

    def step(self) -> None:
        """One product: the next row becomes active, what it leaves becomes the next row."""
        j, row = self.used, self.rows[self.used]
        image = np.ascontiguousarray(self.product(row), self.dtype)
        if np.may_share_memory(image, row):
            image = image.copy()
        self.products += 1
        self.coefficients[j, self.active] = self.coupling
        self.used += 1
        found, beta = self._orthogonalise(image, self._local(image, j))
        self.coefficients[: self.used, j] = found
        self.scale = max(self.scale, float(np.abs(found).max()), beta)
        self.coupling = np.zeros(self.used - self.locked)
        self.exhausted = self.used >= self.size
        if self.exhausted:
            return
        if beta <= self.zero:  # an invariant space: what is left of the matrix lies elsewhere
            self._random_row()
        else:
            self.coupling[-1] = beta
            np.divide(image, beta, out=self.rows[self.used])

    def ritz(self) -> tuple[Floats, Floats, Floats]:
        """θ, coordinates as columns, residuals."""
        columns = self.coefficients[: self.used, self.active]
        own = columns[self.locked :]
        projected = np.triu(own) + np.triu(own, 1).T
        values, coordinates = np.linalg.eigh(projected)
        left = columns.copy()
        left[self.locked :] -= projected
        squares = ((left @ coordinates) ** 2).sum(axis=0) + (self.coupling @ coordinates) ** 2
        return values, coordinates, np.sqrt(squares)

    def rotate(self, first: int, coordinates: Floats) -> None:
        """Put combinations of the rows first, …, used − 1 (columns of `coordinates`) in their place."""
        kept, mix = coordinates.shape[1], np.ascontiguousarray(coordinates.T, self.dtype)
        for column in range(0, self.size, COLUMNS):
            block = slice(column, column + COLUMNS)
            self.rows[first : first + kept, block] = mix @ self.rows[first : self.used, block]

    def restart(self, values: Floats, coordinates: Floats) -> None:
        """Go on from some Ritz pairs of the active rows and the next row alone."""
        self.rotate(self.locked, coordinates)
        after = self.rows[self.used].copy()
        coupling = self.coupling @ coordinates
        shared = self.coefficients[: self.locked, self.active] @ coordinates
        self.used = self.locked + len(values)
        self.coefficients[:, self.locked :] = 0.0
        self.coefficients[: self.locked, self.active] = shared
        self.coefficients[self.active, self.active] = np.diag(values)
        self.rows[self.used], self.coupling = after, coupling

    def _local(self, image: Vector, j: int) -> Floats:
        """Take away the two terms of the recurrence, so that one pass over all rows is enough."""
        found = np.zeros(self.used)
        if j == self.locked or not self.coupling[-1] or np.count_nonzero(self.coupling) != 1:
            return found
        for i in (j - 1, j):
            found[i] = self.coupling[-1] if i < j else float(self.rows[i] @ image)  # what β misses, the pass finds
            image = self.axpy(self.rows[i], image, a=-found[i])
        return found

    def _orthogonalise(self, image: Vector, found: Floats | None = None) -> tuple[Floats, float]:
        """Make `image` orthogonal to all rows in place; its coefficients and the norm that is left."""
        found = np.zeros(self.used) if found is None else found
        before = float(np.linalg.norm(image))
        for _ in range(3):
            if self.used == 0:
                return found, before
            rows = self.rows[: self.used].T
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
