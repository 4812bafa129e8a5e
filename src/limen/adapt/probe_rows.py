"""The rows of a penalised logistic probe in the coordinates that its minimiser lies in.

With row shares s_i ≥ 0, Σ s_i = 1, scores z_i = W x_i + b, p_i = softmax(z_i), the probe at penalty λ > 0 minimises

    F(W, b) = Σ_i s_i (ln Σ_c e^{z_ic} − z_{i,y_i}) + λ/2·(‖W‖_F² + ‖b‖²)        intercept "penalized"
                                                    + λ/2·‖W‖_F²                 intercept "free".

A minimiser's W lies in the span of the rows, so r = min(n, d) + 1 coordinates u_i of [x_i, 1] are enough; they are
orthonormal, so the penalty keeps its form: λ/2·Σ_j on_j ‖W_j‖², on_j = 0 for a free intercept and 1 elsewhere. At the
minimiser Σ_c W_c = 0 (∇F summed over classes is λ·Σ_c W_c): everything happens where classes sum to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from limen.adapt.feature_map import Matrix
from limen.adapt.log_ball import gram_basis
from limen.adapt.penalised import WeightedRows
from limen.records.task import Integers

Intercept = Literal["penalized", "free"]

# shapes: n rows, d features, K classes, r coordinates


@dataclass(frozen=True, slots=True)
class ProbeRows:
    """Coordinates [n, r], labels [n], number of classes, row shares s [n]."""

    coordinates: Matrix
    labels: Integers
    classes: int
    shares: Matrix
    on: Matrix
    """1 where the penalty holds, 0 for a free intercept [r]."""
    values: Matrix
    """Mean squares of the coordinates [r]: what steers the descent."""
    directions: Matrix
    """[d + 1, r], orthogonal columns, unit but for a free constant: u = [x, 1]·directions."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def largest(self) -> float:
        """Largest mean square of a direction that the penalty holds."""
        return float((self.values * self.on).max())

    def inner(self, coef: Matrix, intercept: Matrix) -> Matrix:
        """A fitted probe, coef [K, d] and intercept [K], in these coordinates [K, r]; its mean over classes is 0."""
        weights: Matrix = np.column_stack([coef, intercept]) @ self.directions
        weights /= (self.directions**2).sum(axis=0)
        weights -= weights.mean(axis=0)
        return weights


def probe_rows(rows: WeightedRows, intercept: Intercept, largest_penalty: float = 0.0) -> ProbeRows:
    """The rows of a penalised probe in these coordinates.

    The scale of a free constant is open: it is that of the features, or ten times √λ of the largest λ to come if that
    is more, so that it counts as much as they do.

    >>> one = WeightedRows(np.array([[3.0, 4.0]]), np.array([0]), 2, np.ones(1))
    >>> probe_rows(one, "free").coordinates.round(6).tolist(), probe_rows(one, "free").on.tolist()
    ([[5.0, 5.0]], [0.0, 1.0])
    """
    x = np.ones((len(rows), rows.features.shape[1] + 1))
    x[:, :-1] = rows.features
    basis = gram_basis(x if intercept == "penalized" else x[:, :-1])
    on, directions, values = np.ones(len(basis.values)), basis.directions, basis.values
    if intercept == "free":
        d, r = directions.shape
        directions = np.zeros((d + 1, r + 1))
        square = max(float(basis.values.max(initial=0.0)), 100 * largest_penalty) or 1.0
        # the constant first: the leading coordinates are those that the solver's blocks hold
        directions[:d, 1:], directions[d, 0] = basis.directions, square**0.5
        on, values = np.append(0.0, on), np.append(square, values)
    # eigenvectors have no sign of their own; one that most rows agree with makes results reproducible
    directions = directions * np.where((x @ directions).sum(axis=0) < 0, -1.0, 1.0)
    return ProbeRows(x @ directions, rows.labels, rows.classes, rows.shares, on, values, directions)
