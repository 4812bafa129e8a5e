"""ResNet-18 for small images: a 3×3 stem at full size, no max-pool, batch statistics.

    x  →  stem  →  stage1  →  stage2  →  stage3  →  stage4  →  mean over positions  ∈ R^{8·width}

stem    3×3 convolution to `width` channels, BatchNorm, ReLU
stage s two residual blocks of two 3×3 convolutions with width·2^{s−1} channels; every stage after the first halves the
        image in its first block, whose shortcut is then a 1×1 convolution with BatchNorm

Width 64, 3 channels and a linear head of 10 classes: 11,173,962 parameters. Other widths w: about (w/64)² of them.

BatchNorm (Ioffe, Szegedy 2015) makes two functions of one set of weights. In training an image's representation depends
on its batch; read out, it uses the running means of the statistics (factor 0.9 an update, begun with those of training
images), so that a row depends on its image alone. Pretraining losses of checkpoints are those of the second function.

Source: He, Zhang, Ren, Sun 2016 (arXiv:1512.03385), table 1, in the form usual for CIFAR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from limen.models.architectures.base import ImageEncoder, halved, option_problems
from limen.records.errors import BadInput

STAGES = 4
LEAST: Mapping[str, int] = {"width": 1, "in_channels": 1, "image_size": 8}
"""Options and the least value of each."""


@dataclass(frozen=True, slots=True)
class ResNetShape:
    """Everything that fixes the tensors of a `ResNet18`."""

    width: int = 64
    in_channels: int = 3
    image_size: int = 32

    def channels(self, stage: int) -> int:
        """Channels after stage 1, …, 4."""
        return self.width << (stage - 1)


def resnet18(options: Mapping[str, Any]) -> ResNet18:
    """The encoder of `{width, in_channels, image_size}`; options left out take their defaults.

    Raises BadInput with every problem of the options.

    >>> sum(p.numel() for p in resnet18({"width": 64}).parameters()) + 512 * 10 + 10
    11173962
    """
    problems = option_problems(options, LEAST)
    if problems:
        raise BadInput(problems)
    return ResNet18(ResNetShape(**options))


class ResNet18(ImageEncoder):
    """The encoder above; its layers are `stem` and `stage1` to `stage4`."""

    channels_last = True

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__(shape.in_channels)
        self.shape = shape
        self.side = halved(shape.image_size, STAGES - 1)
        self.stem = nn.Sequential(
            nn.Conv2d(shape.in_channels, shape.width, 3, padding=1, bias=False), nn.BatchNorm2d(shape.width), nn.ReLU()
        )
        for stage in range(1, STAGES + 1):
            after = shape.channels(stage)
            before, stride = (shape.width, 1) if stage == 1 else (shape.channels(stage - 1), 2)
            self.add_module(f"stage{stage}", nn.Sequential(_Block(before, after, stride), _Block(after, after, 1)))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read out, first to last."""
        return ("stem", *(f"stage{s}" for s in range(1, STAGES + 1)))

    @property
    def architecture(self) -> dict[str, Any]:
        """The plain description from which `limen.models.architectures.registry.build` makes this encoder again."""
        return {"name": "resnet18", **asdict(self.shape)}

    def dimension(self, layer: str | None = None) -> int:
        """Columns of the representation of `layer` (default: the last)."""
        layer = self.known(layer)
        return int(self.shape.width if layer == "stem" else self.shape.channels(int(layer.removeprefix("stage"))))


class _Block(nn.Module):  # type: ignore[misc]
    """ReLU(shortcut(x) + norm(conv(ReLU(norm(conv(x))))))."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Any) -> Any:
        inner = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(self.shortcut(x) + inner)
