"""A small residual convolutional encoder for 8×8 to 64×64 images, whose embedding of an example depends on it alone.

    x ∈ [0, 1]^{c×h×w}  →  (x − mean)/std  →  stem  →  stage1 → … → stageS  →  mean over positions  ∈ R^d

stem    3×3 convolution (stride `stem_stride`) to `width` channels, GroupNorm, ReLU
stage s residual block of two 3×3 convolutions with `width`·2^{s−1} channels; every stage after the first halves the
        image, as long as it keeps at least 4×4 positions; so d = width·2^{S−1}

GroupNorm (Wu, He 2018) in place of batch statistics: a row's embedding is the same in any batch, so features can be
cached row by row. Blocks: He et al. 2016, without their final 2-dimensional pooling stages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from limen.models.architectures.base import ImageEncoder, halved, option_problems
from limen.records.errors import BadInput

GROUP_CHANNELS = 8
SMALLEST = 4
"""No stage makes the image smaller than this many positions a side."""
LEAST: Mapping[str, int] = {"width": 1, "in_channels": 1, "image_size": SMALLEST, "stem_stride": 1}
"""Options and the least value of each."""


@dataclass(frozen=True, slots=True)
class ConvShape:
    """Everything that fixes the tensors of a `ConvEncoder`."""

    width: int = 16
    in_channels: int = 3
    image_size: int = 32
    stem_stride: int = 1

    @property
    def stages(self) -> int:
        """Residual stages: one, and one more for each halving down to 4×4 positions.

        >>> ConvShape(image_size=8).stages, ConvShape(image_size=32).stages, ConvShape(stem_stride=2).stages
        (2, 4, 3)
        """
        return 1 + int(math.log2(max(1, self.image_size // self.stem_stride // SMALLEST)))

    def channels(self, stage: int) -> int:
        """Channels after stage 1, …, S."""
        return self.width << (stage - 1)


def conv_encoder(options: Mapping[str, Any]) -> ConvEncoder:
    """The encoder of `{width, in_channels, image_size, stem_stride}`; options left out take their defaults.

    Raises BadInput with every problem of the options.

    >>> conv_encoder({"width": 8, "in_channels": 1, "image_size": 8}).dimension()
    16
    """
    problems = option_problems(options, LEAST)
    if problems:
        raise BadInput(problems)
    return ConvEncoder(ConvShape(**options))


class ConvEncoder(ImageEncoder):
    """The encoder above; its layers are `stem`, `stage1`, …"""

    def __init__(self, shape: ConvShape) -> None:
        super().__init__(shape.in_channels)
        self.shape = shape
        self.side = halved(-(-shape.image_size // shape.stem_stride), shape.stages - 1)
        self.stem = nn.Sequential(
            nn.Conv2d(shape.in_channels, shape.width, 3, stride=shape.stem_stride, padding=1, bias=False),
            _norm(shape.width),
            nn.ReLU(),
        )
        for stage in range(1, shape.stages + 1):
            before = shape.width if stage == 1 else shape.channels(stage - 1)
            self.add_module(f"stage{stage}", _Residual(before, shape.channels(stage), stride=1 if stage == 1 else 2))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read out, first to last."""
        return ("stem", *(f"stage{s}" for s in range(1, self.shape.stages + 1)))

    @property
    def architecture(self) -> dict[str, Any]:
        """The plain description from which `limen.models.architectures.registry.build` makes this encoder again."""
        s = self.shape
        return {
            "name": "conv",
            "width": s.width,
            "in_channels": s.in_channels,
            "image_size": s.image_size,
            "stem_stride": s.stem_stride,
        }

    def dimension(self, layer: str | None = None) -> int:
        """Columns of the representation of `layer` (default: the last)."""
        layer = self.known(layer)
        return int(self.shape.width if layer == "stem" else self.shape.channels(int(layer.removeprefix("stage"))))


class _Residual(nn.Module):  # type: ignore[misc]
    """ReLU(shortcut(x) + norm(conv(ReLU(norm(conv(x)))))); the shortcut is a 1×1 convolution where shapes differ."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = _norm(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = _norm(after)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: Any) -> Any:
        inner = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(self.shortcut(x) + inner)


def _norm(channels: int) -> Any:
    # Groups of 8 channels where the width is a multiple of 8, else one group.
    return nn.GroupNorm(channels // GROUP_CHANNELS if channels % GROUP_CHANNELS == 0 else 1, channels)
