"""Small encoders of the whole image as one vector: a multilayer perceptron, and none at all.

    z_0 = the normalised image, flattened, in R^{c·h·w};   z_l = φ(W_l z_{l−1} + b_l),  l = 1, …, L

mlp     layers `hidden1`, …, `hiddenL`; φ one of gelu (smooth: its Hessian is the curvature at every scale), relu, tanh
linear  L = 0: its only layer is `input`, z_0 itself. It has no weights; with a linear head and squared loss the
        pretraining loss is exactly quadratic in the head's weights

Weights are drawn with variance 2/fan-in for gelu and relu, 1/fan-in for tanh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from limen.models.architectures.base import ImageEncoder, option_problems, whole
from limen.records.errors import BadInput, Problem

ACTIVATIONS: Mapping[str, tuple[Any, float]] = {"gelu": (nn.GELU, 2.0), "relu": (nn.ReLU, 2.0), "tanh": (nn.Tanh, 1.0)}
"""Name → module and gain of the weights before it."""
LEAST: Mapping[str, int] = {"in_channels": 1, "image_size": 1}
"""Options that are whole numbers, and the least value of each."""


@dataclass(frozen=True, slots=True)
class MlpShape:
    """Everything that fixes the tensors of an `Mlp`; no hidden width means the image itself."""

    hidden: tuple[int, ...] = (128, 128)
    activation: str = "gelu"
    in_channels: int = 3
    image_size: int = 32

    @property
    def inputs(self) -> int:
        """Numbers in one image."""
        return self.in_channels * self.image_size**2


def mlp(options: Mapping[str, Any]) -> Mlp:
    """The encoder of `{hidden, activation, in_channels, image_size}`; options left out take their defaults.

    Raises BadInput with every problem of the options.

    >>> mlp({"hidden": [32, 16], "in_channels": 1, "image_size": 8}).dimension()
    16
    """
    problems = [*option_problems(options, LEAST, ("hidden", "activation")), *_hidden(options), *_activation(options)]
    if problems:
        raise BadInput(problems)
    given = dict(options)
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    return Mlp(MlpShape(**given))


def linear(options: Mapping[str, Any]) -> Mlp:
    """The image itself, `{in_channels, image_size}`. Raises BadInput with every problem of the options.

    >>> linear({"in_channels": 1, "image_size": 8}).dimension()
    64
    """
    problems = option_problems(options, LEAST)
    if problems:
        raise BadInput(problems)
    return Mlp(MlpShape(hidden=(), **options))


class Mlp(ImageEncoder):
    """The encoder above; its layers are `hidden1`, …, or `input` where there is none."""

    def __init__(self, shape: MlpShape) -> None:
        super().__init__(shape.in_channels)
        self.shape = shape
        activation, self.gain = ACTIVATIONS[shape.activation]
        widths = (shape.inputs, *shape.hidden)
        for number, width in enumerate(shape.hidden, start=1):
            self.add_module(f"hidden{number}", nn.Sequential(nn.Linear(widths[number - 1], width), activation()))
        if not shape.hidden:
            self.add_module("input", nn.Identity())

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read out, first to last."""
        return tuple(f"hidden{number + 1}" for number in range(len(self.shape.hidden))) or ("input",)

    @property
    def architecture(self) -> dict[str, Any]:
        """The plain description from which `limen.models.architectures.registry.build` makes this encoder again."""
        given = {"in_channels": self.shape.in_channels, "image_size": self.shape.image_size}
        if not self.shape.hidden:
            return {"name": "linear", **given}
        return {"name": "mlp", "hidden": list(self.shape.hidden), "activation": self.shape.activation, **given}

    def dimension(self, layer: str | None = None) -> int:
        """Columns of the representation of `layer` (default: the last)."""
        layer = self.known(layer)
        return int(self.shape.inputs if layer == "input" else self.shape.hidden[int(layer.removeprefix("hidden")) - 1])

    side = 1

    def enter(self, inputs: Any) -> Any:
        """One normalised vector per image."""
        return self.normalise(inputs).flatten(start_dim=1)

    def readout(self, x: Any, inputs: Any) -> Any:
        """A layer gives one row per image already."""
        del inputs
        return x

    def positions(self, inputs: Any) -> Any:
        """One position stands for the whole image."""
        return self.through(inputs)[:, None, :]


def _hidden(options: Mapping[str, Any]) -> list[Problem]:
    hidden = options.get("hidden", (1,))
    good = isinstance(hidden, Sequence) and not isinstance(hidden, str) and len(hidden) > 0
    if good and all(whole(width, 1) for width in hidden):
        return []
    what = f"expected a list of widths, whole numbers of at least 1, got {hidden!r}"
    return [Problem("architecture.hidden", what, fix='without hidden layers take name = "linear"')]


def _activation(options: Mapping[str, Any]) -> list[Problem]:
    activation = options.get("activation", "gelu")
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return []
    return [Problem("architecture.activation", f"expected one of {', '.join(ACTIVATIONS)}, got {activation!r}")]
