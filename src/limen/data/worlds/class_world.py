"""Worlds of labelled rows: one rule gives the loss of every scoring rule and the Bayes risk from nodes of the law.

Nodes (x_i, w_i, q_i): Σ_i w_i = 1, q_i = P(Y = · | x_i). A finite population has its rows as nodes, exactly; a
continuous law has sets of quadrature nodes (`quadrature`), and every result a stated error.

    population_loss(s) = Σ_i w_i Σ_c q_ic ℓ(s(x_i), c)
    bayes_risk         = Σ_i w_i Σ_c −q_ic ln q_ic          nats
    bayes_error        = Σ_i w_i (1 − max_c q_ic)

On one set of nodes population_loss ≥ bayes_risk holds for every rule, not only up to quadrature (Gibbs).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.special

from limen.data.worlds.quadrature import Integral, over_sets
from limen.data.worlds.world import Matrix, Scores, WorldLoss, expected_loss
from limen.records.task import Floats, Integers, LabelledFeatures


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """One set of nodes: features [m, d], weights [m] that sum to 1, conditional law of the label [m, K]."""

    features: Floats
    weights: Matrix
    conditional: Matrix


class ClassWorld(ABC):
    """A world whose rows have labels 0 … K − 1."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """What the world is called."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """K."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows drawn from the population."""

    @abstractmethod
    def posterior(self, features: Floats) -> Matrix:
        """P(Y = c | x) under the law: features [n, d] → [n, K]."""

    @abstractmethod
    def nodes(self) -> Iterator[Nodes]:
        """Independent sets of nodes, each an unbiased rule; a single set is exact."""

    def bayes_nodes(self) -> Iterator[Nodes] | None:
        """Nodes with the posterior of the law that the Bayes rule knows; None where that law is unknown."""
        return self.nodes()

    def population_integral(self, scores: Scores, loss: WorldLoss = "log") -> Integral:
        """L(s) with its numerical error.

        Raises ValueError where the scores are not [n, K] or the loss is unknown.
        """
        return over_sets(
            [float(at.weights @ expected_loss(scores(at.features), at.conditional, loss)) for at in self.nodes()]
        )

    def population_loss(self, scores: Scores, loss: WorldLoss = "log") -> float:
        """L(s) in the units of the loss; `population_integral` also states the numerical error."""
        return self.population_integral(scores, loss).value

    def bayes_integral(self, loss: WorldLoss = "log") -> Integral | None:
        """Least population loss of any rule under the law, with its numerical error; None where it is unknown.

        Raises ValueError for an unknown loss.
        """
        sets = self.bayes_nodes()
        if sets is None:
            return None
        if loss == "log":
            return over_sets([float(at.weights @ scipy.special.entr(at.conditional).sum(axis=1)) for at in sets])
        # the posterior as scores minimises both other losses
        return over_sets([float(at.weights @ expected_loss(at.conditional, at.conditional, loss)) for at in sets])

    @property
    def bayes_risk(self) -> float | None:
        """Least log loss, nats."""
        found = self.bayes_integral("log")
        return None if found is None else found.value

    @property
    def bayes_error(self) -> float | None:
        """Least share of wrong labels."""
        found = self.bayes_integral("zero-one")
        return None if found is None else found.value

    @property
    def bayes_note(self) -> str:
        """What `bayes_risk` is, or why it is None."""
        return "entropy of the exact posterior under the law; `bayes_integral` states the numerical error"


def labelled(features: Floats, labels: Integers, classes: int) -> LabelledFeatures:
    """Rows of a world; the name of a class is its number.

    >>> labelled(np.zeros((1, 2)), np.array([1]), 2).classes
    ('0', '1')
    """
    return LabelledFeatures(features, labels.astype(np.int64, copy=False), tuple(str(c) for c in range(classes)))
