"""The pretraining losses of a checkpoint, batch by batch, on batches and views that are the same at every checkpoint.

Held-out and training examples are each cut into disjoint batches of B by one fixed permutation; batch j is scored with
augmentation draws keyed by (population, j, draw), so two checkpoints of one study differ by their weights alone and
their difference is a paired one. L̂_pre(B) and L_pre(B) are means over batches (reference: docs, pretraining losses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.pretrain.checkpoints import Arrays
from limen.pretrain.images import batch_tensor
from limen.pretrain.objectives.nt_xent import NTXent
from limen.pretrain.spec import Evaluation


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Loss of every batch, mean over its augmentation draws."""

    heldout_losses: list[float]
    training_losses: list[float]


@dataclass(frozen=True, slots=True)
class Scored:
    """What is scored: the objective, a model to load weights into, the batch size, the seed of batches and views."""

    objective: NTXent
    model: Any
    batch_size: int
    seed: int


def evaluate(
    scored: Scored,
    weights: Arrays,
    populations: tuple[NDArray[np.generic], NDArray[np.generic]],
    evaluation: Evaluation,
) -> BatchLosses:
    """Losses of one checkpoint on (training, held-out) images; the model is left with the checkpoint's weights."""
    scored.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    training, heldout = populations
    with torch.no_grad():
        return BatchLosses(
            heldout_losses=_losses(scored, heldout, "heldout", (evaluation.draws, None)),
            training_losses=_losses(scored, training, "training", (1, evaluation.training_batches)),
        )


def _losses(
    scored: Scored, images: NDArray[np.generic], population: str, effort: tuple[int, int | None]
) -> list[float]:
    draws, limit = effort
    order = stream("pretrain/evaluate", population, scored.seed, len(images)).permutation(len(images))
    batches = len(images) // scored.batch_size
    losses = []
    for j in range(batches if limit is None else min(limit, batches)):
        batch = batch_tensor(images, order[j * scored.batch_size : (j + 1) * scored.batch_size])
        values = [_loss(scored, batch, stream("pretrain/views", population, scored.seed, j, d)) for d in range(draws)]
        losses.append(float(np.mean(values)))
    return losses


def _loss(scored: Scored, batch: Any, rng: np.random.Generator) -> float:
    return float(scored.objective.batch_loss(scored.model["encoder"], scored.model["head"], batch, rng))
