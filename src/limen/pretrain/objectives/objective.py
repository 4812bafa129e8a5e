"""What an objective is: a head on top of the encoder, and a loss of one batch that defines the pretraining loss.

    L_pre = E ℓ(batch) over batches of i.i.d. examples and the objective's own randomness

Whatever changes this number is part of its name: losses of different names are never compared.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from limen.pretrain.examples import Batch, Examples
from limen.pretrain.views.strengths import Views


class Objective(Protocol):
    """A pretraining objective with all its options."""

    @property
    def views(self) -> Views:
        """The random transformations of an input before it is encoded."""

    @property
    def partners(self) -> int:
        """Other examples of its class that come with every example of a batch; 0: none are needed."""

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full."""

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """The module trained on what the encoder gives, its weights drawn from `rng`."""

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """ℓ of one batch: a scalar tensor; all randomness is drawn from `rng`."""


def drawn_batch(
    objective: Objective,
    examples: Examples,
    rows: NDArray[np.int64],
    rng: np.random.Generator,
    channels_last: bool = False,
) -> Batch:
    """The examples `rows` as the objective takes them: with partners from `rng`, where it asks for any."""
    batch = examples.batch(rows, channels_last)
    return examples.with_partners(batch, rows, objective.partners, rng) if objective.partners else batch
