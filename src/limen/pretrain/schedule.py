"""The learning rate of every step, as a factor of the optimizer's learning rate.

K steps, W steps of warm-up, k = updates already made (0, …, K−1):

constant   1
cosine     ½(1 + cos(π (k − W)/(K − W)))                                   Loshchilov, Hutter 2017 (one cycle, to 0)
warm-up    the first W updates use (k + 1)/W instead, whatever follows     Goyal et al. 2017
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["constant", "cosine"]
SHAPES: tuple[str, ...] = get_args(Shape)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A shape over the run and a linear warm-up.

    >>> [round(Schedule("cosine").factor(k, 4), 3) for k in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    >>> [Schedule("constant", warmup=2).factor(k, 4) for k in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    """

    shape: Shape = "constant"
    warmup: int = 0

    def factor(self, done: int, steps: int) -> float:
        """Factor of the learning rate for the next update when `done` of `steps` updates were made."""
        if done < self.warmup:
            return (done + 1) / self.warmup
        if self.shape == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (steps - self.warmup)))
