"""What every world answers: rows drawn i.i.d., the loss of any scoring rule, and the least loss that any rule has.

    L(s) = E ℓ(s(X), Y)                                       population_loss
    inf_s L(s) = E H(Y | X) nats (log), E Var(Y | X) (squared loss of a regression)   bayes_risk

Losses of scores z ∈ ℝ^K against a conditional law q of the label, as `limen.adapt.losses` has them for one label:

    log       ln Σ_c exp z_c − Σ_c q_c z_c          nats
    squared   ‖z‖² − 2 Σ_c q_c z_c + 1              squared units of the one-hot target
    zero-one  1 − q_{argmax z}                      share of wrong labels; the lowest label among ties
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from limen.records.task import Floats

Matrix = NDArray[np.float64]
Scores = Callable[[Floats], Matrix]
"""A scoring rule: features [n, d] → scores [n, K]."""
WorldLoss = Literal["log", "squared", "zero-one"]
LOSSES: tuple[WorldLoss, ...] = ("log", "squared", "zero-one")
RowsT = TypeVar("RowsT", covariant=True)


class World(Protocol[RowsT]):
    """A population that is known: what an estimator says of a sample is compared with it."""

    @property
    def name(self) -> str:
        """What the world is called."""

    @property
    def bayes_risk(self) -> float | None:
        """Least loss of any rule; None where it is unknown, for the reason that `bayes_note` states."""

    @property
    def bayes_note(self) -> str:
        """What `bayes_risk` is and how exact, or why it is None."""

    def sample(self, n: int, rng: np.random.Generator) -> RowsT:
        """n rows drawn from the population."""

    def population_loss(self, scores: Scores, loss: WorldLoss) -> float:
        """L(s), in the units of the loss."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearScores:
    """The linear adapter s(x) = xᵀW + b: a rule that worlds with a closed form recognise.

    >>> LinearScores(np.eye(2), np.array([0.0, 1.0]))(np.array([[3.0, 4.0]])).tolist()
    [[3.0, 5.0]]
    """

    weights: Matrix
    """[d, K]"""
    intercept: Matrix
    """[K]"""

    def __call__(self, features: Floats) -> Matrix:
        """Scores [n, K] of features [n, d]."""
        return np.asarray(features @ self.weights + self.intercept, dtype=np.float64)


def expected_loss(scores: Matrix, conditional: Matrix, loss: WorldLoss) -> Matrix:
    """Mean loss of every row over its conditional law of labels: scores [n, K], conditional [n, K] → [n].

    Raises ValueError for scores of another shape and for an unknown loss.

    >>> half = np.array([[0.5, 0.5]])
    >>> [float(expected_loss(np.zeros((1, 2)), half, loss)[0].round(6)) for loss in LOSSES]
    [0.693147, 1.0, 0.5]
    """
    if scores.shape != conditional.shape:
        raise ValueError(f"scores: expected shape {conditional.shape} [rows, classes], got {scores.shape}")
    if loss == "zero-one":
        best = scores.argmax(axis=1)[:, None]
        wrong: Matrix = 1.0 - np.take_along_axis(conditional, best, axis=1)[:, 0]
        return wrong
    # a score of −∞ costs nothing where the label cannot occur
    product = np.multiply(conditional, scores, where=conditional > 0, out=np.zeros_like(conditional))
    on_label: Matrix = product.sum(axis=1)
    if loss == "log":
        top = scores.max(axis=1, keepdims=True)
        lse: Matrix = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
        return lse - on_label
    if loss == "squared":
        squared: Matrix = (scores**2).sum(axis=1) - 2 * on_label + 1
        return squared
    raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got {loss!r}")


def unit_directions(rng: np.random.Generator, count: int, dimension: int) -> Matrix:
    """Random unit vectors [count, dimension], uniform on the sphere.

    >>> np.linalg.norm(unit_directions(np.random.default_rng(0), 2, 3), axis=1).round(12).tolist()
    [1.0, 1.0]
    """
    raw = rng.normal(size=(count, dimension))
    unit: Matrix = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return unit
