"""Finite populations of real embeddings: the given rows are the whole population, or the centres of a smoothed one.

embeddings   the rows as given: every quantity is a mean over them; their law, hence the Bayes risk, is unknown
smoothed     `copies` of each row with Gaussian noise: a draw, with equal counts, from the kernel mixture

    x | row i ~ N(r_i, h²I), i uniform, y = y_i;     P(y | x) = Σ_{i: y_i = y} k_i / Σ_i k_i, k_i = exp(−‖x − r_i‖²/2h²)

whose posterior is exact (Parzen 1962), at n·N kernel evaluations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.special

from limen.arrays.checks import count, positive
from limen.data.worlds.class_world import ClassWorld, Nodes, labelled
from limen.data.worlds.population import Population
from limen.data.worlds.quadrature import uniform_nodes
from limen.data.worlds.world import Matrix
from limen.records.task import Floats, Integers, LabelledFeatures

BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class KernelMixture(ClassWorld):
    """The law around rows [n, d] with labels [n] in 0 … K − 1 and kernel width h in the units of the features.

    Raises ValueError where rows and labels do not fit or the width is not above 0.

    >>> law = KernelMixture(np.array([[-1.0], [1.0]]), np.array([0, 1]), 1.0)
    >>> law.posterior(np.array([[0.0], [50.0]])).round(9).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """

    rows: Floats
    labels: Integers
    width: float
    name: str = field(default="kernel-mixture")

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) == 0 or self.labels.shape != (len(self.rows),):
            raise ValueError(f"expected rows [n, d] and labels [n], got {self.rows.shape} and {self.labels.shape}")
        positive("width", self.width)

    @property
    def classes(self) -> int:
        """K."""
        return int(self.labels.max()) + 1

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows drawn i.i.d."""
        own = rng.integers(0, len(self.rows), n)
        features = self.rows[own] + self.width * rng.normal(size=(n, self.rows.shape[1]))
        return labelled(features, self.labels[own], self.classes)

    def posterior(self, features: Floats) -> Matrix:
        """P(y | x): features [n, d] → [n, K]."""
        order = np.argsort(self.labels, kind="stable")
        rows = self.rows[order].astype(np.float64) / self.width
        present, starts = np.unique(self.labels[order], return_index=True)
        found = np.zeros((len(features), self.classes))
        for start in range(0, len(features), BLOCK):
            x = features[start : start + BLOCK] / self.width
            # −‖x − r‖²/2 up to a term of x alone, which the softmax does not see
            kernel = scipy.special.softmax(x @ rows.T - (rows**2).sum(axis=1) / 2, axis=1)
            found[start : start + BLOCK, present] = np.add.reduceat(kernel, starts, axis=1)
        return found

    def nodes(self) -> Iterator[Nodes]:
        """Eight sets of nodes; one coordinate chooses the row."""
        n, dimension = self.rows.shape
        for u in uniform_nodes(dimension + 1):
            own = (u[:, 0] * n).astype(np.int64)
            x = self.rows[own] + self.width * scipy.special.ndtri(u[:, 1:])
            yield Nodes(x, np.full(len(x), 1 / len(x)), self.posterior(x))


def embeddings(name: str, given: tuple[Floats, Integers]) -> Population:
    """The given rows (features [N, d], labels [N] in 0 … K − 1) as the whole population.

    Raises ValueError where they do not fit or are not finite.

    >>> world = embeddings("two", (np.array([[0.0], [1.0]]), np.array([0, 1])))
    >>> len(world), world.classes, world.bayes_note
    (2, 2, 'unknown: the law that these rows were drawn from is not known')
    """
    features, labels = given
    if not np.isfinite(features).all():
        raise ValueError(f"{name}: expected finite features, got {int((~np.isfinite(features)).sum())} that are not")
    return Population(name, features, labels.astype(np.int64), int(labels.max(initial=0)) + 1)


def smoothed(
    name: str, given: tuple[Floats, Integers], copies: int = 8, noise: float = 0.3, seed: int = 0
) -> Population:
    """A population around real rows (features [n, d], labels [n]): copies with Gaussian noise, all rows distinct.

    `noise` is relative to the standard deviation of all entries of the features about their column means.
    Raises ValueError for fewer than 1 copy, and where the noise or that deviation is not above 0.

    >>> world = smoothed("two", (np.array([[0.0], [1.0]]), np.array([0, 1])), copies=3)
    >>> len(world), world.classes, len(np.unique(world.features))
    (6, 2, 6)
    """
    features, labels = given
    rng = np.random.default_rng(seed)
    width = noise * float((features - features.mean(axis=0)).std())
    law = KernelMixture(features, labels.astype(np.int64), positive("noise × spread of the features", width), name)
    many = np.repeat(features.astype(np.float64), count("copies", copies), axis=0)
    many += width * rng.normal(size=many.shape)
    return Population(name, many, np.repeat(law.labels, copies), law.classes, law)


def principal_components(features: Floats, count: int) -> Matrix:
    """Scores [n, count] on the first principal components: a small version of large embeddings.

    >>> principal_components(np.array([[1.0, 1.0], [-1.0, -1.0]]), 1).round(3).ravel().tolist() in (
    ...     [1.414, -1.414], [-1.414, 1.414])
    True
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    scores: Matrix = centred @ directions[:count].T
    return scores
