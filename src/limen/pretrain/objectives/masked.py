"""Masked modelling: blocks of the input are hidden, and predicted from what is left.

In each input ⌈share·m⌉ of its m positions are hidden, uniformly at random: patches and frames take the mean of their
channel, tokens become [MASK]. The loss is that of restoring what is hidden (`limen.pretrain.objectives.restore`) from
the representations of the hidden positions.

Known values: a head of zeros costs the second moment of the normalised values, 1, or ln V over V tokens. On texts of a
first-order Markov chain with one token hidden among known neighbours the least loss is H(X_t | X_{t−1}, X_{t+1}).

Source: Devlin et al. 2019 (arXiv:1810.04805), without its 10 % of kept and 10 % of random tokens; for images Xie et al.
2022 (SimMIM, arXiv:2111.09886), with squared error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limen.pretrain.examples import Batch
from limen.pretrain.objectives.restore import hidden_positions, restoring_head, restoring_loss
from limen.pretrain.views.strengths import Augmentation, Views
from limen.pretrain.views.views import draw_view
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Masked:
    """The objective with everything that is part of its name."""

    views: Views = field(default_factory=Augmentation)
    share: float = 0.5
    partners: int = 0

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full: the same for every batch size.

        >>> Masked(share=0.15).loss_name(64)
        'masked, share 0.15 of the positions, no augmentation'
        """
        del batch_size
        return f"masked, share {self.share:g} of the positions, {self.views.text()}"

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """A linear map from positions to blocks. Raises BadInput for an encoder of one position or a causal one."""
        alone = getattr(encoder, "side", 2) == 1 or (encoder.takes == "audio" and encoder.shape.positions == 1)
        if getattr(encoder.shape, "causal", False) or alone:
            name = encoder.architecture["name"]
            what = f"expected an encoder whose positions see one another, got {name}"
            raise BadInput(Problem("architecture", what, "nothing is left to predict from", "take conv, vit or sound"))
        return restoring_head(encoder, rng)

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """The cost of restoring what is hidden in one batch: a scalar tensor."""
        inputs = draw_view(batch.inputs, self.views, rng)
        where = hidden_positions(self._hideable(encoder, inputs), self.share, rng)
        predicted = head(encoder.positions(encoder.hide(inputs, where)))
        return restoring_loss(encoder, predicted, encoder.blocks(inputs), where)

    def _hideable(self, encoder: Any, inputs: Any) -> Any:
        """Where a position may be hidden: not the first of a text, which says nothing."""
        held = encoder.present(inputs).clone()
        if encoder.vocabulary is not None:
            held[:, 0] = False
        return held
