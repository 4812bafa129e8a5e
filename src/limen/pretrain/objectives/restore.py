"""What it costs to restore blocks of an input from the representations of their positions.

values    mean over positions of ‖block − prediction‖²/v          of normalised values: their mean costs about 1
tokens    mean over positions of −ln softmax(scores)[token]       natural logarithm
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from limen.pretrain.objectives.heads import linear_head


def restoring_head(encoder: Any, rng: np.random.Generator) -> Any:
    """A linear map from the representation of a position to its block, weights of variance 1/dimension, bias 0."""
    return linear_head(encoder.dimension(), encoder.block, rng)


def restoring_loss(encoder: Any, predicted: Any, blocks: Any, where: Any) -> Any:
    """The cost over the positions `where` [n, P] of blocks predicted from their positions; 0 where there are none."""
    if not bool(where.any()):
        return predicted.sum() * 0
    if encoder.vocabulary is not None:
        return functional.cross_entropy(predicted[where], blocks[where])
    return (predicted[where] - blocks[where]).square().mean()


def hidden_positions(present: Any, share: float, rng: np.random.Generator) -> Any:
    """In each input ⌈share·m⌉ of its m positions, uniformly at random: boolean [n, P]."""
    held = present.numpy()
    # The product is rounded first: ⌈0.07·100⌉ is 7, not the 8 of 7.000000000000001.
    counts = np.ceil((share * held.sum(axis=1)).round(9)).astype(int)
    order = np.where(held, rng.random(held.shape), 2.0).argsort(axis=1).argsort(axis=1)
    return torch.from_numpy((order < counts[:, None]) & held)
