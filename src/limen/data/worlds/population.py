"""Finite populations: every loss and minimum is a mean over rows that are all known, so truth has no error of its own.

A population is N labelled rows; `sample` draws rows i.i.d. (with replacement), as a user's file is drawn.

    population_loss(s) = (1/N) Σ_i ℓ(s(x_i), y_i)                    exact
    bayes_risk         = (1/N) Σ_i H(P(· | x_i))                     P = the law the rows were drawn from, if known

`bayes_risk` is thus the least expected loss of a rule that knows the law, at these x_i. A rule that knows the very rows
can fall below it: distinct rows determine their labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from limen.data.worlds.class_world import ClassWorld, Nodes, labelled
from limen.data.worlds.world import Matrix
from limen.records.task import Floats, Integers, LabelledFeatures


@dataclass(frozen=True, slots=True, eq=False)
class Population(ClassWorld):
    """A whole population: features [N, d], labels [N]; raises ValueError where they do not fit.

    >>> two = Population("two", np.array([[0.0], [1.0]]), np.array([0, 1]), 2)
    >>> two.population_loss(lambda x: np.hstack([-x, x]), "zero-one"), two.bayes_risk
    (0.0, None)
    """

    # field(): without it the abstract property of the base class would be taken for the default
    name: str = field()
    features: Floats
    labels: Integers
    classes: int = field()
    law: ClassWorld | None = None
    """The law that the rows were drawn from, if it is known."""

    def __post_init__(self) -> None:
        x, y = self.features, self.labels
        if x.ndim != 2 or len(x) == 0 or y.shape != (len(x),):
            raise ValueError(f"expected features [N, d] and labels [N] with N ≥ 1, got {x.shape} and {y.shape}")
        if y.min() < 0 or y.max() >= self.classes:
            raise ValueError(f"labels: expected 0 to {self.classes - 1}, got {y.min()} to {y.max()}")
        if self.law is not None and self.law.classes != self.classes:
            raise ValueError(f"law: expected {self.classes} classes, got {self.law.classes}")

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows drawn i.i.d. from the population.

        >>> two = Population("two", np.array([[0.0], [1.0]]), np.array([0, 1]), 2)
        >>> len(two.sample(7, np.random.default_rng(0)))
        7
        """
        rows = rng.integers(0, len(self), n)
        return labelled(self.features[rows], self.labels[rows], self.classes)

    def everything(self) -> LabelledFeatures:
        """The population itself as rows."""
        return labelled(self.features, self.labels, self.classes)

    def posterior(self, features: Floats) -> Matrix:
        """P(Y = c | x) of the law; raises ValueError where the law is unknown."""
        if self.law is None:
            raise ValueError(f"{self.name}: expected a population with a known law, got rows alone")
        return self.law.posterior(features)

    def nodes(self) -> Iterator[Nodes]:
        """One exact set: the rows, each with its own label for certain."""
        certain = np.zeros((len(self), self.classes))
        certain[np.arange(len(self)), self.labels] = 1.0
        yield Nodes(self.features, self._weights(), certain)

    def bayes_nodes(self) -> Iterator[Nodes] | None:
        """The rows with the posterior of their law."""
        if self.law is None:
            return None
        return iter((Nodes(self.features, self._weights(), self.law.posterior(self.features)),))

    @property
    def bayes_note(self) -> str:
        """What `bayes_risk` is, or why it is None."""
        if self.law is None:
            return "unknown: the law that these rows were drawn from is not known"
        return f"entropy of the exact posterior under the law of {self.law.name}, mean over the {len(self):,} rows"

    def _weights(self) -> Matrix:
        return np.full(len(self), 1 / len(self))


def drawn(name: str, law: ClassWorld, rows: int, rng: np.random.Generator) -> Population:
    """A finite population of rows drawn from a law; raises ValueError for fewer than 1 row.

    >>> from limen.data.worlds.gaussian_classes import GaussianClasses
    >>> len(drawn("g", GaussianClasses(np.eye(2)), 5, np.random.default_rng(0)))
    5
    """
    found = law.sample(rows, rng)
    return Population(name, found.features, found.labels, law.classes, law)
