"""The linear head of a tuned encoder, on features that the design rows put to scale.

    z = W u + b,   u = (f(x) − m)/s,   m, s of the frozen features of the design rows (`limen.adapt.feature_map`)

so a row has mean square 1 and a learning rate means the same for every encoder. The map stays fixed while f moves; it
does not clip, since there is no ball to bound. The head begins at 0, at N(0, 1/d) draws, or as the logistic probe on
frozen features: penalties from `choose_penalties`, the one of least design loss, solved to a certified gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from limen.adapt.choose_penalties import shortlist
from limen.adapt.feature_map import Matrix, design_map
from limen.adapt.losses import per_example_loss
from limen.adapt.penalised import PenalisedFit, WeightedRows
from limen.adapt.penalty_path import penalty_path
from limen.records.errors import BadInput, Problem
from limen.records.task import Floats, Integers

GAP = 1e-4
"""Certified gap of the probe, in nats."""


class LinearHead(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Features [b, d] → scores [b, K]."""

    def __init__(self, centre: Matrix, scale: float, classes: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.from_numpy(centre.astype(np.float32)))
        self.scale = float(scale)
        self.linear = nn.utils.skip_init(nn.Linear, len(centre), classes)
        self.set(np.zeros((classes, len(centre))), np.zeros(classes))

    def set(self, weights: NDArray[np.floating], intercept: NDArray[np.floating]) -> None:
        """Give it W [K, d] and b [K]."""
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weights.astype(np.float32)))
            self.linear.bias.copy_(torch.from_numpy(intercept.astype(np.float32)))

    def forward(self, features: Any) -> Any:
        """Scores of features."""
        return self.linear((features - self.centre) / self.scale)


@dataclass(frozen=True, slots=True)
class ProbeStart:
    """The probe that a head begins as."""

    fit: PenalisedFit
    design_loss: float


def fixed_head(design: Floats, classes: int) -> LinearHead:
    """A head at 0 with the map of the design rows' frozen features. Raises BadInput where they have no scale."""
    try:
        phi = design_map(design)
    except ValueError as error:
        raise BadInput(Problem("design", str(error))) from error
    return LinearHead(phi.centre, phi.scale, classes)


def standardised(head: LinearHead, features: Floats) -> Matrix:
    """u of frozen features [n, d], in float64."""
    centre: Matrix = head.centre.numpy().astype(np.float64)
    return (np.asarray(features, dtype=np.float64) - centre) / head.scale


def probe_start(
    train: tuple[Matrix, Integers], design: tuple[Matrix, Integers], classes: int, gap: float = GAP
) -> ProbeStart:
    """The penalised probe on (u, labels) of the train rows whose penalty the design rows chose.

    Classes without a train row keep weight 0; their intercept falls as far as the penalty lets it.
    """
    features, labels = train
    rows = WeightedRows(features, labels, classes, np.full(len(labels), 1 / len(labels)))
    penalties = shortlist(rows, "penalized").penalties
    fits = penalty_path(rows, penalties, False, np.full(len(penalties), gap))
    losses = [float(per_example_loss(_scores(fit, design[0]), design[1], "log").mean()) for fit in fits]
    best = int(np.argmin(losses))
    return ProbeStart(fits[best], losses[best])


def _scores(fit: PenalisedFit, features: Matrix) -> Matrix:
    scores: Matrix = features @ fit.weights.T + fit.intercept
    return scores
