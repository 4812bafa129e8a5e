"""The encoders that a study file can name: one model per source, told apart by `source`.

Every field means something for the features and is part of the identity of what is computed; in it a path is replaced
by the hash of what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from limen.pretrain.checkpoints import log_spaced
from limen.study.types import AsTuple, Column, Commit, Count, Fraction, NotNegative, PathText, Positive, Section, oneof

START = r"^[a-z][a-z0-9-]*(#\d+)?(@\d+)?$"
Pooling = Literal["mean", "cls", "last"]
NOT_YET: dict[str, dict[str, str]] = {
    "source": {"timm": 'use source = "torch" with safetensors weights, or source = "transformers"'},
    "objective": dict.fromkeys(
        ("contrastive", "spectral", "masked", "next-token", "autoencoder"),
        'use objective = "nt-xent" or "supervised"',
    ),
    "methods": dict.fromkeys(
        ("fine-tune", "lp-ft", "lora", "prompt"),
        'use "linear-probe", "mean-classifier", "lda" or "knn"; remove this entry',
    ),
    "keys": dict.fromkeys(("fine-tune", "lp-ft", "lora"), "remove it"),
    "architecture": dict.fromkeys(("resnet34", "resnet50", "vit"), 'use name = "resnet18" or "conv"'),
}
"""Names that the format reserves and this version refuses, with what to do instead. Never skipped in silence."""


class SentenceTransformers(Section):
    """A local folder in the sentence-transformers layout, or a hub id with a pinned revision."""

    source: Literal["sentence-transformers"] = "sentence-transformers"
    input: Literal["text"] = "text"
    path: PathText
    revision: Commit | None = None
    batch_size: Count = 64


class Transformers(Section):
    """A local folder in the transformers layout, or a hub id with a pinned revision."""

    source: Literal["transformers"] = "transformers"
    input: Literal["text", "image", "audio"] = "text"
    path: PathText
    revision: Commit | None = None
    pooling: Pooling = "mean"
    layer: int = -1
    """Hidden state that is pooled: 0 the embeddings, -1 the last layer."""
    batch_size: Count = 64
    max_length: Count | None = None
    """Tokens kept of each text; None = what the model says."""


class ConvArchitecture(Section):
    """A small convolutional encoder whose stages have width, 2·width, 4·width channels."""

    name: Literal["conv"] = "conv"
    width: Count = 16
    stem_stride: Annotated[int, Field(ge=1, le=2)] = 1
    in_channels: Count | None = None
    """None = as in the images."""
    image_size: Count | None = None


class ResNet18Architecture(Section):
    """ResNet-18 for small images: four stages of two blocks with width, 2·width, … channels, batch statistics."""

    name: Literal["resnet18"] = "resnet18"
    width: Count = 64
    in_channels: Count | None = None
    image_size: Annotated[int, Field(ge=8)] | None = None


class MlpArchitecture(Section):
    """A multilayer perceptron on the whole image."""

    name: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Count, ...], AsTuple, Field(min_length=1)] = (128, 128)
    """Widths of the hidden layers, first to last."""
    activation: Literal["gelu", "relu", "tanh"] = "gelu"
    in_channels: Count | None = None
    image_size: Count | None = None


class LinearArchitecture(Section):
    """The normalised image itself: all that is trained is the objective's head."""

    name: Literal["linear"] = "linear"
    in_channels: Count | None = None
    image_size: Count | None = None


def _conv_unless_named(value: Any) -> Any:
    """A table without a name is a conv encoder, as it was when there was no other."""
    return {"name": "conv", **value} if isinstance(value, Mapping) else value


Architecture = Annotated[
    Annotated[
        ConvArchitecture | ResNet18Architecture | MlpArchitecture | LinearArchitecture, Field(discriminator="name")
    ],
    BeforeValidator(_conv_unless_named),
]


class Torch(Section):
    """Weights in safetensors under one of the built-in architectures."""

    source: Literal["torch"] = "torch"
    input: Literal["image"] = "image"
    path: PathText
    architecture: Architecture
    layer: str | None = None
    batch_size: Count = 256


class Embeddings(Section):
    """Features that are already in the data: `X` of an .npz, or a column of vectors."""

    source: Literal["embeddings"] = "embeddings"
    input: Literal["features"] = "features"
    column: Column | None = None


class Pixels(Section):
    """The image itself as a vector of intensities in [0, 1]."""

    source: Literal["pixels"] = "pixels"
    input: Literal["image"] = "image"


class BagOfWords(Section):
    """Hashed word counts, each row scaled to unit length."""

    source: Literal["bag-of-words"] = "bag-of-words"
    input: Literal["text"] = "text"
    dimension: Count = 4096


class RandomFeatures(Section):
    """Random features: a control that knows nothing of the task beyond its raw input."""

    source: Literal["random-features"] = "random-features"
    input: Literal["text", "image", "features"] = "features"
    dimension: Count = 1024
    seed: int = 0


class Sgd(Section):
    """Stochastic gradient descent as in torch.optim.SGD, its weight decay part of the gradient or decoupled."""

    name: Literal["sgd"] = "sgd"
    learning_rate: Positive = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    dampening: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    decoupled: bool = False

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise _contradiction("nesterov = true needs a momentum above 0", ("nesterov",), ("momentum",))
        if self.nesterov and self.dampening > 0:
            raise _contradiction("nesterov = true allows no dampening", ("nesterov",), ("dampening",))
        return self


class Adam(Section):
    """Adam as in torch.optim.Adam."""

    name: Literal["adam"] = "adam"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0


class AdamW(Section):
    """Adam with decoupled weight decay as in torch.optim.AdamW."""

    name: Literal["adamw"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.01


class ScheduleTable(Section):
    """Shape of the learning rate along the run, after `warmup` steps of linear growth."""

    name: Literal["constant", "cosine"] = "constant"
    warmup: Annotated[int, Field(ge=0)] = 0


class Augmentation(Section):
    """Strengths of the random views; what is off stays at its default. Meanings: `limen.pretrain.views`."""

    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    flip: bool = False
    brightness: NotNegative = 0.0
    contrast: NotNegative = 0.0
    saturation: NotNegative = 0.0
    grayscale: Annotated[float, Field(ge=0, le=1)] = 0.0
    noise: NotNegative = 0.0


def _table_of_none(value: Any) -> Any:
    return {} if isinstance(value, str) and value == "none" else value


Views = Annotated[Augmentation, BeforeValidator(_table_of_none, json_schema_input_type=Literal["none"] | Augmentation)]
"""`"none"` is a table in which nothing is on."""


class Evaluation(Section):
    """How the pretraining losses of a checkpoint are measured."""

    draws: Count = 2
    training_batches: Annotated[int, Field(ge=2)] | None = None


Checkpoints = Annotated[
    Annotated[int, Field(ge=2)] | Annotated[tuple[Annotated[int, Field(ge=0)], ...], AsTuple, Field(min_length=1)],
    oneof("a number of log-spaced checkpoints ≥ 2 or a list of steps ≥ 0"),
]


class Pretrain(Section):
    """An encoder that the study trains itself; every checkpoint is an encoder."""

    source: Literal["pretrain"] = "pretrain"
    input: Literal["image"] = "image"
    data: PathText
    """A table with a column of images, or `digits`."""
    heldout: Annotated[Fraction | PathText, oneof("a fraction between 0 and 1 or a path")] = 0.05
    objective: Literal["nt-xent", "supervised"] = "nt-xent"
    temperature: Positive = 0.5
    projection: Count = 64
    label: Column = "label"
    """Column of the labels that `objective = "supervised"` learns."""
    loss: Literal["log", "squared"] = "log"
    """Of `objective = "supervised"`: cross-entropy, or half the squared error of one-hot labels."""
    augmentation: Views | None = None
    """None = the usual one for grey or for coloured images; for `objective = "supervised"` none."""
    architecture: Architecture = ConvArchitecture()
    steps: Count
    batch_size: Annotated[int, Field(ge=2)] = 256
    sampling: Literal["reshuffle", "iid", "replacement", "same-order"] = "reshuffle"
    optimizer: Annotated[Sgd | Adam | AdamW, Field(discriminator="name")] = Sgd()
    schedule: Annotated[
        Literal["constant", "cosine"] | ScheduleTable, oneof('"constant", "cosine" or a table {name, warmup}')
    ] = "constant"
    checkpoints: Checkpoints = 8
    seeds: Count = 1
    threads: Count = 1
    evaluation: Evaluation = Evaluation()
    start: Annotated[str, Field(pattern=START)] | None = None
    """NAME[#seed][@step]: begin with the weights of that checkpoint; None = with weights drawn from the seed."""
    record: Literal["dynamics"] | None = None
    """What is recorded along the run."""

    @model_validator(mode="after")
    def _options_of_the_objective(self) -> Self:
        others = ("temperature", "projection") if self.objective == "supervised" else ("label", "loss")
        for key in others:
            if getattr(self, key) != type(self).model_fields[key].default:
                what = f'{key} says nothing to objective = "{self.objective}"'
                raise _contradiction(what, (key,), ("objective",))
        return self

    @model_validator(mode="after")
    def _within_the_run(self) -> Self:
        if isinstance(self.checkpoints, tuple):
            beyond = [step for step in self.checkpoints if step > self.steps]
            what = f"checkpoint {beyond[0]} lies beyond steps = {self.steps}" if beyond else ""
        else:
            many = self.checkpoints > self.steps + 1
            what = f"at most {self.steps + 1} checkpoints fit into steps = {self.steps}" if many else ""
        if what:
            raise _contradiction(what, ("checkpoints",), ("steps",))
        if isinstance(self.schedule, ScheduleTable) and self.schedule.warmup >= self.steps:
            what = f"warmup = {self.schedule.warmup} leaves none of steps = {self.steps}"
            raise _contradiction(what, ("schedule", "warmup"), ("steps",))
        return self

    def kept_steps(self) -> tuple[int, ...]:
        """The steps of the checkpoints, increasing.

        >>> Pretrain(data="digits", steps=100, checkpoints=4).kept_steps()
        (0, 25, 50, 100)
        """
        if isinstance(self.checkpoints, tuple):
            return tuple(sorted(set(self.checkpoints)))
        return log_spaced(self.checkpoints, self.steps)


def _contradiction(what: str, *keys: tuple[str, ...]) -> PydanticCustomError:
    return PydanticCustomError("contradiction", "{what}", {"what": what, "keys": keys})


Encoder = Annotated[
    SentenceTransformers | Transformers | Torch | Embeddings | Pixels | BagOfWords | RandomFeatures | Pretrain,
    Field(discriminator="source"),
]
SOURCES: tuple[str, ...] = (
    "sentence-transformers", "transformers", "torch", "embeddings", "pixels", "bag-of-words", "random-features",
    "pretrain",
)  # fmt: skip
EXTRAS: dict[str, tuple[str, str]] = {
    "sentence-transformers": ("sentence_transformers", "hf"), "transformers": ("transformers", "hf"),
    "torch": ("torch", "torch"), "pretrain": ("torch", "torch"),
}  # fmt: skip
"""Source → the library it needs and the extra of limen that brings it. All of them import torch."""
