"""Extreme eigenpairs of a symmetric matrix that is known by its products alone, each with what is proven of it.

Lanczos with full reorthogonalisation. Orthonormal rows q_0, …, q_j and the coefficients of A q_j in them, G, obey

    A Qᵀ = Qᵀ G + q_{j+1} cᵀ         (c = β e_j; after a thick restart c_i = β s_{ji}, an arrowhead)

and a Ritz pair (θ, u = Qᵀs) of P = sym(G) has ‖Au − θu‖² = ‖(G − P)s‖² + (cᵀs)², nothing more: G − P holds what the
matrix as computed lacks in symmetry. For orthonormal u_i some eigenvalue lies within that residual of each θ_i, and for
all of them together as many eigenvalues as pairs within √Σ r² (Kahan; Parlett, The Symmetric Eigenvalue Problem, 11.5).
The ghost check is ‖UUᵀ − I‖: rows that lost orthogonality return one eigenvalue many times, each with a small residual.

A Krylov space of one start holds one vector of every eigenspace: copies of a multiple eigenvalue are not in it, whatever
the residuals say. So when pairs have converged, a second space, from a random start orthogonal to the whole first one, is
grown for `check` steps: a Ritz value there that belongs among the wanted ones proves that pairs were missed, and the
search goes on beside the locked ones.

Source: Wu, Simon, SIAM J. Matrix Anal. 22 (2000), thick restart; Daniel, Gragg, Kaufman, Stewart 1976, "twice is enough".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from limen.arrays.krylov_space import Floats, Space, Vector

Ends = Literal["magnitude", "largest", "both"]

LEAST_BASIS, BASIS, PRODUCTS = 20, 8, 60
"""Rows at least, rows and products per wanted pair where none are given."""
FAR = 0.1
"""A leading pair is known well enough when its residual is this share of its distance to the wanted ones."""
NOTHING = (np.zeros(0), np.zeros((0, 0)), np.zeros(0))
"""No Ritz pairs."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which pairs, how well, for how much."""

    count: int
    ends: Ends = "magnitude"
    """Largest |θ|, largest θ, or half of the pairs (rounded up) from the top and half from the bottom."""
    tolerance: float = 1e-3
    """A pair has converged when its residual is at most tolerance·|θ|, or rounding."""
    basis: int | None = None
    """Rows kept at most, at least count + 2 (memory: basis + check + 3 vectors); a full basis is restarted."""
    products: int | None = None
    """Products at most; what has not converged by then is returned as such."""
    check: int = 4
    """Steps of the search for missed copies; 0: none."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Pairs:
    """Eigenpairs with their evidence, ordered as asked for: by |θ| for `magnitude`, else by θ, descending."""

    values: Floats
    """θ [k]."""
    vectors: Vector
    """Unit rows [k, n]."""
    residuals: Floats
    """‖Au − θu‖ [k]: some eigenvalue lies within that of θ."""
    gaps: Floats
    """Distance to the nearest other Ritz value [k]; sin of the angle to the eigenvector is at most residual/gap."""
    converged: NDArray[np.bool_]
    orthogonality: float
    """Largest entry of |UUᵀ − I|."""
    products: int
    restarts: int
    recovered: int
    """Searches that found missed copies."""


def lanczos(product: Callable[[Vector], Vector], size: int, wanted: Wanted, start: Vector | None = None) -> Pairs:
    """The wanted eigenpairs of the symmetric matrix [size, size] whose products are `product`.

    `product` takes a row of `start`'s type (float32 without one) and returns a new or reused array of that type. `start`
    [n] or [s, n]: where to begin, for instance earlier eigenvectors. Raises ValueError for a count outside 1…size.

    >>> pairs = lanczos(lambda v: np.array([1.0, 2.0, -5.0]) * v, 3, Wanted(2), np.ones(3))
    >>> pairs.values.round(9).tolist(), pairs.vectors[0].round(6).tolist()
    ([-5.0, 2.0], [0.0, 0.0, 1.0])
    """
    if not 1 <= wanted.count <= size:
        raise ValueError(f"count: expected 1 to {size} pairs, got {wanted.count}")
    if start is not None and start.shape[-1:] != (size,):
        raise ValueError(f"start: expected vectors of {size} numbers, got shape {start.shape}")
    capacity = basis_rows(wanted, size)
    dtype = np.dtype(np.float32) if start is None else start.dtype
    space = Space(product, (capacity + wanted.check + 1, size), dtype, wanted.seed)
    space.begin(start)
    search = _Search(space, wanted, capacity)
    search.run()
    return search.pairs()


def basis_rows(wanted: Wanted, size: int) -> int:
    """Rows of the basis that `lanczos` allocates beside those of the check.

    >>> basis_rows(Wanted(10), 10**6), basis_rows(Wanted(10, basis=5), 10**6), basis_rows(Wanted(3), 7)
    (80, 12, 7)
    """
    asked = max(LEAST_BASIS, BASIS * wanted.count) if wanted.basis is None else wanted.basis
    return min(size, max(asked, wanted.count + 2))


def orthogonality(vectors: Vector) -> float:
    """Largest entry of |UUᵀ − I| for rows U [k, n].

    >>> orthogonality(np.array([[1.0, 0.0], [0.6, 0.8]]))
    0.6
    """
    return float(np.abs(vectors @ vectors.T - np.eye(len(vectors))).max())


def select(values: Floats, count: int, ends: Ends) -> NDArray[np.int64]:
    """Indices of the wanted values, in the order of `Pairs`.

    >>> select(np.array([1.0, -3.0, 2.0]), 2, "magnitude").tolist(), select(np.array([1.0, -3.0, 2.0]), 2, "both").tolist()
    ([1, 2], [2, 1])
    """
    if ends == "magnitude":
        return np.argsort(-np.abs(values), kind="stable")[:count]
    order = np.argsort(-values, kind="stable")
    if ends == "largest" or count >= len(values):
        return order[:count]
    top = (count + 1) // 2
    return np.concatenate((order[:top], order[len(order) - (count - top) :]))


class _Search:
    """Spaces one after another until the wanted pairs have converged and no copy was missed."""

    def __init__(self, space: Space, wanted: Wanted, capacity: int) -> None:
        self.space, self.wanted, self.capacity = space, wanted, capacity
        self.most = PRODUCTS * wanted.count + LEAST_BASIS if wanted.products is None else wanted.products
        self.values, self.residuals = np.zeros(0), np.zeros(0)  # of the locked rows
        self.ritz = NOTHING
        self.restarts = self.recovered = 0

    def run(self) -> None:
        while self._converge():
            if self.recovered == 0:
                start = self._missed()
                if start is None:
                    return
            elif self._new(self.ritz[0]):
                start = None
            else:
                return
            self.recovered += 1
            self._lock()
            self.space.begin(start)

    def pairs(self) -> Pairs:
        """The best pairs so far; their vectors are written over the rows."""
        values, residuals, chosen = self._chosen()
        space, held = self.space, len(self.values)
        own = chosen[chosen >= held] - held
        space.rotate(self.ritz[1][:, own])
        place = np.where(chosen < held, chosen, 0)
        place[chosen >= held] = held + np.arange(len(own))
        vectors = space.rows[place]
        distances = np.abs(values[chosen][:, None] - values[None, :])
        distances[np.arange(len(chosen)), chosen] = np.inf
        return Pairs(
            values[chosen],
            vectors,
            residuals[chosen],
            distances.min(axis=1) if len(values) > 1 else np.full(len(chosen), np.inf),
            self._good(values, residuals)[chosen],
            orthogonality(vectors),
            space.products,
            self.restarts,
            self.recovered,
        )

    def _chosen(self) -> tuple[Floats, Floats, NDArray[np.int64]]:
        values = np.concatenate((self.values, self.ritz[0]))
        residuals = np.concatenate((self.residuals, self.ritz[2]))
        return values, residuals, select(values, self.wanted.count, self.wanted.ends)

    def _good(self, values: Floats, residuals: Floats) -> NDArray[np.bool_]:
        return residuals <= np.maximum(self.wanted.tolerance * np.abs(values), self.space.zero)

    def _converge(self) -> bool:
        """Grow the space until the wanted pairs are good (True), or the products are spent (False)."""
        space = self.space
        while True:
            if space.exhausted and space.used == space.locked:
                self.ritz = NOTHING
                return True
            if space.products >= self.most and space.used > space.locked:
                return False
            space.step()
            self.ritz = space.ritz()
            values, residuals, chosen = self._chosen()
            if len(chosen) == self.wanted.count and self._good(values, residuals)[chosen].all() and self._led():
                return True
            if space.exhausted:
                return False
            if space.used - space.locked >= self._room():
                self._restart()

    def _room(self) -> int:
        return min(self.capacity, len(self.space.rows) - 1 - self.space.locked)

    def _restart(self) -> None:
        """Keep the wanted pairs and half of the room that is left for those nearest to them."""
        values, coordinates, _ = self.ritz
        keep = min(self.wanted.count + (len(values) - self.wanted.count) // 2, len(values) - 2)
        kept = select(values, max(keep, 1), self.wanted.ends)
        self.space.restart(values[kept], coordinates[:, kept])
        self.restarts += 1

    def _led(self) -> bool:
        """Beside locked pairs: whether the leading new pairs are good, or too far from being wanted to matter."""
        held, ends = len(self.values), self.wanted.ends
        values, _, residuals = self.ritz
        if held < self.wanted.count or not len(values):
            return True
        leading = select(values, 2 if ends == "both" else 1, ends)
        last = self._size(self.values)[select(self.values, self.wanted.count, ends)[:, None]]
        far = np.abs(last - self._size(values[leading])).min(axis=0)
        far[np.isin(held + leading, self._chosen()[2])] = 0.0
        return bool((self._good(values, residuals)[leading] | (residuals[leading] <= FAR * far)).all())

    def _missed(self) -> Vector | None:
        """A start towards pairs that the space cannot hold; None where there are none in sight."""
        space = self.space
        steps = min(self.wanted.check, len(space.rows) - 2 - space.used, self.most - space.products)
        if steps < 1 or space.exhausted:
            return None
        before = space.locked, space.used, space.coupling
        space.locked = space.used + 1  # orthogonal to all rows, and to the next one
        space.begin(None)
        while steps and not space.exhausted:
            space.step()
            steps -= 1
        others, coordinates, _ = space.ritz()
        new = self._new(others)
        start = (coordinates[:, new].sum(axis=1).astype(space.dtype) @ space.rows[space.active]) if new else None
        space.locked, space.used, space.coupling = before
        return start

    def _new(self, others: Floats) -> list[int]:
        """Which of other values belong among the wanted ones; a copy of the last wanted one would change nothing."""
        values, _, chosen = self._chosen()
        held = len(self.values)
        known = self.values if others is self.ritz[0] and held >= self.wanted.count else values[chosen]
        union = np.concatenate((known, others))
        best = select(union, self.wanted.count, self.wanted.ends)
        size = self._size(union)
        displaced = size[np.setdiff1d(select(known, self.wanted.count, self.wanted.ends), best)]
        margin = self.wanted.tolerance * np.abs(union) + self.space.zero
        return [int(i) - len(known) for i in best if i >= len(known) and np.abs(size[i] - displaced).min() > margin[i]]

    def _size(self, values: Floats) -> Floats:
        """What values are ordered by."""
        return np.abs(values) if self.wanted.ends == "magnitude" else values

    def _lock(self) -> None:
        """The wanted pairs become the locked rows."""
        space, held = self.space, len(self.values)
        values, residuals, chosen = self._chosen()
        old, own = np.sort(chosen[chosen < held]), chosen[chosen >= held] - held
        space.rotate(self.ritz[1][:, own])
        for place, row in enumerate([*old, *(held + np.arange(len(own)))]):
            if row != place:
                space.rows[place] = space.rows[row]
        kept = np.concatenate((old, held + own))
        self.values, self.residuals = values[kept], residuals[kept]
        space.locked = len(kept)
        self.ritz = NOTHING
