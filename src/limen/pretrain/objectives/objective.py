"""What an objective is: a head on top of the encoder, and a loss of one batch that defines the pretraining loss.

    L_pre = E ℓ(batch) over batches of i.i.d. examples and the objective's own randomness

Whatever changes this number is part of its name: losses of different names are never compared.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from limen.pretrain.augmentation import Augmentation
from limen.pretrain.examples import Batch


class Objective(Protocol):
    """A pretraining objective with all its options."""

    @property
    def augmentation(self) -> Augmentation:
        """The random transformations of an image before it is encoded."""

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full."""

    def head(self, dimension: int, rng: np.random.Generator) -> Any:
        """The module trained on representations of `dimension` columns, its weights drawn from `rng`."""

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """ℓ of one batch: a scalar tensor; all randomness is drawn from `rng`."""
