"""A finite class of fixed classifiers whose 0-1 losses, and so the floor of the class, are known in closed form.

    x ~ N(0, I_d), y = 1{xᵀv > 0} flipped with probability η ≤ ½, classifier j predicts 1{xᵀw_j > 0}
    L(j) = η + (1 − 2η)·∠(w_j, v)/π          Sheppard 1899 (the orthant probability of two normal variables)
    floor = min_j L(j);   bayes_error = η;   bayes_risk = H(η) nats

Exact losses of linear scores with margin s(x) = z_1 − z_0 = aᵀx + b, using E y x = (1 − 2η)·v/(‖v‖√(2π)):
    log       E ln(1 + e^s) − E y s          squared   E‖z‖² − 2(E z_0 + E y s) + 1
    zero-one  as L(j) where b = 0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.special

from limen.arrays.checks import count
from limen.data.worlds.class_world import ClassWorld, Nodes, labelled
from limen.data.worlds.quadrature import Integral, normal_line, normal_nodes
from limen.data.worlds.world import LOSSES, LinearScores, Matrix, Scores, WorldLoss, unit_directions
from limen.records.task import Floats, Integers, LabelledFeatures


@dataclass(frozen=True, slots=True, eq=False)
class FiniteClass(ClassWorld):
    """The law and its classifiers; raises ValueError where shapes or η do not fit.

    >>> world = FiniteClass(np.array([0.0, 1.0]), np.array([[0.0, 2.0], [1.0, 1.0], [1.0, 0.0]]), 0.2)
    >>> world.losses.round(6).tolist(), round(world.floor, 6)
    ([0.2, 0.35, 0.5], 0.2)
    """

    normal: Matrix
    """v [d], the normal of the plane that divides the clean labels."""
    candidates: Matrix
    """w [M, d], the classifiers; their lengths do not matter."""
    flip: float
    """η"""
    name: str = field(default="finite-class")

    def __post_init__(self) -> None:
        v, w = self.normal, self.candidates
        if v.ndim != 1 or w.ndim != 2 or w.shape[1:] != v.shape or len(w) == 0:
            raise ValueError(f"expected normal [d] and candidates [M, d] with M ≥ 1, got {v.shape} and {w.shape}")
        if not (np.linalg.norm(v) > 0 and (np.linalg.norm(w, axis=1) > 0).all()):
            raise ValueError("expected a normal and candidates of positive length, got a zero vector")
        if not 0.0 <= self.flip <= 0.5:
            raise ValueError(f"flip: expected a number from 0 to 1/2, got {self.flip}")

    @property
    def classes(self) -> int:
        """K = 2."""
        return 2

    @property
    def losses(self) -> Matrix:
        """L(j) of every classifier [M], the share of wrong labels."""
        return self._disagreement(self.candidates)

    @property
    def floor(self) -> float:
        """min_j L(j)."""
        return float(self.losses.min())

    def mistakes(self, features: Floats, labels: Integers) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """Which classifier is wrong on which row: features [n, d], labels [n] → [n, M]."""
        return np.asarray((features @ self.candidates.T > 0) != (labels == 1)[:, None])

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows drawn i.i.d."""
        features = rng.normal(size=(n, len(self.normal)))
        labels = (features @ self.normal > 0) ^ (rng.random(n) < self.flip)
        return labelled(features, labels.astype(np.int64), 2)

    def posterior(self, features: Floats) -> Matrix:
        """P(y | x): features [n, d] → [n, 2]."""
        one = np.where(features @ self.normal > 0, 1 - self.flip, self.flip)
        return np.stack([1 - one, one], axis=1)

    def nodes(self) -> Iterator[Nodes]:
        """Eight sets of nodes; the jump of the posterior costs them accuracy, which their error shows."""
        for x in normal_nodes(len(self.normal)):
            yield Nodes(x, np.full(len(x), 1 / len(x)), self.posterior(x))

    def population_integral(self, scores: Scores, loss: WorldLoss = "log") -> Integral:
        """L(s) with its numerical error, 0 where the closed form holds (see above).

        Raises ValueError where the scores are not [n, 2] or the loss is unknown.

        >>> world = FiniteClass(np.array([0.0, 1.0]), np.array([[0.0, 1.0]]), 0.0)
        >>> ahead = LinearScores(np.array([[0.0, 1.0], [0.0, 1.0]]), np.zeros(2))
        >>> round(world.population_loss(ahead, "zero-one"), 6)
        0.25
        """
        if isinstance(scores, LinearScores) and loss in LOSSES:
            exact = self._linear(scores, loss)
            if exact is not None:
                return Integral(exact, 0.0)
        return ClassWorld.population_integral(self, scores, loss)

    def bayes_integral(self, loss: WorldLoss = "log") -> Integral | None:
        """Exact: H(η), 2η(1 − η), η for log, squared and zero-one loss."""
        both = np.array([1 - self.flip, self.flip])
        known = {"log": scipy.special.entr(both).sum(), "squared": 2 * both.prod(), "zero-one": self.flip}
        if loss not in known:
            raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got {loss!r}")
        return Integral(float(known[loss]), 0.0)

    def _linear(self, scores: LinearScores, loss: WorldLoss) -> float | None:
        a, b = np.diff(scores.weights, axis=1)[:, 0], float(np.diff(scores.intercept)[0])
        length = float(np.linalg.norm(a))
        if loss == "zero-one":
            return float(self._disagreement(a[None])[0]) if b == 0 and length > 0 else None
        unit = self.normal / np.linalg.norm(self.normal)
        on_label = float((1 - 2 * self.flip) * (a @ unit) / np.sqrt(2 * np.pi) + b / 2)  # E y s
        if loss == "log":
            t, w = normal_line()
            return float(w @ np.logaddexp(0.0, b + length * t) - on_label)
        square = (scores.weights**2).sum() + (scores.intercept**2).sum()
        return float(square - 2 * (scores.intercept[0] + on_label) + 1)

    def _disagreement(self, directions: Matrix) -> Matrix:
        v, w = self.normal / np.linalg.norm(self.normal), directions
        w = w / np.linalg.norm(w, axis=1, keepdims=True)
        # as accurate near 0 and π as between; arccos loses half the digits there
        angle = 2 * np.arctan2(np.linalg.norm(w - v, axis=1), np.linalg.norm(w + v, axis=1))
        found: Matrix = self.flip + (1 - 2 * self.flip) * angle / np.pi
        return found


def finite_class(members: int, dimension: int, flip: float = 0.2, spread: float = 0.6, seed: int = 0) -> FiniteClass:
    """A random class around the truth: w_j = v/‖v‖ + spread·N(0, I).

    Raises ValueError for fewer than 1 member and for a share of flips outside [0, ½].

    >>> world = finite_class(400, 5, flip=0.2)
    >>> len(world.losses), bool(world.losses.min() > 0.2)
    (400, True)
    """
    rng = np.random.default_rng(seed)
    normal = unit_directions(rng, 1, dimension)[0]
    return FiniteClass(normal, normal + spread * rng.normal(size=(count("members", members), dimension)), flip)
