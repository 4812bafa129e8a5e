"""Clustered rows: rows of one group share a random effect, so that n rows are worth fewer independent ones.

    x = μ_y + √ρ·a_g + √(1 − ρ)·e,   a_g, e ~ N(0, I), y i.i.d. with shares π

One row alone has the law of the Gaussian classes: losses and Bayes risk are theirs. For a rule s, with f = ℓ(s(x), y):

    κ     = Corr(f, f') of two rows of a group = (E f f' − L²)/(E f² − L²)          intraclass correlation
    n_eff = n²/(n + κ Σ_g m_g(m_g − 1)),   Var(mean f) = Var(f)/n_eff     Kish 1965; equal m: n/(1 + (m − 1)κ)

κ is an integral over (a, e, e'), by quadrature: labels are independent given the group, so E f f' = E g(w) g(w') with
g(w) = Σ_c π_c ℓ(s(μ_c + w), c) and w, w' two draws of √ρ·a + √(1 − ρ)·e.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from limen.arrays.checks import count
from limen.data.worlds.class_world import ClassWorld, Nodes
from limen.data.worlds.gaussian_classes import GaussianClasses
from limen.data.worlds.quadrature import Integral, normal_nodes, over_sets
from limen.data.worlds.world import Matrix, Scores, WorldLoss, expected_loss
from limen.records.task import Floats, LabelledFeatures


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredRows(ClassWorld):
    """Gaussian classes seen in groups of `size` rows; `shared` is ρ.

    Raises ValueError for a size below 1 and for ρ outside [0, 1].

    >>> world = ClusteredRows(GaussianClasses(np.array([[-1.0], [1.0]])), size=3, shared=0.5)
    >>> world.sample(7, np.random.default_rng(0)).groups.tolist()
    [0, 0, 0, 1, 1, 1, 2]
    """

    law: GaussianClasses
    size: int
    shared: float

    def __post_init__(self) -> None:
        count("size", self.size)
        if not 0.0 <= self.shared <= 1.0:
            raise ValueError(f"shared: expected a number from 0 to 1, got {self.shared}")

    @property
    def name(self) -> str:
        """The name of the law with its groups."""
        return f"{self.law.name} in groups of {self.size}"

    @property
    def classes(self) -> int:
        """K."""
        return self.law.classes

    def groups(self, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Group of each of n rows [n]: full groups in order, the last one with what remains."""
        return np.arange(n, dtype=np.int64) // self.size

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows in ⌈n/size⌉ independent groups; `groups` is filled in."""
        rows, groups = self.law.sample(n, rng), self.groups(n)
        means = self.law.means[rows.labels]
        effects = rng.normal(size=(int(groups[-1]) + 1 if n else 0, means.shape[1]))
        own = rows.features - means
        features = means + np.sqrt(self.shared) * effects[groups] + np.sqrt(1 - self.shared) * own
        return replace(rows, features=features, groups=groups)

    def posterior(self, features: Floats) -> Matrix:
        """P(y | x) of one row alone: features [n, d] → [n, K]; other rows of its group would say more."""
        return self.law.posterior(features)

    def nodes(self) -> Iterator[Nodes]:
        """Nodes of one row alone."""
        return self.law.nodes()

    def population_integral(self, scores: Scores, loss: WorldLoss = "log") -> Integral:
        """L(s) of one row, as for the law without groups."""
        return self.law.population_integral(scores, loss)

    def bayes_integral(self, loss: WorldLoss = "log") -> Integral | None:
        """Least loss of a rule that sees one row alone."""
        return self.law.bayes_integral(loss)

    @property
    def bayes_note(self) -> str:
        """What `bayes_risk` is."""
        return f"of a rule that sees one row alone: {self.law.bayes_note}"

    def correlation(self, scores: Scores, loss: WorldLoss = "log") -> Integral:
        """κ of the loss of a rule between two rows of a group, with its numerical error; 0 for a constant loss.

        >>> world = ClusteredRows(GaussianClasses(np.array([[-1.0], [1.0]])), size=3, shared=0.0)
        >>> abs(world.correlation(lambda x: np.hstack([-x, x])).value) < 1e-3
        True
        """
        d = self.law.means.shape[1]
        found = []
        for u in normal_nodes(3 * d):
            effect = np.sqrt(self.shared) * u[:, :d]
            pair = [effect + np.sqrt(1 - self.shared) * u[:, d * k : d * (k + 1)] for k in (1, 2)]
            (one, square_one), (two, square_two) = (self._moments(w, scores, loss) for w in pair)
            level = float((one + two).mean()) / 2
            variance = float((square_one + square_two).mean()) / 2 - level**2
            found.append((float(one @ two) / len(u) - level**2) / variance if variance > 1e-15 else 0.0)
        return over_sets(found)

    def effective_units(self, n: int, scores: Scores, loss: WorldLoss = "log") -> float:
        """n_eff: independent rows whose mean loss varies as much as that of n rows; raises ValueError for n < 1.

        >>> world = ClusteredRows(GaussianClasses(np.array([[-1.0], [1.0]])), size=1, shared=0.5)
        >>> world.effective_units(20, lambda x: np.hstack([-x, x]))
        20.0
        """
        sizes = np.bincount(self.groups(count("n", n)))
        return n**2 / (n + self.correlation(scores, loss).value * float(sizes @ (sizes - 1)))

    def _moments(self, noise: Matrix, scores: Scores, loss: WorldLoss) -> tuple[Matrix, Matrix]:
        """Means over the label of f and f² given the noise [m, d] → [m], [m]."""
        first, second = np.zeros(len(noise)), np.zeros(len(noise))
        for c, share in enumerate(self.law.shares):
            certain = np.zeros((len(noise), self.classes))
            certain[:, c] = 1.0
            lost = expected_loss(scores(self.law.means[c] + noise), certain, loss)
            first += share * lost
            second += share * lost**2
        return first, second
