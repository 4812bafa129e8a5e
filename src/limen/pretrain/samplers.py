"""Which examples make up the batch of each step: four sampling laws, each a pure function of (seed, step).

N examples, batches of B, M = ⌊N/B⌋ batches an epoch:

reshuffle    step k is batch k mod M of a fresh uniform permutation per epoch; within an epoch no example recurs
same-order   the same with one permutation for all epochs (the last N − M·B examples are never used)
iid          every batch is an independent uniformly random subset of B distinct examples; noise covariance of a batch
             mean (Σ/B)(N−B)/(N−1)
replacement  every example of every batch is an independent uniform draw; covariance Σ/B

Under reshuffling and same-order the batches of an epoch are anticorrelated: their noises sum to 0 when B divides N.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream

Sampling = Literal["reshuffle", "iid", "replacement", "same-order"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)


@dataclass(frozen=True, slots=True)
class Sampler:
    """The batches of one run.

    >>> sampler = Sampler("reshuffle", examples=6, batch_size=2, seed=0)
    >>> sorted(int(i) for batch in sampler.batches(0, 3) for i in batch)
    [0, 1, 2, 3, 4, 5]
    """

    sampling: Sampling
    examples: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= self.examples:
            raise ValueError(f"batch_size: expected 1 to {self.examples} (the examples), got {self.batch_size}")
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"sampling: expected one of {', '.join(SAMPLINGS)}, got {self.sampling!r}")

    @property
    def epoch_batches(self) -> int:
        """M = ⌊N/B⌋."""
        return self.examples // self.batch_size

    def batches(self, start: int, stop: int) -> Iterator[NDArray[np.int64]]:
        """Example indices [B] of the steps start, …, stop − 1; the same whatever `start` is."""
        epoch, order = -1, np.zeros(0, dtype=np.int64)
        for step in range(start, stop):
            if self.sampling == "iid":
                rng = stream("pretrain/batch", "iid", self.seed, step)
                yield rng.choice(self.examples, self.batch_size, replace=False, shuffle=False).astype(np.int64)
            elif self.sampling == "replacement":
                rng = stream("pretrain/batch", "replacement", self.seed, step)
                yield rng.integers(self.examples, size=self.batch_size, dtype=np.int64)
            else:
                now = step // self.epoch_batches if self.sampling == "reshuffle" else 0
                if now != epoch:
                    epoch = now
                    order = stream("pretrain/epoch", self.seed, epoch).permutation(self.examples).astype(np.int64)
                first = step % self.epoch_batches * self.batch_size
                yield order[first : first + self.batch_size]
