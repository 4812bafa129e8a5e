"""NT-Xent, the contrastive loss of SimCLR, and the population loss it defines.

B examples, two views each, embeddings z_1, …, z_2B on the unit sphere (view i and view i+B belong together), T > 0:

    ℓ = (1/2B) Σ_i [ −⟨z_i, z_i'⟩/T + ln Σ_{k≠i} exp(⟨z_i, z_k⟩/T) ],   i' the partner of i, natural logarithm

Known values: all embeddings equal → ln(2B−1).  Range: ln(1 + (2B−2) e^{−2/T}) ≤ ℓ ≤ 2/T + ln(2B−2+e^{−2/T}).
B = 2 with the two examples at opposite poles → ln(1 + 2 e^{−2/T}), the least possible there.

L_pre(B) := E ℓ over B i.i.d. examples and their views: batch size, temperature and augmentation are part of its name,
and losses of different names cannot be compared. The in-batch negatives make ℓ one number per batch, not per example.

Source: Chen, Kornblith, Norouzi, Hinton 2020 (arXiv:2002.05709), equation 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from limen.pretrain.examples import Batch
from limen.pretrain.objectives.heads import projection_head
from limen.pretrain.views.strengths import Augmentation, Views
from limen.pretrain.views.views import draw_view


@dataclass(frozen=True, slots=True)
class NTXent:
    """The objective with everything that is part of its name, and the projection head it trains on top."""

    views: Views = field(default_factory=Augmentation)
    temperature: float = 0.5
    projection: int = 64
    """Dimensions of the sphere's space; the head is linear → ReLU → linear and is not part of the encoder."""
    partners: int = 0

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full.

        >>> NTXent(temperature=0.5).loss_name(64)
        'NT-Xent, batch 64, temperature 0.5, no augmentation'
        """
        return f"NT-Xent, batch {batch_size}, temperature {self.temperature:g}, {self.views.text()}"

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """The projection head, its weights drawn from `rng`."""
        return projection_head(encoder.dimension(), self.projection, rng)

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """ℓ of one batch: a scalar tensor; the views are drawn from `rng`, labels are not looked at."""
        views = torch.cat([draw_view(batch.inputs, self.views, rng) for _ in range(2)])
        return nt_xent(head(encoder(views)), self.temperature)


def nt_xent(embeddings: Any, temperature: float) -> Any:
    """ℓ of embeddings [2B, p] (any length: they are normalised here), rows i and i+B being views of one example.

    >>> float(nt_xent(torch.ones(8, 3), 0.5).exp().round(decimals=4))
    7.0
    """
    z = functional.normalize(embeddings, dim=1)
    logits = z @ z.T / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    partner = torch.arange(len(z)).roll(len(z) // 2)
    return functional.cross_entropy(logits, partner)
