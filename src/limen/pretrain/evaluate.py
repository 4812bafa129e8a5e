"""The pretraining losses of a checkpoint, batch by batch, on batches and views that are the same at every checkpoint.

Held-out and training examples are each cut into disjoint batches of B by one fixed permutation; batch j is scored with
augmentation draws keyed by (population, j, draw), so two checkpoints of one study differ by their weights alone and
their difference is a paired one. L̂_pre(B) and L_pre(B) are means over batches (reference: docs, pretraining losses).
The encoder is the one that is read out: where it has batch statistics, their running means are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.pretrain.checkpoints import Arrays
from limen.pretrain.evaluation import Evaluation
from limen.pretrain.examples import Examples
from limen.pretrain.objectives.objective import Objective, drawn_batch


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Loss of every batch, mean over its augmentation draws."""

    heldout_losses: list[float]
    training_losses: list[float]


@dataclass(frozen=True, slots=True)
class Scored:
    """What is scored: the objective, a model to load weights into, the batch size, the seed of batches and views."""

    objective: Objective
    model: Any
    batch_size: int
    seed: int


def evaluate(
    scored: Scored,
    weights: Arrays,
    populations: tuple[Examples, Examples],
    evaluation: Evaluation,
) -> BatchLosses:
    """Losses of one checkpoint on (training, held-out) examples.

    The model is left with the checkpoint's weights, in evaluation mode.
    """
    scored.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    scored.model.eval()
    training, heldout = populations
    with torch.no_grad():
        return BatchLosses(
            heldout_losses=_losses(scored, heldout, "heldout", (evaluation.draws, None)),
            training_losses=_losses(scored, training, "training", (1, evaluation.training_batches)),
        )


def _losses(scored: Scored, examples: Examples, population: str, effort: tuple[int, int | None]) -> list[float]:
    draws, limit = effort
    order = stream("pretrain/evaluate", population, scored.seed, len(examples)).permutation(len(examples))
    batches = len(examples) // scored.batch_size
    losses = []
    for j in range(batches if limit is None else min(limit, batches)):
        rows = order[j * scored.batch_size : (j + 1) * scored.batch_size]
        values = [
            _loss(scored, examples, rows, stream("pretrain/views", population, scored.seed, j, d)) for d in range(draws)
        ]
        losses.append(float(np.mean(values)))
    return losses


def _loss(scored: Scored, examples: Examples, rows: NDArray[np.int64], rng: np.random.Generator) -> float:
    batch = drawn_batch(scored.objective, examples, rows, rng)
    return float(scored.objective.batch_loss(scored.model["encoder"], scored.model["head"], batch, rng))
