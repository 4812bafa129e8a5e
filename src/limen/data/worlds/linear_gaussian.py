"""Linear-Gaussian regression: x ~ N(0, diag(v)), y = xᵀβ + σ·N(0, 1), squared loss; every quantity in closed form.

    L(w) = Σ_j v_j (w_j − β_j)² + σ²,   bayes_risk = σ²
    floor(B) = min_{‖w‖ ≤ B} L(w):  w(λ) = diag(v/(v + λ))·β, λ ≥ 0 with ‖w(λ)‖ = B;  (‖β‖ − B)₊² + σ² for v = 1
    least squares without intercept on n rows, γ = d/n:
        E train = σ²(1 − γ)                  n ≥ d                               any design of full rank
        E L(ŵ)  = σ²(1 + d/(n − d − 1))      n ≥ d + 2, → σ²/(1 − γ)             inverse Wishart mean; any v

Units: those of y, squared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.optimize

from limen.arrays.checks import count, positive
from limen.data.worlds.quadrature import Integral, normal_nodes, over_sets
from limen.data.worlds.world import LinearScores, Matrix, Scores, WorldLoss


@dataclass(frozen=True, slots=True, eq=False)
class RegressionRows:
    """Rows of a regression: features [n, d], targets [n]."""

    features: Matrix
    targets: Matrix

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True, eq=False)
class LinearGaussian:
    """The law with β [d], v [d] (None = 1) and σ; raises ValueError where they are none.

    >>> world = LinearGaussian(np.array([3.0, 4.0]), noise=2.0)
    >>> world.bayes_risk, round(world.floor(3.0), 12), world.floor(9.0)
    (4.0, 8.0, 4.0)
    >>> world.least_squares_train_loss(10), world.least_squares_population_loss(9)
    (3.2, 5.333333333333333)
    """

    coefficients: Matrix
    variances: Matrix | None = None
    noise: float = 1.0
    name: str = field(default="linear-gaussian")

    def __post_init__(self) -> None:
        if self.coefficients.ndim != 1 or not self.coefficients.size or not np.isfinite(self.coefficients).all():
            raise ValueError(f"coefficients: expected finite [d], got shape {self.coefficients.shape}")
        v = self.variances
        if v is not None and (v.shape != self.coefficients.shape or not ((v > 0) & np.isfinite(v)).all()):
            raise ValueError(f"variances: expected {self.coefficients.size} finite numbers above 0, got {v}")
        positive("noise", self.noise)

    @property
    def bayes_risk(self) -> float:
        """σ²."""
        return self.noise**2

    @property
    def bayes_note(self) -> str:
        """What `bayes_risk` is."""
        return "variance of the noise, exact, in squared units of the target"

    def sample(self, n: int, rng: np.random.Generator) -> RegressionRows:
        """n rows drawn i.i.d."""
        x = rng.normal(size=(n, self.coefficients.size)) * np.sqrt(self._variances())
        return RegressionRows(x, x @ self.coefficients + self.noise * rng.normal(size=n))

    def population_integral(self, scores: Scores, loss: WorldLoss = "squared") -> Integral:
        """L(s) of scores [n, 1], with its numerical error: 0 for a linear rule, else by quadrature.

        Raises ValueError for a loss other than squared and for scores of another shape.
        """
        if loss != "squared":
            raise ValueError(f"loss: expected squared, got {loss!r}")
        v, d = self._variances(), self.coefficients.size
        if isinstance(scores, LinearScores) and scores.weights.shape == (d, 1):
            away = scores.weights[:, 0] - self.coefficients
            return Integral(float(v @ away**2 + scores.intercept[0] ** 2) + self.noise**2, 0.0)
        found = []
        for standard in normal_nodes(d):
            x = standard * np.sqrt(v)
            z = scores(x)
            if z.shape != (len(x), 1):
                raise ValueError(f"scores: expected shape {(len(x), 1)}, got {z.shape}")
            found.append(float(((z[:, 0] - x @ self.coefficients) ** 2).mean()) + self.noise**2)
        return over_sets(found)

    def population_loss(self, scores: Scores, loss: WorldLoss = "squared") -> float:
        """L(s), squared units of the target; `population_integral` also states the numerical error."""
        return self.population_integral(scores, loss).value

    def floor(self, radius: float) -> float:
        """Least loss of a linear rule with ‖w‖ ≤ radius and no intercept; raises ValueError for a radius not above 0.

        >>> round(LinearGaussian(np.array([1.0, 1.0]), np.array([4.0, 1.0])).floor(1.0), 6)
        1.311119
        """
        positive("radius", radius)
        away = self._constrained(radius) - self.coefficients
        return float(self._variances() @ away**2) + self.noise**2

    def least_squares_train_loss(self, n: int) -> float:
        """E of the mean squared residual of least squares on n rows; raises ValueError for n < d."""
        d = self.coefficients.size
        return self.noise**2 * (1 - d / count("n", n, d))

    def least_squares_population_loss(self, n: int) -> float:
        """E L(ŵ) of least squares on n rows; raises ValueError for n < d + 2, where it is infinite or undefined."""
        d = self.coefficients.size
        return self.noise**2 * (1 + d / (count("n", n, d + 2) - d - 1))

    def _variances(self) -> Matrix:
        return np.ones(self.coefficients.size) if self.variances is None else self.variances

    def _constrained(self, radius: float) -> Matrix:
        beta, v = self.coefficients, self._variances()
        if np.linalg.norm(beta) <= radius:
            return beta

        def excess(penalty: float) -> float:
            return float(np.linalg.norm(v / (v + penalty) * beta)) - radius

        # ‖w(λ)‖ ≤ v_max‖β‖/λ, so that it is below the radius at this end
        end = float(v.max() * np.linalg.norm(beta)) / radius
        penalty = float(scipy.optimize.brentq(excess, 0.0, end, xtol=1e-14 * end, rtol=1e-14))
        found: Matrix = v / (v + penalty) * beta
        return found
