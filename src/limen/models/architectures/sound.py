"""A small residual encoder of sounds: convolutions along time over the bands of a logarithmic spectrum.

    x [bands, frames]  →  (x − mean)/std per band  →  stem  →  stage1  →  …  →  stageS  →  mean over time  ∈ R^d

stem    convolution of 5 frames from all bands to `width` channels, GroupNorm, ReLU
stage s residual block of two convolutions of 3 frames with width·2^{s−1} channels; every stage after the first halves
        the frames, so d = width·2^{S−1}. Frames are filled up at the end to a multiple of 2^{S−1} with the mean (0)
Position p of the last stage stands for frames p·2^{S−1}, …, (p+1)·2^{S−1} − 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from limen.models.architectures.base import Normalised, option_problems
from limen.models.architectures.conv import GROUP_CHANNELS
from limen.models.encoder import InputKind
from limen.records.errors import BadInput

LEAST: Mapping[str, int] = {"width": 1, "stages": 1, "bands": 1, "frames": 1}
"""Options and the least value of each."""


@dataclass(frozen=True, slots=True)
class SoundShape:
    """Everything that fixes the tensors of a `SoundEncoder`."""

    width: int = 32
    stages: int = 3
    bands: int = 40
    frames: int = 101

    @property
    def span(self) -> int:
        """Frames of one position of the last stage."""
        return int(2 ** (self.stages - 1))

    @property
    def positions(self) -> int:
        """Positions of the last stage.

        >>> SoundShape(stages=3, frames=101).positions
        26
        """
        return -(-self.frames // self.span)


def sound_encoder(options: Mapping[str, Any]) -> SoundEncoder:
    """The encoder of `{width, stages, bands, frames}`; options left out take their defaults.

    Raises BadInput with every problem of the options.

    >>> sound_encoder({"width": 8}).dimension()
    32
    """
    problems = option_problems(options, LEAST)
    if problems:
        raise BadInput(problems)
    return SoundEncoder(SoundShape(**options))


class SoundEncoder(Normalised):
    """The encoder above; its layers are `stem`, `stage1`, …"""

    takes: InputKind = "audio"

    def __init__(self, shape: SoundShape) -> None:
        super().__init__(shape.bands, axes=1)
        self.shape = shape
        self.stem = nn.Sequential(
            nn.Conv1d(shape.bands, shape.width, 5, padding=2, bias=False), _norm(shape.width), nn.ReLU()
        )
        for stage in range(1, shape.stages + 1):
            after = shape.width << (stage - 1)
            self.add_module(
                f"stage{stage}", _Residual(after // 2 if stage > 1 else after, after, 1 if stage == 1 else 2)
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read out, first to last."""
        return ("stem", *(f"stage{stage}" for stage in range(1, self.shape.stages + 1)))

    @property
    def architecture(self) -> dict[str, Any]:
        """The plain description from which `limen.models.architectures.registry.build` makes this encoder again."""
        return {"name": "sound", **asdict(self.shape)}

    def dimension(self, layer: str | None = None) -> int:
        """Columns of the representation of `layer` (default: the last)."""
        layer = self.known(layer)
        return int(self.shape.width if layer == "stem" else self.shape.width << (int(layer.removeprefix("stage")) - 1))

    def enter(self, inputs: Any) -> Any:
        """Normalised spectra, filled up to whole positions."""
        return functional.pad(self.normalise(inputs), (0, self.shape.positions * self.shape.span - self.shape.frames))

    def readout(self, x: Any, inputs: Any) -> Any:
        """The mean over time."""
        del inputs
        return x.mean(dim=2)

    @property
    def block(self) -> int:
        """Values of the frames of one position."""
        return int(self.shape.bands * self.shape.span)

    def positions(self, inputs: Any) -> Any:
        """Representations [n, P, d] of the positions of the last stage."""
        return self.through(inputs).transpose(1, 2)

    def blocks(self, inputs: Any) -> Any:
        """The normalised values [n, P, bands·span] of the frames of every position."""
        x = self.enter(inputs)
        return x.reshape(len(x), self.shape.bands, -1, self.shape.span).permute(0, 2, 1, 3).flatten(2)

    def present(self, inputs: Any) -> Any:
        """Positions whose frames are all there."""
        ends = torch.arange(1, self.shape.positions + 1) * self.shape.span
        return (ends <= self.shape.frames).expand(len(inputs), -1)

    def hide(self, inputs: Any, where: Any) -> Any:
        """The spectra with the mean of every band in the frames of the positions `where` [n, P]."""
        frames = where.repeat_interleave(self.shape.span, 1)[:, None, : self.shape.frames]
        return torch.where(frames, self.normalise.mean, inputs)


class _Residual(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """ReLU(shortcut(x) + norm(conv(ReLU(norm(conv(x)))))) along time."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = _norm(after)
        self.conv2 = nn.Conv1d(after, after, 3, padding=1, bias=False)
        self.norm2 = _norm(after)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else nn.Conv1d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: Any) -> Any:
        inner = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(self.shortcut(x) + inner)


def _norm(channels: int) -> Any:
    return nn.GroupNorm(channels // GROUP_CHANNELS if channels % GROUP_CHANNELS == 0 else 1, channels)
