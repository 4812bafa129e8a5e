"""Heads: small modules between what an encoder gives and what an objective compares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn


def linear_head(dimension: int, outputs: int, rng: np.random.Generator) -> Any:
    """A linear map with weights of variance 1/dimension and bias 0."""
    head = nn.Linear(dimension, outputs)
    draw_linear(head, 1.0, rng)
    return head


def projection_head(dimension: int, outputs: int, rng: np.random.Generator) -> Any:
    """Linear → ReLU → linear, the hidden layer as wide as the representation; weights of variance 2/fan-in."""
    head = nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(), nn.Linear(dimension, outputs))
    for layer in (head[0], head[2]):
        draw_linear(layer, 2.0, rng)
    return head


def draw_linear(layer: Any, gain: float, rng: np.random.Generator) -> None:
    """Draw a linear layer: variance gain/fan-in, bias 0."""
    with torch.no_grad():
        draw = rng.standard_normal(tuple(layer.weight.shape)) * math.sqrt(gain / layer.in_features)
        layer.weight.copy_(torch.from_numpy(draw))
        layer.bias.zero_()
