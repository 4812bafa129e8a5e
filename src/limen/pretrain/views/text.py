"""Random views of a text: what an encoder pretrained by comparing views learns to ignore.

One view of tokens [BOS] t_1 … t_m, every draw independent per text:

crop    a run of ⌈U(crop, 1)·m⌉ tokens at a uniform place
drop    every token that is left goes with probability `drop`; where all would go, one uniform token stays
mask    every token that is left becomes [MASK] with probability `mask`

What is left moves to the front; [BOS] always stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from limen.models.preprocessing.tokens import BOS, MASK, PAD
from limen.pretrain.views.strengths import TextViews


def text_view(tokens: Any, views: TextViews, rng: np.random.Generator) -> Any:
    """One random view of each text: tensor [n, T] → tensor [n, T]; all randomness is from `rng`."""
    given = tokens.numpy()
    n, length = given.shape
    out = np.full_like(given, PAD)
    out[:, 0] = BOS
    counts = (given[:, 1:] != PAD).sum(axis=1)
    sizes = np.ceil(rng.uniform(views.crop, 1.0, n) * counts).astype(int)
    starts = np.floor(rng.random(n) * (counts - sizes + 1)).astype(int)
    gone, one, masked = rng.random((n, length - 1)) < views.drop, rng.random(n), rng.random((n, length - 1))
    for row in range(n):
        window = given[row, 1 + starts[row] : 1 + starts[row] + sizes[row]]
        left = window[~gone[row, : len(window)]]
        if not len(left) and len(window):
            at = int(one[row] * len(window))
            left = window[at : at + 1]
        out[row, 1 : 1 + len(left)] = np.where(masked[row, : len(left)] < views.mask, MASK, left)
    return torch.from_numpy(out)
