"""A small transformer on the tokens of a text.

    tokens [n, T]  →  embedding + place  →  block1  →  …  →  blockL  →  norm  →  mean over the tokens  ∈ R^width

[PAD] is never looked at and not averaged over. `causal`: a token sees those up to itself, as the objective next-token
needs; its representation is the mean over tokens as well. Layers: `embedding`, `block1`, …; the norm belongs to the
last one. Embeddings and places are drawn from N(0, SCALE²).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from limen.models.architectures.attention import LEAST as LEAST_BLOCK
from limen.models.architectures.attention import Block, draw, head_problems, shrink_shortcuts
from limen.models.architectures.base import option_problems
from limen.models.architectures.module import EncoderModule
from limen.models.encoder import InputKind
from limen.models.preprocessing.tokens import MASK, PAD, SPECIAL
from limen.records.errors import BadInput, Problem

LEAST: Mapping[str, int] = {**LEAST_BLOCK, "vocabulary": len(SPECIAL), "length": 2}
SCALE = 0.1
"""Standard deviation of embeddings and places."""


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """Everything that fixes the tensors of a `Transformer`."""

    width: int = 128
    depth: int = 4
    heads: int = 4
    vocabulary: int = 4096
    length: int = 64
    causal: bool = False


def transformer(options: Mapping[str, Any]) -> Transformer:
    """The encoder of `{width, depth, heads, vocabulary, length, causal}`; options left out take their defaults.

    Raises BadInput with every problem of the options.

    >>> transformer({"width": 32, "depth": 2, "vocabulary": 300}).layers
    ('embedding', 'block1', 'block2')
    """
    problems = [*option_problems(options, LEAST, ("causal",)), *head_problems(options, 128, 4)]
    if not isinstance(options.get("causal", False), bool):
        problems.append(Problem("architecture.causal", f"expected true or false, got {options['causal']!r}"))
    if problems:
        raise BadInput(problems)
    return Transformer(TransformerShape(**options))


class Transformer(EncoderModule):
    """The encoder above."""

    takes: InputKind = "text"
    gain = 1.0

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape, self.vocabulary = shape, shape.vocabulary
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.place = nn.Parameter(torch.zeros(shape.length, shape.width))
        for number in range(1, shape.depth + 1):
            self.add_module(f"block{number}", Block(shape.width, shape.heads))
        self.norm = nn.LayerNorm(shape.width)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read out, first to last."""
        return ("embedding", *(f"block{number}" for number in range(1, self.shape.depth + 1)))

    @property
    def architecture(self) -> dict[str, Any]:
        """The plain description from which `limen.models.architectures.registry.build` makes this encoder again."""
        return {"name": "transformer", **asdict(self.shape)}

    def dimension(self, layer: str | None = None) -> int:
        """Columns of the representation of `layer`: all layers have the same."""
        self.known(layer)
        return int(self.shape.width)

    def through(self, inputs: Any, layer: str | None = None) -> Any:
        """What `layer` gives for every token, [n, T, width]. Raises BadInput for a layer that is not there."""
        layer = self.known(layer)
        length = inputs.shape[1]
        x = self.embedding(inputs) + self.place[:length]
        allowed = self.present(inputs)[:, None, None, :]
        if self.shape.causal:
            allowed = allowed & torch.ones(length, length, dtype=torch.bool).tril()
        for name in self.layers[1 : self.layers.index(layer) + 1]:
            x = self.get_submodule(name)(x, allowed)
        return self.norm(x) if layer == self.layers[-1] else x

    def readout(self, x: Any, inputs: Any) -> Any:
        """The mean over the tokens of each text."""
        held = self.present(inputs)[:, :, None].to(x.dtype)
        return (x * held).sum(dim=1) / held.sum(dim=1)

    @property
    def block(self) -> int:
        """Scores of all tokens."""
        return int(self.shape.vocabulary)

    def positions(self, inputs: Any) -> Any:
        """The representation of every token."""
        return self.through(inputs)

    def blocks(self, inputs: Any) -> Any:
        """The tokens themselves."""
        return inputs

    def present(self, inputs: Any) -> Any:
        """Where there is a token; the first place, [BOS], always is one."""
        return inputs != PAD

    def hide(self, inputs: Any, where: Any) -> Any:
        """The texts with [MASK] at the places `where`."""
        return inputs.masked_fill(where, MASK)

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw all weights from `rng`."""
        super().initialise(rng)
        draw(self.embedding.weight, SCALE, rng)
        draw(self.place, SCALE, rng)
        shrink_shortcuts([self.get_submodule(name) for name in self.layers[1:]])
