"""The spectral contrastive loss, whose optimum is a matrix factorisation.

f = head(encoder(x)) ∈ R^k of any length; x, x⁺ similar, x′ independent of x:

    L = −2 E f(x)ᵀ f(x⁺) + E (f(x)ᵀ f(x′))²

On a population of finitely many views with w_{xx′} = P(x, x⁺ = x′), w_x its margin and Ā = w_{xx′}/√(w_x w_x′),

    L = ‖Ā − F Fᵀ‖_F² − ‖Ā‖_F²,   F_x = √w_x f(x);     min L = −Σ_{i≤k} λ_i(Ā)²  over the positive of the k largest λ_i.

A batch of B pairs gives  −2 mean_i f(x_i)ᵀf(x_i⁺) + Σ_{i≠j} (f(x_i)ᵀf(x_j⁺))²/(B(B−1)), without bias for i.i.d. pairs.
The head is linear → ReLU → linear and not part of the encoder; `projection = 0` leaves it out.

Known values: f = 0 → 0.  One class whose f is one vector of length 1 → −1.

Source: HaoChen, Wei, Gaidon, Ma 2021 (arXiv:2106.04156), equation 6 and lemma 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from limen.pretrain.examples import Batch
from limen.pretrain.objectives.heads import projection_head
from limen.pretrain.views.strengths import Augmentation, Views
from limen.pretrain.views.views import draw_view

START = 8.0
"""The last layer of the head is drawn this many times √projection smaller than those of other heads."""


@dataclass(frozen=True, slots=True)
class Spectral:
    """The objective with everything that is part of its name."""

    views: Views = field(default_factory=Augmentation)
    pairs: Literal["views", "label"] = "views"
    projection: int = 64

    @property
    def partners(self) -> int:
        """One similar example, where the pairs are of one class."""
        return 1 if self.pairs == "label" else 0

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full: the same for every batch size.

        >>> Spectral().loss_name(64)
        'spectral contrastive, pairs of views, no augmentation'
        """
        del batch_size
        pairs = "views" if self.pairs == "views" else "the same class"
        return f"spectral contrastive, pairs of {pairs}, {self.views.text()}"

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """The projection head, its weights drawn from `rng`; the last ones are small, so that L starts near 0."""
        if not self.projection:
            return nn.Identity()
        head = projection_head(encoder.dimension(), self.projection, rng)
        with torch.no_grad():
            head[2].weight.div_(START * math.sqrt(self.projection))
        return head

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """L over the pairs of one batch: a scalar tensor; views are drawn from `rng`."""
        others = batch.partners[:, 0] if self.pairs == "label" else batch.inputs
        f = head(encoder(torch.cat([draw_view(x, self.views, rng) for x in (batch.inputs, others)])))
        return spectral_loss(*f.chunk(2))


def spectral_loss(f: Any, similar: Any) -> Any:
    """L of representations [B, k] of x and of x⁺.

    >>> import torch
    >>> one = torch.ones(4, 1)
    >>> float(spectral_loss(one, one))
    -1.0
    """
    products = f @ similar.T
    count = len(f)
    together = products.diagonal()
    apart = (products.square().sum() - together.square().sum()) / (count * (count - 1))
    return apart - 2 * together.mean()
