"""Next-token prediction: every token of a text from those before it.

    ℓ = mean over the tokens of a batch of −ln p(t_j | [BOS], t_1, …, t_{j−1}),   natural logarithm

The encoder is causal; a linear head gives the scores of all V tokens. L_pre is per token: a text counts by its length.

Known values: a head of zeros costs ln V. On texts of a stationary first-order Markov chain the least loss is
(H(X_1) + (m − 1)·H(X_2 | X_1))/m for texts of m tokens.

Source: Bengio et al. 2003; Radford et al. 2018.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limen.pretrain.examples import Batch
from limen.pretrain.objectives.restore import restoring_head, restoring_loss
from limen.pretrain.views.strengths import TextViews, Views
from limen.pretrain.views.views import draw_view
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class NextToken:
    """The objective with everything that is part of its name."""

    views: Views = field(default_factory=TextViews)
    partners: int = 0

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full: the same for every batch size.

        >>> NextToken().loss_name(64)
        'next token, nats, no augmentation'
        """
        del batch_size
        return f"next token, nats, {self.views.text()}"

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """A linear map from positions to scores of tokens. Raises BadInput for an encoder that is not causal."""
        if not getattr(encoder.shape, "causal", False):
            what = f"expected a causal encoder of text, got {encoder.architecture['name']}"
            raise BadInput(Problem("architecture", what, fix='architecture = { name = "transformer" }, input = "text"'))
        return restoring_head(encoder, rng)

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """ℓ of one batch: a scalar tensor."""
        inputs = draw_view(batch.inputs, self.views, rng)
        predicted = head(encoder.positions(inputs)[:, :-1])
        return restoring_loss(encoder, predicted, encoder.blocks(inputs)[:, 1:], encoder.present(inputs)[:, 1:])
