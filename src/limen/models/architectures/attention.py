"""The block of a transformer: self-attention and a perceptron, each behind a norm and beside a shortcut.

    x ← x + out(softmax(QKᵀ/√d_h + M) V),   Q, K, V = heads of norm(x);        x ← x + W₂ gelu(W₁ norm(x))

M is 0 where position i may look at position j and −∞ elsewhere: at all positions that hold something, or (causal) at
those up to itself. Weights have variance 1/fan-in; those that end a shortcut, out and W₂, are divided by 2·depth
besides, so that the second moment of x does not grow with depth.

Source: Vaswani et al. 2017 (arXiv:1706.03762); norms first: Xiong et al. 2020 (arXiv:2002.04745); the scaling: Radford
et al. 2019 (GPT-2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from limen.records.errors import Problem

MLP = 4
"""Width of the perceptron's hidden layer, in widths of the block."""
LEAST: Mapping[str, int] = {"width": 1, "depth": 1, "heads": 1}
"""Options of every transformer and the least value of each."""


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """One block on [n, P, width]; `allowed` [n or 1, 1, P, P] says which positions see which, None: all see all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, MLP * width), nn.Linear(MLP * width, width)

    def forward(self, x: Any, allowed: Any = None) -> Any:
        """The next [n, P, width]."""
        n, positions, width = x.shape
        heads = self.qkv(self.norm1(x)).reshape(n, positions, 3, self.heads, width // self.heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        x = x + self.out(seen.transpose(1, 2).reshape(n, positions, width))
        return x + self.outer(functional.gelu(self.inner(self.norm2(x))))


def shrink_shortcuts(blocks: list[Block]) -> None:
    """Divide the weights that end a shortcut by √(2·depth)."""
    with torch.no_grad():
        for block in blocks:
            for layer in (block.out, block.outer):
                layer.weight.div_(math.sqrt(2 * len(blocks)))


def draw(parameter: Any, scale: float, rng: np.random.Generator) -> None:
    """Draw a tensor from N(0, scale²)."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape)) * scale))


def head_problems(options: Mapping[str, Any], width: int, heads: int) -> list[Problem]:
    """Problems of a width that cannot be shared among the heads.

    >>> [problem.what for problem in head_problems({"heads": 3}, 64, 3)]
    ['expected a number of heads that divides width = 64, got 3']
    """
    width, heads = options.get("width", width), options.get("heads", heads)
    if not (isinstance(width, int) and isinstance(heads, int)) or heads < 1 or width % heads == 0:
        return []
    return [Problem("architecture.heads", f"expected a number of heads that divides width = {width}, got {heads}")]
