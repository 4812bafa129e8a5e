"""Training and held-out examples: uniform over distinct inputs.

Identical inputs stay on one side, so that nothing held out was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of the training and of the held-out examples, ascending."""

    training: NDArray[np.int64]
    heldout: NDArray[np.int64]


def split_examples(digests: Sequence[bytes], heldout: float, seed: int) -> Split:
    """Hold out the share `heldout` of the examples; equal digests (16 bytes each) stay together.

    >>> split = split_examples([bytes([i] * 16) for i in range(100)], 0.25, seed=0)
    >>> len(split.training), len(split.heldout)
    (75, 25)
    """
    _, group = np.unique(np.array(digests, dtype="V16").view("u8").reshape(-1, 2), axis=0, return_inverse=True)
    # Distinct inputs in order of first appearance, so that the split does not depend on hash order.
    _, first = np.unique(group, return_index=True)
    appearance = np.argsort(np.argsort(first))[group.reshape(-1)]
    place = stream("pretrain/heldout", seed, len(first)).permutation(len(first))[appearance]
    order = np.argsort(place, kind="stable")
    count = round(heldout * len(digests))
    held = place <= place[order[count - 1]] if count else np.zeros(len(digests), dtype=bool)
    return Split(np.flatnonzero(~held).astype(np.int64), np.flatnonzero(held).astype(np.int64))
