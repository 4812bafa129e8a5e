"""What encoders of images and spectra share: preprocessing that is saved with the weights, patches.

x ∈ [0, 1]^{c×h×w}  →  (x − mean)/std per channel  →  layer 1  →  …  →  layer L
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from limen.models.architectures.module import EncoderModule
from limen.records.errors import BadInput, Problem


class Normalised(EncoderModule):
    """An encoder of [n, c, …] values, normalised per channel before the first layer; maps are averaged in the end."""

    def __init__(self, channels: int, axes: int = 2) -> None:
        super().__init__()
        self.normalise = _Normalise(channels, axes)

    def enter(self, inputs: Any) -> Any:
        """(x − mean)/std of every channel."""
        return self.normalise(inputs)

    def readout(self, x: Any, inputs: Any) -> Any:
        """What a layer gives, as one row per input: maps are averaged over their positions."""
        del inputs
        return x.mean(dim=(2, 3))

    def set_normalisation(self, mean: Any, std: Any) -> None:
        """Fix the mean and standard deviation of every channel; they are saved with the weights."""
        self.normalise.mean.copy_(torch.as_tensor(mean).reshape_as(self.normalise.mean))
        self.normalise.std.copy_(torch.as_tensor(std).reshape_as(self.normalise.std))


class ImageEncoder(Normalised):
    """Images [n, c, h, w] in [0, 1] → representations [n, d]; the last layer is a map [n, d, P^½, P^½] of patches."""

    shape: Any
    """What fixes the tensors; has `in_channels` and `image_size`."""
    side: int
    """Positions a side of the last layer."""

    @property
    def block(self) -> int:
        """Values of one patch. Raises BadInput for images that cannot be cut into as many patches."""
        return int(self.shape.in_channels * self.patch**2)

    @property
    def patch(self) -> int:
        """Pixels a side of one patch. Raises BadInput where the positions do not share the image evenly."""
        size = int(self.shape.image_size)
        if size % self.side:
            what = f"expected images whose side is a multiple of {self.side} positions, got {size} pixels"
            raise BadInput(Problem("architecture", what, fix="resize the images, for instance to 32 pixels a side"))
        return size // self.side

    def positions(self, inputs: Any) -> Any:
        """Representations [n, P, d] of the patches, row by row."""
        return self.through(inputs).flatten(2).transpose(1, 2)

    def blocks(self, inputs: Any) -> Any:
        """The normalised values [n, P, v] of the patches."""
        return functional.pixel_unshuffle(self.normalise(inputs), self.patch).flatten(2).transpose(1, 2)

    def present(self, inputs: Any) -> Any:
        """An image fills all its positions."""
        return torch.ones(len(inputs), self.side**2, dtype=torch.bool)

    def hide(self, inputs: Any, where: Any) -> Any:
        """The images with the mean of every channel in the patches `where` [n, P]."""
        patch, pixels = self.patch, where.reshape(-1, 1, self.side, self.side)
        pixels = pixels.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
        return torch.where(pixels, self.normalise.mean, inputs)


class _Normalise(nn.Module):  # type: ignore[misc]
    """(x − mean)/std per channel; both are buffers, so that weights and preprocessing cannot be separated."""

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, *(1,) * axes))
        self.register_buffer("std", torch.ones(channels, *(1,) * axes))

    def forward(self, inputs: Any) -> Any:
        return (inputs - self.mean) / self.std


def halved(size: int, times: int) -> int:
    """Positions a side after so many convolutions of stride 2 that keep the border.

    >>> halved(32, 3), halved(30, 2)
    (4, 8)
    """
    for _ in range(times):
        size = (size + 1) // 2
    return size


def option_problems(options: Mapping[str, Any], least: Mapping[str, int], other: tuple[str, ...] = ()) -> list[Problem]:
    """Problems of options that are whole numbers of at least `least[key]`; options of `other` names pass unread."""
    problems = []
    for key, value in options.items():
        if key in other:
            continue
        if key not in least:
            what = f"expected the options {', '.join((*least, *other))}, got {key!r}"
            problems.append(
                Problem(f"architecture.{key}", what, "a misspelt key, or an option of another architecture")
            )
        elif not whole(value, least[key]):
            what = f"expected a whole number of at least {least[key]}, got {value!r}"
            problems.append(Problem(f"architecture.{key}", what))
    return problems


def whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number of at least `least`.

    >>> whole(2, 1), whole(0, 1), whole(True, 1), whole(2.0, 1)
    (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
