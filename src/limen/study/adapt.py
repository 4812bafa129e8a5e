"""How encoders are adapted to tasks: the section `[adapt]` of a study, with a table for each method that has options.

Tuned methods move the encoder's weights; the defaults of their options are those of `limen.adapt.tune.spec`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from limen.study.types import AsTuple, Count, NotNegative, Positive, Section, oneof

TunedName = Literal["fine-tune", "lp-ft", "partial", "lora", "prompt", "prefix"]
Method = Literal[
    "linear-probe", "mean-classifier", "lda", "knn", "fine-tune", "lp-ft", "partial", "lora", "prompt", "prefix"
]
Labels = Annotated[
    tuple[Annotated[Count | Literal["all"], oneof('a whole number ≥ 1 or "all"')], ...], AsTuple, Field(min_length=1)
]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], AsTuple]


class LinearProbe(Section):
    """The class of linear probes: ‖W‖_F ≤ radius on scaled features."""

    radius: Annotated[
        Literal["auto"] | Positive | Annotated[tuple[Positive, ...], AsTuple, Field(min_length=1)],
        oneof('"auto", a number > 0 or a list of numbers > 0'),
    ] = "auto"
    rich_head: bool = True
    """Whether a richer head is set beside the probe: the lower end of `class_gap`."""


class Knn(Section):
    """Nearest neighbours."""

    k: Count = 10


class Tuning(Section):
    """Options that all tuned methods share; None = the method's own default."""

    epochs: Annotated[int, Field(ge=0)] = 20
    batch_size: Count = 16
    learning_rate: Positive | None = None
    head_learning_rate: Positive | None = None
    weight_decay: NotNegative = 0.01
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    patience: Count | None = 5
    dropout: bool = False
    threads: Count = 1


class Partial(Tuning):
    """Some layers move."""

    layers: Names = ()
    """Names of layers, or patterns of parameter names (`*.bias`)."""


class Lora(Tuning):
    """Low-rank updates."""

    rank: Count = 8
    alpha: Positive = 16.0
    targets: Names = ()


class Prompt(Tuning):
    """Vectors before the tokens, or before keys and values."""

    prompt_tokens: Count = 16


class Adapt(Section):
    """How every encoder is adapted to every task."""

    methods: Annotated[tuple[Method, ...], AsTuple, Field(min_length=1)] = ("linear-probe",)
    labels: Labels | None = None
    seeds: Count = 5
    loss: Literal["log", "squared"] = "log"
    subsets: Literal["uniform", "stratified"] = "uniform"
    linear_probe: LinearProbe = Field(default=LinearProbe(), alias="linear-probe")
    knn: Knn = Knn()
    fine_tune: Tuning = Field(default=Tuning(), alias="fine-tune")
    lp_ft: Tuning = Field(default=Tuning(), alias="lp-ft")
    partial: Partial = Partial()
    lora: Lora = Lora()
    prompt: Prompt = Prompt()
    prefix: Prompt = Prompt()

    def options(self, method: str) -> Tuning | None:
        """The table of a tuned method; None for one that leaves the encoder as it is."""
        found = getattr(self, method.replace("-", "_"), None)
        return found if isinstance(found, Tuning) else None
