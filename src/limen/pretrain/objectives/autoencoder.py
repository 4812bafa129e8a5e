"""Denoising autoencoder: the whole input is restored from a noisy one.

    images, sounds   x̃ = x + noise·σ_c·N(0, 1), σ_c the standard deviation of the channel or band
    texts            every token but [BOS] is replaced by a uniform token with probability `noise`

and the loss is that of restoring all blocks of x (`limen.pretrain.objectives.restore`) from the representations of
their positions. What makes it more than the identity is the noise and the width of the representation.

Known values: x ∈ R^p Gaussian of covariance Σ (normalised), linear encoder and head of rank ≥ p: the least loss is
tr(Σ − Σ(Σ + noise²)⁻¹Σ)/p = Σ_i λ_i noise²/(λ_i + noise²)/p; of rank k the p − k directions of the least
λ_i²/(λ_i + noise²) cost λ_i instead.

Source: Vincent et al. 2008, 2010 (stacked denoising autoencoders).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from limen.models.preprocessing.tokens import SPECIAL
from limen.pretrain.examples import Batch
from limen.pretrain.objectives.restore import restoring_head, restoring_loss
from limen.pretrain.views.strengths import Augmentation, Views
from limen.pretrain.views.views import draw_view
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """The objective with everything that is part of its name."""

    views: Views = field(default_factory=Augmentation)
    noise: float = 0.5
    partners: int = 0

    def loss_name(self, batch_size: int) -> str:
        """What L_pre is, in full: the same for every batch size.

        >>> Autoencoder(noise=0.3).loss_name(64)
        'denoising autoencoder, noise 0.3, no augmentation'
        """
        del batch_size
        return f"denoising autoencoder, noise {self.noise:g}, {self.views.text()}"

    def head(self, encoder: Any, rng: np.random.Generator) -> Any:
        """A linear map from positions to blocks. Raises BadInput for noise that is no probability, on texts."""
        if encoder.vocabulary is not None and not 0 <= self.noise <= 1:
            what = f"expected a probability on texts, got {self.noise:g}"
            raise BadInput(Problem("objective.noise", what, fix="for instance 0.3"))
        return restoring_head(encoder, rng)

    def batch_loss(self, encoder: Any, head: Any, batch: Batch, rng: np.random.Generator) -> Any:
        """The cost of restoring one batch: a scalar tensor."""
        inputs = draw_view(batch.inputs, self.views, rng)
        predicted = head(encoder.positions(self._noisy(encoder, inputs, rng)))
        return restoring_loss(encoder, predicted, encoder.blocks(inputs), encoder.present(inputs))

    def _noisy(self, encoder: Any, inputs: Any, rng: np.random.Generator) -> Any:
        if encoder.vocabulary is None:
            noise = torch.from_numpy(rng.standard_normal(tuple(inputs.shape), dtype=np.float32))
            return inputs + self.noise * encoder.normalise.std * noise
        replaced = torch.from_numpy(rng.random(tuple(inputs.shape)) < self.noise) & encoder.present(inputs)
        replaced[:, 0] = False
        drawn = torch.from_numpy(rng.integers(len(SPECIAL), encoder.vocabulary, size=tuple(inputs.shape)))
        return torch.where(replaced, drawn, inputs)
