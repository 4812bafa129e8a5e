"""A small vision transformer: an image as a row of patches.

    x  →  (x − mean)/std  →  patches of p×p pixels, linear to R^width, + place  →  block1  →  …  →  blockL  →  norm
       →  mean over the patches  ∈ R^width

No class token: the mean over patches reads out as well and every layer is read out alike. Layers: `patches`, `block1`,
…; the norm belongs to the last one.

Source: Dosovitskiy et al. 2021 (arXiv:2010.11929); mean instead of class token: Beyer, Zhai, Kolesnikov 2022
(arXiv:2205.01580).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from limen.models.architectures.attention import LEAST as LEAST_BLOCK
from limen.models.architectures.attention import Block, draw, head_problems, shrink_shortcuts
from limen.models.architectures.base import ImageEncoder, option_problems, whole
from limen.records.errors import BadInput, Problem

LEAST: Mapping[str, int] = {**LEAST_BLOCK, "patch": 1, "in_channels": 1, "image_size": 1}
SCALE = 0.1
"""Standard deviation of the places."""


@dataclass(frozen=True, slots=True)
class VitShape:
    """Everything that fixes the tensors of a `Vit`."""

    width: int = 96
    depth: int = 4
    heads: int = 4
    patch: int = 4
    in_channels: int = 3
    image_size: int = 32


def vit(options: Mapping[str, Any]) -> Vit:
    """The encoder of `{width, depth, heads, patch, in_channels, image_size}`; options left out take their defaults.

    Raises BadInput with every problem of the options.

    >>> encoder = vit({"width": 32, "depth": 2, "patch": 2, "in_channels": 1, "image_size": 8})
    >>> encoder.layers, encoder.side
    (('patches', 'block1', 'block2'), 4)
    """
    problems = [*option_problems(options, LEAST), *head_problems(options, 96, 4)]
    patch, size = options.get("patch", 4), options.get("image_size", 32)
    if whole(patch, 1) and whole(size, 1) and size % patch:
        what = f"expected a patch that divides the {size} pixels of an image's side, got {patch}"
        problems.append(Problem("architecture.patch", what))
    if problems:
        raise BadInput(problems)
    return Vit(VitShape(**options))


class Vit(ImageEncoder):
    """The encoder above."""

    gain = 1.0

    def __init__(self, shape: VitShape) -> None:
        super().__init__(shape.in_channels)
        self.shape, self.side = shape, shape.image_size // shape.patch
        self.patches = _Patches(shape)
        for number in range(1, shape.depth + 1):
            self.add_module(f"block{number}", Block(shape.width, shape.heads))
        self.norm = nn.LayerNorm(shape.width)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read out, first to last."""
        return ("patches", *(f"block{number}" for number in range(1, self.shape.depth + 1)))

    @property
    def architecture(self) -> dict[str, Any]:
        """The plain description from which `limen.models.architectures.registry.build` makes this encoder again."""
        return {"name": "vit", **asdict(self.shape)}

    def dimension(self, layer: str | None = None) -> int:
        """Columns of the representation of `layer`: all layers have the same."""
        self.known(layer)
        return int(self.shape.width)

    def through(self, inputs: Any, layer: str | None = None) -> Any:
        """What `layer` gives for every patch, [n, P, width]. Raises BadInput for a layer that is not there."""
        layer = self.known(layer)
        x = super().through(inputs, layer)
        return self.norm(x) if layer == self.layers[-1] else x

    def readout(self, x: Any, inputs: Any) -> Any:
        """The mean over the patches."""
        del inputs
        return x.mean(dim=1)

    def positions(self, inputs: Any) -> Any:
        """Representations [n, P, width] of the patches, row by row."""
        return self.through(inputs)

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw all weights from `rng`."""
        super().initialise(rng)
        draw(self.patches.place, SCALE, rng)
        shrink_shortcuts([self.get_submodule(name) for name in self.layers[1:]])


class _Patches(nn.Module):  # type: ignore[misc]
    """Normalised images [n, c, h, w] → [n, P, width]: a linear map of every patch, and its place."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.patch = shape.patch
        self.linear = nn.Linear(shape.in_channels * shape.patch**2, shape.width)
        self.place = nn.Parameter(torch.zeros((shape.image_size // shape.patch) ** 2, shape.width))

    def forward(self, images: Any) -> Any:
        patches = functional.pixel_unshuffle(images, self.patch).flatten(2).transpose(1, 2)
        return self.linear(patches) + self.place
