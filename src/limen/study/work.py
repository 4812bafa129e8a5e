"""What an architecture holds and does, before it is built: weights, multiplications and columns, from shapes alone.

    transformer, vit   L blocks of width w on P positions      L·P·(12 w² + 2 P w) multiplications, 12 L w² weights
    conv               S stages of width w on s×s              18 S w² s²
    resnet18           132 w² s²                               2730 w² weights
    sound              Σ_s frames_s·(3 w_{s−1} w_s + 3 w_s²) behind a stem of 5 frames

Objectives that restore an input add, for each of its positions, w·v multiplications for the v numbers that predict it:
the whole vocabulary on texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from limen.study.architectures import (
    Architecture,
    ConvArchitecture,
    MlpArchitecture,
    ResNet18Architecture,
    SoundArchitecture,
    TransformerArchitecture,
    VitArchitecture,
)
from limen.study.encoders import Pretrain

HEAD = 10
"""Classes of a typical linear head."""
HOP = 0.010
"""Seconds between two frames of a spectrum."""
MAPS = 20
"""Numbers that a block of a transformer keeps for each of its weights' columns, for the way back."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One input as an encoder takes it: pixels of an image, tokens of a text, or frames of a spectrum."""

    positions: int
    """Side of an image, tokens, frames."""
    channels: int
    """Of an image; tokens of the vocabulary; bands."""
    image: bool = False

    @property
    def values(self) -> int:
        """Numbers that a view is made of."""
        return self.positions**2 * self.channels if self.image else self.positions * self.channels


def image_shape(side: int) -> Shape:
    """The usual images of a side: grey ones of 8 pixels are the bundled digits, else colours are assumed."""
    return Shape(side, 1 if side == 8 else 3, True)


def image_side(table: str) -> int:
    """Side of the images of a table: 8 for the bundled digits, else 32 is assumed."""
    return 8 if table.startswith("digits") else 32


def shape_of(run: Pretrain) -> Shape:
    """What the encoder of a run takes.

    >>> shape_of(Pretrain(data="a.parquet", input="audio", steps=9))
    Shape(positions=101, channels=40, image=False)
    """
    if run.input == "text":
        return Shape(run.tokens.length, run.tokens.vocabulary)
    if run.input == "audio":
        return Shape(1 + round(run.sound.seconds / HOP), run.sound.bands)
    return image_shape(image_side(run.data))


def width_of(architecture: Architecture, shape: Shape) -> int:
    """Columns of the last layer.

    >>> width_of(ResNet18Architecture(width=16), image_shape(32)), width_of(ConvArchitecture(), image_shape(8))
    (128, 32)
    """
    if isinstance(architecture, ConvArchitecture):
        return architecture.width << (_stages(architecture, shape.positions) - 1)
    if isinstance(architecture, ResNet18Architecture):
        return 8 * architecture.width
    if isinstance(architecture, VitArchitecture | TransformerArchitecture):
        return architecture.width
    if isinstance(architecture, SoundArchitecture):
        return architecture.width << (architecture.stages - 1)
    return architecture.hidden[-1] if isinstance(architecture, MlpArchitecture) else shape.values


def multiplications(architecture: Architecture, shape: Shape) -> float:
    """Of one input on its way to the last layer."""
    if isinstance(architecture, ConvArchitecture):
        inner = shape.positions // architecture.stem_stride
        return 18 * _stages(architecture, shape.positions) * architecture.width**2 * inner**2
    if isinstance(architecture, ResNet18Architecture):
        return 132 * architecture.width**2 * shape.positions**2
    if isinstance(architecture, VitArchitecture | TransformerArchitecture):
        width, count = architecture.width, _positions(architecture, shape)
        return architecture.depth * count * (12 * width**2 + 2 * count * width)
    if isinstance(architecture, SoundArchitecture):
        stages = _sound_stages(architecture)
        frames = [shape.positions / 2**stage for stage in range(len(stages))]
        stem = 5 * shape.channels * architecture.width * shape.positions
        return float(stem + sum(each * count for each, count in zip(stages, frames, strict=True)))
    return weights(architecture, shape)


def restoring(architecture: Architecture, shape: Shape) -> float:
    """Multiplications of the head that restores one input from its positions.

    >>> restoring(TransformerArchitecture(width=32), Shape(64, 1000))
    2048000
    """
    text = isinstance(architecture, TransformerArchitecture)
    restored = shape.positions * shape.channels if text else shape.values
    return restored * width_of(architecture, shape)


def weights(architecture: Architecture, shape: Shape) -> int:
    """Numbers in all tensors of the encoder."""
    if isinstance(architecture, ConvArchitecture):
        widths = [architecture.width << stage for stage in range(_stages(architecture, shape.positions))]
        return sum(19 * width**2 for width in widths) + 27 * architecture.width
    if isinstance(architecture, ResNet18Architecture):
        return 2730 * architecture.width**2
    if isinstance(architecture, VitArchitecture | TransformerArchitecture):
        width = architecture.width
        text = isinstance(architecture, TransformerArchitecture)
        entry = shape.channels * (1 if text else getattr(architecture, "patch", 1) ** 2)
        return 12 * architecture.depth * width**2 + width * (entry + _positions(architecture, shape))
    if isinstance(architecture, SoundArchitecture):
        return 5 * shape.channels * architecture.width + sum(_sound_stages(architecture))
    hidden = architecture.hidden if isinstance(architecture, MlpArchitecture) else ()
    widths = [shape.values, *hidden, HEAD]
    return sum((before + 1) * after for before, after in pairwise(widths))


def maps(architecture: Architecture, shape: Shape) -> int:
    """Numbers in the largest map of an input; of transformers, in ten of all maps that are kept for the way back."""
    if isinstance(architecture, ConvArchitecture | ResNet18Architecture):
        return architecture.width * shape.positions**2
    if isinstance(architecture, VitArchitecture | TransformerArchitecture):
        return MAPS * architecture.depth * architecture.width * _positions(architecture, shape) // 10
    if isinstance(architecture, SoundArchitecture):
        return architecture.width * shape.positions
    hidden = architecture.hidden if isinstance(architecture, MlpArchitecture) else (0,)
    return max(shape.positions**2 * 3, *hidden)


def _stages(architecture: ConvArchitecture, side: int) -> int:
    return 1 + int(math.log2(max(1, side // architecture.stem_stride // 4)))


def _positions(architecture: VitArchitecture | TransformerArchitecture, shape: Shape) -> int:
    """Tokens, or patches."""
    return max(1, shape.positions // architecture.patch) ** 2 if architecture.name == "vit" else shape.positions


def _sound_stages(architecture: SoundArchitecture) -> list[int]:
    """Weights of every stage, each used once a frame."""
    widths = [architecture.width, *(architecture.width << stage for stage in range(architecture.stages))]
    return [3 * before * after + 3 * after**2 + before * after for before, after in pairwise(widths)]
