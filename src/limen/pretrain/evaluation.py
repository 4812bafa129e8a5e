"""How much is spent on the pretraining losses of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How the pretraining losses of a checkpoint are measured."""

    draws: int = 2
    """Augmentation draws averaged within each held-out batch."""
    training_batches: int | None = None
    """Batches of training examples scored; None = all ⌊N/B⌋ of them."""
