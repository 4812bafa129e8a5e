"""Subclusters with heavy tails: each class is an equal mixture of m centres, x = centre + t_ν noise.

    x = μ + √(ν/χ²_ν)·N(0, I)          multivariate t: one scale for a whole row, as outlying rows have
    f(x | μ) ∝ (1 + ‖x − μ‖²/ν)^{−(ν+d)/2}
    P(y | x) = Σ_{μ of y} f(x | μ) / Σ_μ f(x | μ)                                           Kotz, Nadarajah 2004

The mixture is known, so the posterior and the Bayes risk are exact; a linear adapter is misspecified. Quadrature of a
loss that grows as ‖x‖^k has an error that can be trusted where ν > 2k: the log loss of a linear rule needs ν > 2, its
squared loss ν > 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.special

from limen.arrays.checks import positive
from limen.data.worlds.class_world import ClassWorld, Nodes, labelled
from limen.data.worlds.label_noise import LabelNoise
from limen.data.worlds.population import Population, drawn
from limen.data.worlds.quadrature import uniform_nodes
from limen.data.worlds.world import Matrix, unit_directions
from limen.records.task import Floats, LabelledFeatures

CENTRES = 4
TAIL_FREEDOM = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Subclusters(ClassWorld):
    """The law with centres [K, m, d] and ν = `freedom`; raises ValueError where they are none.

    >>> law = Subclusters(np.array([[[-1.0], [1.0]], [[0.0], [0.0]]]))
    >>> law.posterior(np.array([[0.0], [60.0]])).round(2).tolist()
    [[0.37, 0.63], [0.5, 0.5]]
    """

    centres: Matrix
    freedom: float = TAIL_FREEDOM
    name: str = field(default="subclusters")

    def __post_init__(self) -> None:
        shape = self.centres.shape
        if len(shape) != 3 or shape[0] < 2 or not self.centres.size or not np.isfinite(self.centres).all():
            raise ValueError(f"centres: expected finite [K, m, d] with K ≥ 2, got shape {shape}")
        positive("freedom", self.freedom)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.centres)

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows drawn i.i.d."""
        each, dimension = self.centres.shape[1:]
        own = rng.integers(0, self.classes * each, n)
        scale = np.sqrt(self.freedom / rng.chisquare(self.freedom, size=(n, 1)))
        features = self.centres.reshape(-1, dimension)[own] + scale * rng.normal(size=(n, dimension))
        return labelled(features, own // each, self.classes)

    def posterior(self, features: Floats) -> Matrix:
        """P(y | x): features [n, d] → [n, K]."""
        dimension = self.centres.shape[2]
        flat = self.centres.reshape(-1, dimension)
        square = (features**2).sum(axis=1)[:, None] - 2 * features @ flat.T + (flat**2).sum(axis=1)
        kernel = -(self.freedom + dimension) / 2 * np.log1p(np.maximum(square, 0.0) / self.freedom)
        density = np.exp(kernel - kernel.max(axis=1, keepdims=True))
        each: Matrix = density.reshape(len(features), self.classes, -1).sum(axis=2)
        each /= each.sum(axis=1, keepdims=True)
        return each

    def nodes(self) -> Iterator[Nodes]:
        """Eight sets of nodes around every centre; one coordinate is the scale."""
        dimension = self.centres.shape[2]
        flat = self.centres.reshape(-1, dimension)
        for u in uniform_nodes(dimension + 1):
            scale = np.sqrt(self.freedom / scipy.special.chdtri(self.freedom, u[:, :1]))
            x = (flat[:, None, :] + scale * scipy.special.ndtri(u[:, 1:])).reshape(-1, dimension)
            yield Nodes(x, np.full(len(x), 1 / len(x)), self.posterior(x))


def subclusters(
    classes: int, dimension: int, rows: int, separation: float = 1.0, label_noise: float = 0.08, seed: int = 0
) -> Population:
    """A finite population of four t_6 centres a class, at separation·(random unit vector)·√d/2, with label noise.

    Raises ValueError for a share outside [0, 1].

    >>> world = subclusters(classes=3, dimension=5, rows=300)
    >>> world.features.shape, sorted(set(world.labels.tolist()))
    ((300, 5), [0, 1, 2])
    """
    rng = np.random.default_rng(seed)
    centres = unit_directions(rng, classes * CENTRES, dimension) * separation * np.sqrt(dimension) / 2
    law = LabelNoise(Subclusters(centres.reshape(classes, CENTRES, dimension)), label_noise)
    return drawn("subclusters", law, rows, rng)
