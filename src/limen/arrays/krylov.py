"""Extreme eigenpairs of a symmetric matrix that is known by its products alone, each with what is proven of it.

Lanczos with full reorthogonalisation. Orthonormal rows q_0, …, q_j and the coefficients of A q_j in them, G, obey

    A Qᵀ = Qᵀ G + q_{j+1} cᵀ         (c = β e_j; after a thick restart c_i = β s_{ji}, an arrowhead)

and a Ritz pair (θ, u = Qᵀs) of P = sym(G) has ‖Au − θu‖² = ‖(G − P)s‖² + (cᵀs)², nothing more: G − P holds what the
matrix as computed lacks in symmetry. For orthonormal u_i some eigenvalue lies within that residual of each θ_i, and for
all of them together as many eigenvalues as pairs within √Σ r² (Kahan; Parlett, The Symmetric Eigenvalue Problem, 11.5).
The ghost check is ‖UUᵀ − I‖: rows that lost orthogonality return one eigenvalue many times, each with a small residual.

A Krylov space of one start holds one vector of every eigenspace: copies of a multiple eigenvalue are not in it,
whatever the residuals say. So when pairs have converged, a second space, from a random start orthogonal to the whole
first one, is grown for `check` steps: a Ritz value there that belongs among the wanted ones proves that pairs were
missed, and the search goes on beside the locked ones.

Source: Wu, Simon, SIAM J. Matrix Anal. 22 (2000), thick restart; Daniel, Gragg, Kaufman, Stewart 1976, "twice is
enough".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from limen.arrays.krylov_space import Floats, Space, Vector

Ends = Literal["magnitude", "largest", "both"]
Indices = NDArray[np.int64]

LEAST_BASIS, BASIS, PRODUCTS = 20, 8, 60
"""Rows at least, rows and products per wanted pair where none are given."""
LED = 12
"""Steps of a search beside locked pairs before it may say that no more belong to them."""
FAR = 0.1
"""A leading pair is known well enough when its residual is this share of its distance to the wanted ones."""


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
    """‖Au − θu‖ [k], where copies were recovered a bound on it: some eigenvalue lies within that of θ."""
    gaps: Floats
    """Distance to the nearest other Ritz value seen [k]. residual/gap only indicates the angle to the eigenvector: of
    eigenvalues that were not found it says nothing, and the angle may be anything where one lies nearer."""
    converged: NDArray[np.bool_]
    orthogonality: float
    """Largest entry of |UUᵀ − I|."""
    products: int
    restarts: int
    recovered: int
    """Searches that found missed copies."""


def lanczos(product: Callable[[Vector], Vector], size: int, wanted: Wanted, start: Vector | None = None) -> Pairs:
    """The wanted eigenpairs of the symmetric matrix [size, size] whose products are `product`.

    `product` takes a row of `start`'s type (float32 without one) and returns a new or reused array of that type.
    `start` [n] or [s, n]: where to begin, for instance s earlier eigenvectors, all in the space after s products.
    Raises ValueError for a count outside 1…size.

    >>> pairs = lanczos(lambda v: np.array([1.0, 2.0, -5.0]) * v, 3, Wanted(2), np.ones(3))
    >>> pairs.values.round(9).tolist(), np.abs(pairs.vectors[0]).round(6).tolist()
    ([-5.0, 2.0], [0.0, 0.0, 1.0])
    """
    if not 1 <= wanted.count <= size:
        raise ValueError(f"count: expected 1 to {size} pairs, got {wanted.count}")
    if start is not None and start.shape[-1:] != (size,):
        raise ValueError(f"start: expected vectors of {size} numbers, got shape {start.shape}")
    capacity, block = basis_rows(wanted, size), 1 if start is None or start.ndim == 1 else len(start)
    dtype = np.dtype(np.float32) if start is None else start.dtype
    space = Space(product, (capacity + wanted.check + block, size), dtype, wanted.seed)
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


def select(values: Floats, count: int, ends: Ends) -> Indices:
    """Indices of the wanted values, in the order of `Pairs`.

    >>> [select(np.array([1.0, -3.0, 2.0]), 2, ends).tolist() for ends in ("magnitude", "both")]
    [[1, 2], [2, 1]]
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
        self.held = self.remainders = np.zeros(0)  # θ and residuals of the locked rows
        self.values = self.residuals = np.zeros(0)
        self.coordinates = np.zeros((0, 0))
        self.restarts = self.recovered = 0

    def run(self) -> None:
        while self._converge():
            start = None
            if self.recovered == 0:
                start = self._missed()
                if start is None:
                    return
            elif not self._grown():
                return
            self.recovered += 1
            self._lock()
            self.space.begin(start)
            self._ritz()  # rows have moved: the old coordinates are not theirs

    def pairs(self) -> Pairs:
        """The best pairs so far; their vectors are written over the rows."""
        chosen, space = self._chosen(), self.space
        space.rotate(0, self.coordinates[:, chosen])
        vectors = space.rows[: len(chosen)].copy()
        distances = np.abs(self.values[chosen][:, None] - self.values[None, :])
        distances[np.arange(len(chosen)), chosen] = np.inf
        return Pairs(
            self.values[chosen],
            vectors,
            self.residuals[chosen],
            distances.min(axis=1),
            self._good(chosen),
            orthogonality(vectors),
            space.products,
            self.restarts,
            self.recovered,
        )

    def _chosen(self) -> Indices:
        return select(self.values, self.wanted.count, self.wanted.ends)

    def _good(self, chosen: Indices) -> NDArray[np.bool_]:
        least = self.wanted.tolerance * np.abs(self.values[chosen])
        return self.residuals[chosen] <= np.maximum(least, self.space.zero)

    def _size(self, values: Floats) -> Floats:
        """What values are ordered by."""
        return np.abs(values) if self.wanted.ends == "magnitude" else values

    def _converge(self) -> bool:
        """Grow the space until the wanted pairs are good (True), or the products are spent (False)."""
        space = self.space
        while space.used < space.size:
            if space.products >= self.most and len(self.values) >= self.wanted.count:
                return False
            space.step()
            self._ritz()
            chosen = self._chosen()
            if len(chosen) == self.wanted.count and self._good(chosen).all() and self._led():
                return True
            full = space.used - space.locked >= self.capacity or space.used + space.coming >= len(space.rows)
            if full and not space.exhausted:
                self._restart()
            if space.coming > 1 and not space.fresh:
                self._prefer()
        return len(self.values) >= self.wanted.count and bool(self._good(self._chosen()).all())

    def _ritz(self) -> None:
        """Ritz pairs of locked and active rows together; of a locked row's residual the part outside them remains."""
        space, held = self.space, len(self.held)
        if not held:
            self.values, self.coordinates, self.residuals = space.ritz()
            return
        own, shared = space.coefficients[space.active, space.active], space.coefficients[:held, space.active]
        symmetric = np.triu(own) + np.triu(own, 1).T
        self.values, self.coordinates = np.linalg.eigh(np.block([[np.diag(self.held), shared], [shared.T, symmetric]]))
        locked, active = self.coordinates[:held], self.coordinates[held:]
        outside = np.sqrt(np.maximum(self.remainders**2 - (shared**2).sum(axis=1), 0.0))  # Bessel, up to rounding
        new = (((own - symmetric) @ active) ** 2).sum(axis=0) + ((space.coupling @ active) ** 2).sum(axis=0)
        self.residuals = outside @ np.abs(locked) + np.sqrt(new)

    def _restart(self) -> None:
        """Keep the wanted pairs and half of the room that is left for those nearest to them."""
        values, coordinates, _ = self.space.ritz()
        keep = min(self.wanted.count + (len(values) - self.wanted.count) // 2, len(values) - 2)
        kept = select(values, max(keep, 1), self.wanted.ends)
        self.space.restart(values[kept], coordinates[:, kept])
        self._ritz()  # rows have moved: the old coordinates are not theirs
        self.restarts += 1

    def _prefer(self) -> None:
        """In a block: next comes the direction that the wanted pairs lack most."""
        values, coordinates, residuals = self.space.ritz()
        wanted = select(values, self.wanted.count, self.wanted.ends)
        bad = residuals[wanted] > self.wanted.tolerance * np.abs(values[wanted])
        self.space.prefer(coordinates[:, wanted[bad]])

    def _led(self) -> bool:
        """Beside locked pairs: whether the best of the others are known well enough not to be wanted."""
        count, ends = self.wanted.count, self.wanted.ends
        if not len(self.held):
            return True
        if self.space.used - self.space.locked < LED:  # a copy starts with a share of 1/n: it takes steps to show
            return False
        chosen = self._chosen()
        others = np.setdiff1d(select(self.values, count + (2 if ends == "both" else 1), ends), chosen)
        size = self._size(self.values)
        far = np.abs(size[others][:, None] - size[chosen]).min(axis=1)
        return bool((self._good(others) | (self.residuals[others] <= FAR * far)).all())

    def _grown(self) -> bool:
        """Whether pairs came to the locked ones; another copy of the last one would change nothing."""
        before, now = np.sort(self._size(self.held)), np.sort(self._size(self.values[self._chosen()]))
        return bool((np.abs(now - before) > self.wanted.tolerance * np.abs(now) + self.space.zero).any())

    def _missed(self) -> Vector | None:
        """A start towards pairs that the space cannot hold; None where there are none in sight."""
        space, chosen = self.space, self._chosen()
        room = len(space.rows) - 1 - space.used - space.coming
        steps = min(self.wanted.check, room, self.most - space.products)
        if steps < 1 or space.exhausted:
            return None
        before = space.locked, space.used, space.coupling
        space.locked = space.used + space.coming  # orthogonal to all rows, and to the next ones
        space.begin(None)
        while steps and not space.exhausted:
            space.step()
            steps -= 1
        others, coordinates, _ = space.ritz()
        union = np.concatenate((self.values[chosen], others))
        best = select(union, len(chosen), self.wanted.ends)
        size = self._size(union)
        displaced = size[np.setdiff1d(np.arange(len(chosen)), best)]
        margin = self.wanted.tolerance * np.abs(union) + space.zero
        new = [i for i in best if i >= len(chosen) and np.abs(size[i] - displaced).min() > margin[i]]
        mix = coordinates[:, [i - len(chosen) for i in new]].sum(axis=1).astype(space.dtype)
        start = mix @ space.rows[space.active] if new else None
        space.locked, space.used, space.coupling = before
        return start

    def _lock(self) -> None:
        """The wanted pairs become the locked rows."""
        chosen = self._chosen()
        self.space.rotate(0, self.coordinates[:, chosen])
        self.space.locked = len(chosen)
        self.held, self.remainders = self.values[chosen], self.residuals[chosen]
