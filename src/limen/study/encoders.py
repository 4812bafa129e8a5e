"""The encoders that a study file can name: one model per source, told apart by `source`.

Every field means something for the features and is part of the identity of what is computed; in it a path is replaced
by the hash of what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from limen.pretrain.checkpoints import log_spaced
from limen.pretrain.options import needs_labels
from limen.study.architectures import Architecture, ConvArchitecture, ImageArchitecture, named
from limen.study.run_contradictions import run_contradictions
from limen.study.types import (
    AsTuple,
    Column,
    Commit,
    Count,
    Fraction,
    NotNegative,
    PathText,
    Positive,
    Section,
    contradiction,
    oneof,
)

START = r"^[a-z][a-z0-9-]*(#\d+)?(@\d+)?$"
UpToOne = Annotated[float, Field(ge=0, le=1)]
Pooling = Literal["mean", "cls", "last"]
NOT_YET: dict[str, dict[str, str]] = {
    "architecture": dict.fromkeys(("resnet34", "resnet50"), 'use name = "resnet18" or "conv"'),
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


class Timm(Section):
    """A local folder in timm's hub layout, or a hub id with a pinned revision."""

    source: Literal["timm"] = "timm"
    input: Literal["image"] = "image"
    path: PathText
    revision: Commit | None = None
    layer: str | None = None
    """A stage or block of the model, averaged over positions; None = the pooled output."""
    batch_size: Count = 64


class OpenClip(Section):
    """One tower of an open_clip model: a local folder in its layout, or a hub id with a pinned revision."""

    source: Literal["open-clip"] = "open-clip"
    input: Literal["image", "text"] = "image"
    path: PathText
    revision: Commit | None = None
    batch_size: Count = 64


class Torch(Section):
    """Weights in safetensors under one of the built-in architectures."""

    source: Literal["torch"] = "torch"
    input: Literal["image"] = "image"
    path: PathText
    architecture: ImageArchitecture
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
            raise contradiction([("nesterov = true needs a momentum above 0", ("nesterov",), ("momentum",))])
        if self.nesterov and self.dampening > 0:
            raise contradiction([("nesterov = true allows no dampening", ("nesterov",), ("dampening",))])
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
    """Strengths of the random views; what is off stays at its default. Meanings: `limen.pretrain.views.strengths`,
    which also says which of them each kind of input has."""

    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    flip: bool = False
    brightness: NotNegative = 0.0
    contrast: NotNegative = 0.0
    saturation: NotNegative = 0.0
    grayscale: UpToOne = 0.0
    noise: NotNegative = 0.0
    drop: UpToOne = 0.0
    mask: UpToOne = 0.0
    shift: UpToOne = 0.0
    gain: NotNegative = 0.0
    bands: Annotated[int, Field(ge=0)] = 0
    frames: UpToOne = 0.0


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


class TextTokens(Section):
    """The vocabulary that is learned from the training texts, and the tokens kept of every text."""

    vocabulary: Annotated[int, Field(ge=259)] = 4096
    """259 = all bytes and three signs, without merges."""
    length: Annotated[int, Field(ge=2)] = 64


class SoundSpectra(Section):
    """Logarithmic mel spectra of sounds."""

    rate: Annotated[int, Field(ge=100)] = 8000
    """Samples a second to which every sound is brought."""
    seconds: Positive = 1.0
    """Kept of every sound."""
    bands: Count = 40


class Pretrain(Section):
    """An encoder that the study trains itself; every checkpoint is an encoder."""

    source: Literal["pretrain"] = "pretrain"
    input: Literal["image", "text", "audio"] = "image"
    data: PathText
    """A table with a column of inputs, or `digits`."""
    column: Column | None = None
    """Column of the inputs; None = named like `input`."""
    on_bad: Literal["stop", "skip"] = "stop"
    """What becomes of inputs that cannot be read or hold nothing: the run fails and names them, or leaves them out."""
    heldout: Annotated[Fraction | PathText, oneof("a fraction between 0 and 1 or a path")] = 0.05
    objective: Literal["nt-xent", "supervised", "contrastive", "spectral", "masked", "next-token", "autoencoder"] = (
        "nt-xent"
    )
    temperature: Positive = 0.5
    projection: Annotated[int, Field(ge=0)] = 64
    """Width of the projection head; 0, for `objective = "spectral"` alone, leaves it out."""
    label: Column = "label"
    """Column of the labels, where the objective looks at any."""
    loss: Literal["log", "squared"] = "log"
    """Of `objective = "supervised"`: cross-entropy, or half the squared error of one-hot labels."""
    pairs: Literal["views", "label"] = "views"
    """What is similar: two views of one input, or two inputs of one label."""
    negatives: Count = 1
    block: Count = 1
    surrogate: Literal["logistic", "hinge"] = "logistic"
    radius: Positive = 1.0
    share: Fraction = 0.5
    """Share of the positions of an input that `objective = "masked"` hides."""
    noise: Positive = 0.5
    """Of `objective = "autoencoder"`: standard deviations of values, probability of tokens."""
    augmentation: Views | None = None
    """None = the usual one for such inputs where the objective compares views, else none."""
    tokens: TextTokens = TextTokens()
    """Of `input = "text"`."""
    sound: SoundSpectra = SoundSpectra()
    """Of `input = "audio"`."""
    architecture: Architecture = ConvArchitecture()
    """By default a conv encoder of images, a transformer of text, a sound encoder of audio."""
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
    accumulation: Count = 1
    """Micro-batches of every batch; losses that compare examples compare those of one micro-batch."""
    processes: Count = 1
    """Processes of this machine that share the micro-batches."""
    precision: Literal["float32", "bfloat16"] = "float32"
    on_nan: Literal["stop", "skip"] = "stop"
    """What an update does that is not finite."""
    evaluation: Evaluation = Evaluation()
    start: Annotated[str, Field(pattern=START)] | None = None
    """NAME[#seed][@step]: begin with the weights of that checkpoint; None = with weights drawn from the seed."""
    record: Literal["dynamics"] | None = None
    """What is recorded along the run."""

    @model_validator(mode="before")
    @classmethod
    def _architecture_of_the_input(cls, given: Any) -> Any:
        """The architecture that is meant where none is named depends on the input."""
        if not isinstance(given, Mapping):
            return given
        kind = given.get("input", "image")
        if "architecture" not in given and kind == "image":
            return given
        return {**given, "architecture": named(given.get("architecture", {}), kind)}

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if found := list(run_contradictions(self)):
            raise contradiction(found)
        return self

    @property
    def learns_labels(self) -> bool:
        """Whether the objective looks at labels."""
        return needs_labels({"name": self.objective, "pairs": self.pairs})

    def kept_steps(self) -> tuple[int, ...]:
        """The steps of the checkpoints, increasing.

        >>> Pretrain(data="digits", steps=100, checkpoints=4).kept_steps()
        (0, 25, 50, 100)
        """
        if isinstance(self.checkpoints, tuple):
            return tuple(sorted(set(self.checkpoints)))
        return log_spaced(self.checkpoints, self.steps)


Encoder = Annotated[
    SentenceTransformers
    | Transformers
    | Timm
    | OpenClip
    | Torch
    | Embeddings
    | Pixels
    | BagOfWords
    | RandomFeatures
    | Pretrain,
    Field(discriminator="source"),
]
Hub = SentenceTransformers | Transformers | Timm | OpenClip
"""Encoders in a folder of the library that loads them."""
OnDisk = Hub | Torch
"""Encoders with weights that the study does not train from scratch."""
SOURCES: tuple[str, ...] = (
    "sentence-transformers", "transformers", "timm", "open-clip", "torch", "embeddings", "pixels", "bag-of-words",
    "random-features", "pretrain",
)  # fmt: skip
EXTRAS: dict[str, tuple[str, str]] = {
    "sentence-transformers": ("sentence_transformers", "hf"), "transformers": ("transformers", "hf"),
    "timm": ("timm", "timm"), "open-clip": ("open_clip", "open-clip"), "torch": ("torch", "torch"),
    "pretrain": ("torch", "torch"),
}  # fmt: skip
"""Source → the library it needs and the extra of limen that brings it. All of them import torch."""
WITH_WEIGHTS = ("sentence-transformers", "transformers", "torch", "pretrain")
"""Sources whose encoders can be tuned."""
