"""What all built-in encoders share, whatever they take: named layers, positions, weights drawn from a key.

    input x  →  enter  →  layer 1  →  …  →  layer L  →  readout  ∈ R^d        any layer can be read out as one row

x is one tensor: images [n, c, h, w] in [0, 1], spectra of sounds [n, bands, frames], or tokens [n, T] of a text.

Objectives that restore a damaged input see more of an encoder than its row. Its last layer has P positions, each of
which stands for one block of the input (a patch, some frames, a token):

    positions(x)    [n, P, d]     the representation of every position
    blocks(x)       [n, P, v]     what the positions stand for: v normalised values; of a text its tokens [n, P]
    present(x)      [n, P]        False where a position holds nothing (beyond the end of a text)
    hide(x, where)  like x        the input without the blocks of the positions `where` [n, P]

Weights are drawn with mean 0 and variance gain/fan-in (He et al. 2015: gain 2 keeps the second moment through ReLU);
norms start at scale 1 and shift 0, biases at 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from limen.models.encoder import InputKind
from limen.records.errors import BadInput, Problem


class EncoderModule(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Inputs as one tensor → representations [n, d] of a named layer; a layer is the submodule of its name."""

    takes: InputKind = "image"
    gain = 2.0
    """Variance of a weight times its fan-in."""
    channels_last = False
    """Whether training is faster on batches whose channels lie together in memory; their values are the same."""
    vocabulary: int | None = None
    """Number of tokens, where blocks are tokens; None where they are values."""
    shape: Any
    """What fixes the tensors."""

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

    def enter(self, inputs: Any) -> Any:
        """Inputs as the first layer takes them."""
        return inputs

    def readout(self, x: Any, inputs: Any) -> Any:
        """What a layer gives, as one row per input."""
        raise NotImplementedError

    def positions(self, inputs: Any) -> Any:
        """Representations [n, P, d] of the positions of the last layer."""
        raise NotImplementedError

    def blocks(self, inputs: Any) -> Any:
        """What the positions stand for: values [n, P, v], or tokens [n, P]."""
        raise NotImplementedError

    @property
    def block(self) -> int:
        """v, numbers that predict one block: its values, or scores of all tokens."""
        raise NotImplementedError

    def present(self, inputs: Any) -> Any:
        """Which positions hold anything [n, P]."""
        raise NotImplementedError

    def hide(self, inputs: Any, where: Any) -> Any:
        """The inputs without the blocks of the positions `where` [n, P]."""
        raise NotImplementedError

    def through(self, inputs: Any, layer: str | None = None) -> Any:
        """What `layer` (default: the last) gives before it is read out. Raises BadInput for one that is not there."""
        layer = self.known(layer)
        x = self.enter(inputs)
        for name in self.layers:
            x = self.get_submodule(name)(x)
            if name == layer:
                break
        return x

    def forward(self, inputs: Any, layer: str | None = None) -> Any:
        """Representation [n, d] of the inputs at `layer` (default: the last).

        Raises BadInput for a layer this encoder does not have.
        """
        return self.readout(self.through(inputs, layer), inputs)

    def known(self, layer: str | None) -> str:
        """The layer itself, the last for None. Raises BadInput for one that is not there."""
        if layer is None:
            return self.layers[-1]
        if layer not in self.layers:
            what = f"expected one of the layers {', '.join(self.layers)}, got {layer!r}"
            raise BadInput(Problem("layer", what, fix=f"NAME:{self.layers[-1]} is the last one"))
        return layer

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw all weights from `rng`."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                    fan_in = math.prod(module.weight.shape[1:])
                    draw = rng.standard_normal(tuple(module.weight.shape)) * math.sqrt(self.gain / fan_in)
                    module.weight.copy_(torch.from_numpy(draw))
                    if module.bias is not None:
                        module.bias.zero_()
                elif isinstance(module, nn.GroupNorm | nn.BatchNorm2d | nn.LayerNorm):
                    module.weight.fill_(1.0)
                    module.bias.zero_()

    def settle(self, inputs: Any) -> None:
        """Take the running statistics from these inputs, where the encoder has any.

        Without it a fresh encoder is read out with mean 0 and variance 1, which are not those of its activations.
        """
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        if not norms:
            return
        usual, training = [norm.momentum for norm in norms], self.training
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            self.train()(inputs)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.zero_()
        self.train(training)
