"""The built-in architectures that a study file can name, told apart by `name`; each takes one kind of input.

What follows from the examples (channels and side of images, vocabulary and length of texts, bands and frames of
sounds) is not said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from limen.study.types import AsTuple, Count, InputKind, Section, contradiction


class _Architecture(Section):
    """What all have: the kind of input they take and the names of their layers."""

    takes: ClassVar[InputKind] = "image"
    first: ClassVar[str] = "stem"
    """The layer before the numbered ones."""
    numbered: ClassVar[str] = "stage"

    @property
    def last(self) -> int | None:
        """The number of the last layer; None where the side of the images decides."""
        return None

    def has(self, layer: str) -> bool:
        """Whether there is a layer of this name, as far as it is known before images are seen.

        >>> [TransformerArchitecture(depth=2).has(name) for name in ("embedding", "block2", "block3", "stem")]
        [True, True, False, False]
        """
        number = re.fullmatch(rf"{self.numbered}([1-9]\d?)", layer) if self.numbered else None
        return layer == self.first or (number is not None and (self.last is None or int(number[1]) <= self.last))

    def layers(self) -> str:
        """The layers in words.

        >>> MlpArchitecture().layers(), ConvArchitecture().layers(), TransformerArchitecture(depth=9).layers()
        ('hidden1, hidden2', 'stem, stage1, stage2, …', 'embedding, block1, …, block9')
        """
        count = 2 if self.last is None else self.last
        names = [f"{self.numbered}{number}" for number in range(1, count + 1)] if self.numbered else []
        names = [names[0], "…", names[-1]] if len(names) > 4 else names
        return ", ".join([*filter(None, [self.first]), *names, *(["…"] if names and self.last is None else [])])


class ConvArchitecture(_Architecture):
    """A small convolutional encoder whose stages have width, 2·width, 4·width channels."""

    name: Literal["conv"] = "conv"
    width: Count = 16
    stem_stride: Annotated[int, Field(ge=1, le=2)] = 1
    in_channels: Count | None = None
    """None = as in the images."""
    image_size: Count | None = None


class ResNet18Architecture(_Architecture):
    """ResNet-18 for small images: four stages of two blocks with width, 2·width, … channels, batch statistics."""

    name: Literal["resnet18"] = "resnet18"
    width: Count = 64
    in_channels: Count | None = None
    image_size: Annotated[int, Field(ge=8)] | None = None

    @property
    def last(self) -> int:
        """Always four stages."""
        return 4


class MlpArchitecture(_Architecture):
    """A multilayer perceptron on the whole image."""

    first: ClassVar[str] = ""
    numbered: ClassVar[str] = "hidden"
    name: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Count, ...], AsTuple, Field(min_length=1)] = (128, 128)
    """Widths of the hidden layers, first to last."""
    activation: Literal["gelu", "relu", "tanh"] = "gelu"
    in_channels: Count | None = None
    image_size: Count | None = None

    @property
    def last(self) -> int:
        """One layer a width."""
        return len(self.hidden)


class LinearArchitecture(_Architecture):
    """The normalised image itself: all that is trained is the objective's head."""

    first: ClassVar[str] = "input"
    numbered: ClassVar[str] = ""
    name: Literal["linear"] = "linear"
    in_channels: Count | None = None
    image_size: Count | None = None


class _Blocks(_Architecture):
    """What transformers share."""

    numbered: ClassVar[str] = "block"
    depth: Count = 4
    heads: Count = 4

    @property
    def last(self) -> int:
        """One layer a block."""
        return self.depth

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        width: int = getattr(self, "width")  # noqa: B009  # its default is that of the member
        if width % self.heads:
            raise contradiction([(f"heads = {self.heads} does not divide width = {width}", ("heads",), ("width",))])
        return self


class VitArchitecture(_Blocks):
    """A small vision transformer on patches of patch × patch pixels, read out as the mean over patches."""

    first: ClassVar[str] = "patches"
    name: Literal["vit"] = "vit"
    width: Count = 96
    patch: Count = 4
    in_channels: Count | None = None
    image_size: Count | None = None

    @model_validator(mode="after")
    def _patches_share_the_image(self) -> Self:
        if self.image_size is not None and self.image_size % self.patch:
            what = f"patch = {self.patch} does not divide image_size = {self.image_size}"
            raise contradiction([(what, ("patch",), ("image_size",))])
        return self


class TransformerArchitecture(_Blocks):
    """A small transformer on the tokens of a text, read out as the mean over tokens."""

    takes: ClassVar[InputKind] = "text"
    first: ClassVar[str] = "embedding"
    name: Literal["transformer"] = "transformer"
    width: Count = 128
    causal: bool = False
    """Whether a token sees those up to itself alone; under `objective = "next-token"` it always does."""


class SoundArchitecture(_Architecture):
    """A small residual encoder of spectra along time, of `stages` stages with width, 2·width, … channels."""

    takes: ClassVar[InputKind] = "audio"
    name: Literal["sound"] = "sound"
    width: Count = 32
    stages: Annotated[int, Field(ge=1, le=12)] = 3

    @property
    def last(self) -> int:
        """All its stages."""
        return self.stages


Images = ConvArchitecture | ResNet18Architecture | MlpArchitecture | LinearArchitecture | VitArchitecture
Architecture = Annotated[Images | TransformerArchitecture | SoundArchitecture, Field(discriminator="name")]
DEFAULT: Mapping[str, str] = {"image": "conv", "text": "transformer", "audio": "sound"}
"""Kind of input → the architecture that a table without a name is."""


def named(value: Any, kind: Any = "image") -> Any:
    """A table of options with the name that it means by default.

    >>> named({"width": 8}), named({"width": 8}, "text")["name"]
    ({'name': 'conv', 'width': 8}, 'transformer')
    """
    name = DEFAULT.get(kind, "conv") if isinstance(kind, str) else "conv"
    return {"name": name, **value} if isinstance(value, Mapping) else value


ImageArchitecture = Annotated[Annotated[Images, Field(discriminator="name")], BeforeValidator(named)]
"""Of images alone; a table without a name is a conv encoder, as it was when there was no other."""
