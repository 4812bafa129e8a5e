"""Label noise over any world: a label is replaced by a uniform one of the other classes with probability ρ.

    q_c = P(Y' = c | x) = (1 − ρ) p_c + ρ (1 − p_c)/(K − 1)        p the clean posterior

exactly, so losses and the Bayes risk of the noisy world are as exact as those of the clean one. Two classes:
bayes_error' = ρ + (1 − 2ρ)·bayes_error for ρ ≤ ½.                                       Angluin, Laird 1988
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from limen.data.worlds.class_world import ClassWorld, Nodes
from limen.data.worlds.world import Matrix
from limen.records.task import Floats, Integers, LabelledFeatures


@dataclass(frozen=True, slots=True, eq=False)
class LabelNoise(ClassWorld):
    """A world seen with noisy labels; raises ValueError unless 0 ≤ share ≤ 1.

    >>> from limen.data.worlds.gaussian_classes import GaussianClasses
    >>> far = GaussianClasses(np.array([[-20.0], [20.0]]))
    >>> round(LabelNoise(far, 0.1).bayes_error, 12)
    0.1
    """

    world: ClassWorld
    share: float
    """ρ, the probability that a label is replaced."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share: expected a number from 0 to 1, got {self.share}")

    @property
    def name(self) -> str:
        """The name of the clean world."""
        return self.world.name

    @property
    def classes(self) -> int:
        """K."""
        return self.world.classes

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows of the clean world, labels replaced independently."""
        clean = self.world.sample(n, rng)
        return replace(clean, labels=self._replaced(clean.labels, rng))

    def posterior(self, features: Floats) -> Matrix:
        """q: features [n, d] → [n, K]."""
        return self._noisy(self.world.posterior(features))

    def nodes(self) -> Iterator[Nodes]:
        """Nodes of the clean world with noisy conditional laws."""
        return (replace(at, conditional=self._noisy(at.conditional)) for at in self.world.nodes())

    def bayes_nodes(self) -> Iterator[Nodes] | None:
        """Nodes with the noisy posterior; None where the clean one is unknown."""
        clean = self.world.bayes_nodes()
        return None if clean is None else (replace(at, conditional=self._noisy(at.conditional)) for at in clean)

    @property
    def bayes_note(self) -> str:
        """What `bayes_risk` is, or why it is None."""
        return self.world.bayes_note

    def _noisy(self, clean: Matrix) -> Matrix:
        noisy: Matrix = clean * (1 - self.share) + (1 - clean) * self.share / (self.classes - 1)
        return noisy

    def _replaced(self, clean: Integers, rng: np.random.Generator) -> Integers:
        moved = rng.random(len(clean)) < self.share
        step = rng.integers(1, self.classes, len(clean))
        noisy: Integers = np.where(moved, (clean + step) % self.classes, clean).astype(np.int64)
        return noisy
