"""Classification with a linear head: cross-entropy, or the squared error of one-hot labels.

Example (x, y) with y one of C classes, z = W·encoder(view of x) + b in R^C:

    log       ℓ = −z_y + ln Σ_c exp z_c                    natural logarithm; z = 0 → ln C
    squared   ℓ = ½ Σ_c (z_c − 1[c = y])²                  z = 0 → ½

and the loss of a batch is the mean over its examples, so L_pre does not depend on the batch size. With
`architecture = "linear"` the squared loss is exactly quadratic in (W, b): its Hessian is the second moment of (x, 1),
once for every class.

Source: the ½ and the sum over classes as in Kunin et al. 2021 (arXiv:2107.09133) for linear regression.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from torch.nn import functional

from limen.pretrain.examples import Batch
from limen.pretrain.objectives.heads import linear_head
from limen.pretrain.views.strengths import Augmentation, Views
from limen.pretrain.views.views import draw_view

Loss = Literal["log", "squared"]
LOSSES: tuple[str, ...] = get_args(Loss)


@dataclass(frozen=True, slots=True)
class Supervised:
    """The objective with everything that is part of its name."""

    classes: int
    loss: Loss = "log"
    views: Views = field(default_factory=Augmentation)
    partners: int = 0

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full: the same for every batch size.

        >>> Supervised(10).loss_name(64)
        'cross-entropy, 10 classes, no augmentation'
        """
        del batch_size
        kind = "cross-entropy" if self.loss == "log" else "half squared error of one-hot labels"
        return f"{kind}, {self.classes} classes, {self.views.text()}"

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """The linear head: weights of variance 1/dimension, bias 0."""
        return linear_head(encoder.dimension(), self.classes, rng)

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """ℓ of one batch with labels: a scalar tensor; one view of each input is drawn from `rng`."""
        return supervised_loss(head(encoder(draw_view(batch.inputs, self.views, rng))), batch.labels, self.loss)


def supervised_loss(scores: Any, labels: Any, loss: Loss) -> Any:
    """Mean loss of scores [B, C] and labels [B] in 0, …, C − 1.

    >>> import torch
    >>> scores, labels = torch.zeros(3, 4), torch.tensor([0, 1, 3])
    >>> float(supervised_loss(scores, labels, "log").exp()), float(supervised_loss(scores, labels, "squared"))
    (4.0, 0.5)
    """
    if loss == "log":
        return functional.cross_entropy(scores, labels)
    targets = functional.one_hot(labels, scores.shape[1]).to(scores.dtype)
    return 0.5 * (scores - targets).square().sum(dim=1).mean()
