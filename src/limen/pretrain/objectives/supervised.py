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

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from limen.pretrain.augment import random_view
from limen.pretrain.augmentation import Augmentation
from limen.pretrain.examples import Batch

Loss = Literal["log", "squared"]
LOSSES: tuple[str, ...] = get_args(Loss)


@dataclass(frozen=True, slots=True)
class Supervised:
    """The objective with everything that is part of its name."""

    classes: int
    loss: Loss = "log"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full: the same for every batch size.

        >>> Supervised(10).loss_name(64)
        'cross-entropy, 10 classes, no augmentation'
        """
        del batch_size
        kind = "cross-entropy" if self.loss == "log" else "half squared error of one-hot labels"
        return f"{kind}, {self.classes} classes, {self.augmentation.text()}"

    def head(self, dimension: int, rng: np.random.Generator) -> Any:
        """The linear head for representations of `dimension` columns: weights of variance 1/dimension, bias 0."""
        head = nn.Linear(dimension, self.classes)
        with torch.no_grad():
            draw = rng.standard_normal(tuple(head.weight.shape)) / math.sqrt(dimension)
            head.weight.copy_(torch.from_numpy(draw))
            head.bias.zero_()
        return head

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """ℓ of one batch with labels: a scalar tensor; one view of each image is drawn from `rng`."""
        return supervised_loss(
            head(encoder(random_view(batch.images, self.augmentation, rng))), batch.labels, self.loss
        )


def supervised_loss(scores: Any, labels: Any, loss: Loss) -> Any:
    """Mean loss of scores [B, C] and labels [B] in 0, …, C − 1.

    >>> scores, labels = torch.zeros(3, 4), torch.tensor([0, 1, 3])
    >>> float(supervised_loss(scores, labels, "log").exp()), float(supervised_loss(scores, labels, "squared"))
    (4.0, 0.5)
    """
    if loss == "log":
        return functional.cross_entropy(scores, labels)
    targets = functional.one_hot(labels, scores.shape[1]).to(scores.dtype)
    return 0.5 * (scores - targets).square().sum(dim=1).mean()
