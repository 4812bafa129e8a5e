"""One pretraining run, fully specified: what a study's `[encoder.NAME]` with `source = "pretrain"` means for one seed.

Reading a specification needs no deep-learning library. Every field is semantic: two runs of equal
fields on equal data give the same weights bit for bit on one machine type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from limen.data.on_bad import OnBad
from limen.models.encoder import InputKind
from limen.pretrain.evaluation import Evaluation
from limen.pretrain.options import OPTIMIZERS
from limen.pretrain.parse import OnNan, Parser
from limen.pretrain.samplers import Sampling
from limen.pretrain.schedule import Schedule


@dataclass(frozen=True, slots=True)
class PretrainSpec:
    """The run. Defaults are those of a study file."""

    data: str
    """`digits`, `digits:train`, `world:NAME`, or a .parquet, .csv or .npz file with a column of inputs."""
    steps: int
    batch_size: int
    heldout: float | str = 0.05
    """Share of the examples that is never trained on, or a file of held-out examples."""
    objective: Mapping[str, Any] = field(default_factory=lambda: {"name": "nt-xent"})
    """`{name, …}` with the options of `limen.pretrain.options.OBJECTIVES`."""
    architecture: Mapping[str, Any] = field(default_factory=lambda: {"name": "conv", "width": 16})
    sampling: Sampling = "reshuffle"
    optimizer: Mapping[str, Any] = field(default_factory=lambda: {"name": "sgd", **OPTIMIZERS["sgd"]})
    schedule: Schedule = field(default_factory=Schedule)
    checkpoints: tuple[int, ...] = (0,)
    """Updates after which the weights are kept."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    seed: int = 0
    """Number of the run (`NAME#seed`): initial weights, order of examples, augmentation."""
    split_seed: int = 0
    """Seed of the study: which examples are held out, how losses are measured; shared by the runs of a study."""
    threads: int = 1
    accumulation: int = 1
    """Micro-batches of every batch: the loss is that of batch_size/accumulation examples, the update their mean's."""
    processes: int = 1
    """Processes that share the micro-batches of every update; accumulation is a multiple of it."""
    precision: str = "float32"
    """Of the forward pass: `float32`, or `bfloat16` where torch's autocast allows it; weights stay float32."""
    on_nan: OnNan = "stop"
    """What an update that is not finite does: `stop` the run, or `skip` it (10 in a row stop it)."""
    start: int | None = None
    """Update of another run's record whose weights this run begins with; None = weights drawn from the seed."""
    input: InputKind = "image"
    column: str | None = None
    """Column of the inputs; None = named like their kind."""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """Options of `limen.models.preprocessing.preprocessing.OPTIONS` for the kind of input."""
    on_bad: OnBad = "stop"
    """Rows of bad input: `stop` names them; `skip` leaves them out and counts them, up to half of all."""
    record: str | None = None
    """What is recorded along the run by observers that the caller brings: `dynamics`."""

    @classmethod
    def parse(cls, plain: Mapping[str, Any]) -> Self:
        """The run described by plain data with the keys of a study file, short forms allowed.

        Raises BadInput with every problem found: unknown and missing keys, wrong types, numbers out of range.

        >>> PretrainSpec.parse({"data": "digits", "steps": 100, "batch_size": 32, "checkpoints": 4}).checkpoints
        (0, 25, 50, 100)
        """
        return cls(**Parser(plain).parsed({f.name for f in fields(cls)}))
