"""The truth about adapters on a finite population: population loss and floor, to compare estimates with.

L(W) = mean of ℓ(W, x_i, y_i) over all N rows of the world; L*(B) = min over ‖W‖_F ≤ B of it, solved to a certified gap.
Both depend on the feature map φ, which is part of the class and fixed on design rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from limen.adapt.ball import BallFit, Rows, minimise
from limen.adapt.feature_map import FeatureMap, Matrix
from limen.adapt.losses import per_example_loss, predictions
from limen.data.worlds.population import Population as World
from limen.records.task import Loss

FLOOR_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Truth:
    """One world seen through one feature map and loss."""

    rows: Rows

    @classmethod
    def of(cls, world: World, phi: FeatureMap, loss: Loss = "log") -> Truth:
        """Map the whole population once.

        >>> import numpy as np
        >>> from limen.adapt.feature_map import design_map
        >>> from limen.data.worlds.gaussian_classes import gaussian_classes
        >>> world = gaussian_classes(classes=2, dimension=3, rows=500, separation=0.0)
        >>> truth = Truth.of(world, design_map(world.features[:50]))
        >>> bool(np.isclose(truth.population_loss(np.zeros((4, 2))), np.log(2)))
        True
        >>> bool(0 < truth.minimum(1.0).loss < np.log(2))
        True
        """
        return cls(Rows(phi(world.features), world.labels, world.classes, loss))

    def losses(self, weights: Matrix) -> Matrix:
        """ℓ of every row of the population: weights [p, K] → [N]."""
        return per_example_loss(self.rows.features @ weights, self.rows.labels, self.rows.loss)

    def population_loss(self, weights: Matrix) -> float:
        """L(W)."""
        return float(self.losses(weights).mean())

    def population_error(self, weights: Matrix) -> float:
        """0-1 error of the label with the largest score."""
        return float((predictions(self.rows.features @ weights) != self.rows.labels).mean())

    def minimum(self, radius: float, start: Matrix | None = None) -> BallFit:
        """Best adapter of the population in the ball: L* lies in [minimum, loss], no wider than the gap."""
        return minimise(self.rows, radius, start, FLOOR_TOLERANCE)
