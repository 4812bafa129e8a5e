"""Gaussian classes of equal covariance: x | y ~ N(μ_y, I), P(y) = π_y. The Bayes rule is a linear adapter.

    ln P(y | x) = xᵀμ_y − ‖μ_y‖²/2 + ln π_y + const                                          Fisher 1936
    two classes, Δ = ‖μ_1 − μ_0‖, τ = ln(π_0/π_1):
        bayes_error = π_0 Φ(−Δ/2 − τ/Δ) + π_1 Φ(−Δ/2 + τ/Δ)          Φ(−Δ/2) for equal priors

Exact losses of linear scores z = xᵀW + b, given y: z ~ N(m_y, WᵀW), m_y = Wᵀμ_y + b:
    squared                 Σ_y π_y (‖m_y − e_y‖² + ‖W‖_F²)          any K
    log, zero-one, K = 2    the margin is one normal variable: `normal_line`, and Φ(−mean/sd)
Every other rule, and K > 2, by quadrature nodes whose first axes span the means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.special

from limen.data.worlds.class_world import ClassWorld, Nodes, labelled
from limen.data.worlds.imbalance import class_shares, drawn_labels, equal_shares
from limen.data.worlds.label_noise import LabelNoise
from limen.data.worlds.population import Population, drawn
from limen.data.worlds.quadrature import Integral, normal_line, normal_nodes
from limen.data.worlds.world import LOSSES, LinearScores, Matrix, Scores, WorldLoss, unit_directions
from limen.records.task import Floats, LabelledFeatures


@dataclass(frozen=True, slots=True, eq=False)
class GaussianClasses(ClassWorld):
    """The law with means [K, d] and priors [K] (None = equal); raises ValueError where they are none.

    >>> two = GaussianClasses(np.array([[-1.0], [1.0]]))
    >>> round(two.bayes_error, 6)  # Φ(−1)
    0.158655
    >>> round(GaussianClasses(np.zeros((4, 3))).bayes_risk / float(np.log(4)), 9)
    1.0
    """

    means: Matrix
    priors: Matrix | None = None
    name: str = field(default="gaussian-classes")

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or len(self.means) < 2 or not np.isfinite(self.means).all():
            raise ValueError(f"means: expected finite [K, d] with K ≥ 2, got shape {self.means.shape}")
        if self.priors is not None:
            class_shares("priors", self.priors, len(self.means))

    @property
    def classes(self) -> int:
        """K."""
        return len(self.means)

    @property
    def shares(self) -> Matrix:
        """π [K]."""
        return equal_shares(self.classes) if self.priors is None else self.priors

    @property
    def bayes_scores(self) -> LinearScores:
        """ln P(y | x) up to a constant, as a linear adapter; a class of share 0 has intercept −∞."""
        with np.errstate(divide="ignore"):
            return LinearScores(self.means.T, np.log(self.shares) - (self.means**2).sum(axis=1) / 2)

    def sample(self, n: int, rng: np.random.Generator) -> LabelledFeatures:
        """n rows drawn i.i.d."""
        labels = drawn_labels(self.classes, self.priors, n, rng)
        features = self.means[labels] + rng.normal(size=(n, self.means.shape[1]))
        return labelled(features, labels, self.classes)

    def posterior(self, features: Floats) -> Matrix:
        """P(y | x): features [n, d] → [n, K]."""
        return np.asarray(scipy.special.softmax(self.bayes_scores(features), axis=1))

    def nodes(self) -> Iterator[Nodes]:
        """Eight sets of nodes of every class, weighted by its share."""
        axes = np.linalg.svd(self.means - self.means.mean(axis=0))[2]
        for standard in normal_nodes(self.means.shape[1]):
            x = (self.means[:, None, :] + standard @ axes).reshape(-1, self.means.shape[1])
            weights = np.repeat(self.shares / len(standard), len(standard))
            yield Nodes(x, weights, self.posterior(x))

    def population_integral(self, scores: Scores, loss: WorldLoss = "log") -> Integral:
        """L(s) with its numerical error, 0 where the closed form holds (see above).

        Raises ValueError where the scores are not [n, K] or the loss is unknown.

        >>> two = GaussianClasses(np.array([[-1.0], [1.0]]))
        >>> two.population_integral(LinearScores(np.zeros((1, 2)), np.zeros(2)), "squared")
        Integral(value=1.0, error=0.0)
        """
        if isinstance(scores, LinearScores) and scores.weights.shape == self.means.T.shape and loss in LOSSES:
            if loss == "squared":
                return Integral(self._linear_squared(scores), 0.0)
            if self.classes == 2 and np.isfinite(scores.intercept).all():
                return Integral(self._two_classes(scores, loss), 0.0)
        # ClassWorld by name: dataclass(slots=True) makes a new class, which super() without arguments does not see
        return ClassWorld.population_integral(self, scores, loss)

    def bayes_integral(self, loss: WorldLoss = "log") -> Integral | None:
        """Least loss of any rule; without numerical error for two classes and log or zero-one loss."""
        if self.classes == 2 and loss != "squared":
            return self.population_integral(self.bayes_scores, loss)
        return ClassWorld.bayes_integral(self, loss)

    def _linear_squared(self, scores: LinearScores) -> float:
        bias = ((scores(self.means) - np.eye(self.classes)) ** 2).sum(axis=1)
        return float(self.shares @ (bias + (scores.weights**2).sum()))

    def _two_classes(self, scores: LinearScores, loss: WorldLoss) -> float:
        centre = np.diff(scores(self.means), axis=1)[:, 0] * np.array([-1.0, 1.0])  # margin of the right label
        spread = float(np.linalg.norm(np.diff(scores.weights, axis=1)))
        if loss == "log":
            t, w = normal_line()
            lost = np.logaddexp(0.0, -(centre[:, None] + spread * t)) @ w
        elif spread > 0:
            lost = scipy.special.ndtr(-centre / spread)
        else:  # a constant rule; among ties the lowest label is predicted
            lost = np.where(centre == 0, np.array([0.0, 1.0]), centre < 0)
        return float(self.shares @ lost)


def gaussian_classes(
    classes: int, dimension: int, rows: int, separation: float = 1.0, label_noise: float = 0.0, seed: int = 0
) -> Population:
    """A finite population of Gaussian classes, μ_c = separation·(random unit vector)·√d/2, with label noise.

    Without noise a linear adapter of unlimited norm is the Bayes rule. Raises ValueError for a share outside [0, 1].

    >>> far = gaussian_classes(classes=2, dimension=4, rows=2000, separation=20.0)
    >>> far.bayes_risk < 1e-6
    True
    >>> same = gaussian_classes(classes=4, dimension=4, rows=2000, separation=0.0)
    >>> round(same.bayes_risk / float(np.log(4)), 6)
    1.0
    """
    rng = np.random.default_rng(seed)
    means = unit_directions(rng, classes, dimension) * separation * np.sqrt(dimension) / 2
    return drawn("gaussian-classes", LabelNoise(GaussianClasses(means), label_noise), rows, rng)
