"""What all built-in image encoders share: preprocessing saved with the weights, named layers, weights drawn from a key.

    x ∈ [0, 1]^{c×h×w}  →  (x − mean)/std  →  layer 1  →  …  →  layer L;   any layer can be read out as one row in R^d

Weights are drawn with mean 0 and variance gain/fan-in (He et al. 2015: gain 2 keeps the second moment through ReLU);
norms start at scale 1 and shift 0, biases at 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from limen.records.errors import BadInput, Problem


class ImageEncoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Images [n, c, h, w] in [0, 1] → representations [n, d] of a named layer; a layer is the submodule of its name."""

    gain = 2.0
    """Variance of a weight times its fan-in."""
    channels_last = False
    """Whether training is faster on batches whose channels lie together in memory; their values are the same."""
    shape: Any
    """What fixes the tensors; has `in_channels` and `image_size`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalise = _Normalise(channels)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read out, first to last."""
        raise NotImplementedError

    @property
    def architecture(self) -> dict[str, Any]:
        """The plain description from which `limen.models.architectures.registry.build` makes this encoder again."""
        raise NotImplementedError

    def dimension(self, layer: str | None = None) -> int:
        """Columns of the representation of `layer` (default: the last)."""
        raise NotImplementedError

    def enter(self, images: Any) -> Any:
        """Normalised images as the first layer takes them."""
        return images

    def readout(self, x: Any) -> Any:
        """What a layer gives, as one row per image: maps are averaged over their positions."""
        return x.mean(dim=(2, 3))

    def forward(self, images: Any, layer: str | None = None) -> Any:
        """Representation [n, d] of images [n, c, h, w] in [0, 1] at `layer` (default: the last).

        Raises BadInput for a layer this encoder does not have.
        """
        layer = self.known(layer)
        x = self.enter(self.normalise(images))
        for name in self.layers:
            x = self.get_submodule(name)(x)
            if name == layer:
                break
        return self.readout(x)

    def known(self, layer: str | None) -> str:
        """The layer itself, the last for None. Raises BadInput for one that is not there."""
        if layer is None:
            return self.layers[-1]
        if layer not in self.layers:
            what = f"expected one of the layers {', '.join(self.layers)}, got {layer!r}"
            raise BadInput(Problem("layer", what, fix=f"NAME:{self.layers[-1]} is the last one"))
        return layer

    def set_normalisation(self, mean: Any, std: Any) -> None:
        """Fix the per-channel mean and standard deviation of the images; they are saved with the weights."""
        self.normalise.mean.copy_(torch.as_tensor(mean).reshape(-1, 1, 1))
        self.normalise.std.copy_(torch.as_tensor(std).reshape(-1, 1, 1))

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw all weights from `rng`."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    fan_in = math.prod(module.weight.shape[1:])
                    draw = rng.standard_normal(tuple(module.weight.shape)) * math.sqrt(self.gain / fan_in)
                    module.weight.copy_(torch.from_numpy(draw))
                    if module.bias is not None:
                        module.bias.zero_()
                elif isinstance(module, nn.GroupNorm | nn.BatchNorm2d):
                    module.weight.fill_(1.0)
                    module.bias.zero_()

    def settle(self, images: Any) -> None:
        """Take the running statistics from these images [n, c, h, w], where the encoder has any.

        Without it a fresh encoder is read out with mean 0 and variance 1, which are not those of its activations.
        """
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        if not norms:
            return
        usual, training = [norm.momentum for norm in norms], self.training
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            self.train()(images)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.zero_()
        self.train(training)


class _Normalise(nn.Module):  # type: ignore[misc]
    """(x − mean)/std per channel; both are buffers, so that weights and preprocessing cannot be separated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, images: Any) -> Any:
        return (images - self.mean) / self.std


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
