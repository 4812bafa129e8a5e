"""The contrastive loss with k negatives and blocks, exactly as its theory has it.

f = R·encoder(x)/‖encoder(x)‖; x and x⁺ are similar, x_1⁻, …, x_k⁻ come from the marginal, and over blocks of b

    L_un = E ℓ({ f(x)ᵀ( mean_j f(x_j⁺) − mean_j f(x_{ij}⁻) ) }_{i=1..k})       logistic ℓ(v) = log₂(1 + Σ_i e^{−v_i})
                                                                               hinge    ℓ(v) = max(0, 1 + max_i(−v_i))

ℓ(0) = log₂(1 + k) and 1. With pairs = "label" similar inputs are b other examples of the same class (the latent class
of the theory), with pairs = "views" two views of one example. The negative blocks of example i are the similar blocks
of examples i+1, …, i+k of the batch (cyclic): of independent classes, when examples are drawn independently, so that a
negative has the class of its anchor with probability Σ_c ρ(c)² (without replacement by (n ρ(c) − 1)/(n − 1) in place of
ρ(c)); with views and no classes the collision is that of two examples. The theory's logarithm has base 2.

Known values: all f equal → ℓ(0).  Two classes, each sent to one of ±R u: k = b = 1, logistic, no collision →
log₂(1 + e^{−2R²}), the least possible, and 1 where the negative collides.

Source: Arora et al. 2019 (arXiv:1902.09229), definitions 2.3 and 6.1 (blocks), section 6 (k negatives).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from limen.pretrain.examples import Batch
from limen.pretrain.views.strengths import Augmentation, Views
from limen.pretrain.views.views import draw_view
from limen.records.errors import BadInput, Problem

Surrogate = Literal["logistic", "hinge"]


@dataclass(frozen=True, slots=True)
class Contrastive:
    """The objective with everything that is part of its name."""

    views: Views = field(default_factory=Augmentation)
    pairs: Literal["views", "label"] = "views"
    negatives: int = 1
    block: int = 1
    surrogate: Surrogate = "logistic"
    radius: float = 1.0

    @property
    def partners(self) -> int:
        """The block of similar examples."""
        return self.block if self.pairs == "label" else 0

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full; of the batch only its negatives count.

        >>> Contrastive(negatives=4).loss_name(64)
        'contrastive, logistic (base 2), 4 negatives, blocks of 1, radius 1, pairs of views, no augmentation'
        """
        del batch_size
        kind = "logistic (base 2)" if self.surrogate == "logistic" else "hinge"
        pairs = "views" if self.pairs == "views" else "the same class"
        return (
            f"contrastive, {kind}, {self.negatives} negatives, blocks of {self.block}, radius {self.radius:g}, "
            f"pairs of {pairs}, {self.views.text()}"
        )

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """Nothing is trained on top: the theory speaks of the encoder itself."""
        del encoder, rng
        return nn.Identity()

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """L_un over the examples of one batch: a scalar tensor. Raises BadInput for fewer than k + 1 of them."""
        if len(batch.inputs) <= self.negatives:
            what = f"expected more than the {self.negatives} negatives of an example, got {len(batch.inputs)}"
            raise BadInput(Problem("batch_size", what, fix="take a larger batch_size, or fewer negatives"))
        anchors = self._on_sphere(head(encoder(draw_view(batch.inputs, self.views, rng))))
        labelled = self.pairs == "label"
        flat = batch.partners.flatten(0, 1) if labelled else batch.inputs.repeat_interleave(self.block, 0)
        similar = self._on_sphere(head(encoder(draw_view(flat, self.views, rng))))
        blocks = similar.reshape(len(anchors), self.block, -1).mean(dim=1)
        return contrastive_loss(anchors, blocks, self.negatives, self.surrogate)

    def _on_sphere(self, f: Any) -> Any:
        return self.radius * functional.normalize(f, dim=1)


def contrastive_loss(anchors: Any, blocks: Any, negatives: int, surrogate: Surrogate) -> Any:
    """The mean of ℓ over anchors f(x) [B, d] and block means of their similar inputs [B, d].

    >>> import torch
    >>> zero = torch.zeros(5, 3)
    >>> [round(float(contrastive_loss(zero, zero, 3, kind)), 6) for kind in ("logistic", "hinge")]
    [2.0, 1.0]
    """
    similar = (anchors * blocks).sum(dim=1)
    margins = torch.stack(
        [similar - (anchors * blocks.roll(-shift, dims=0)).sum(dim=1) for shift in range(1, negatives + 1)], dim=1
    )
    if surrogate == "hinge":
        return functional.relu(1 + (-margins).amax(dim=1)).mean()
    return functional.softplus(torch.logsumexp(-margins, dim=1)).mean() / math.log(2)
