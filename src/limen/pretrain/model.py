"""The model of a run before its first update: drawn from the run's seed, or a checkpoint of another run.

A run that starts from a checkpoint has all its tensors: encoder, normalisation and running statistics, head. The
optimizer begins anew, with velocity 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from limen.arrays.random import stream
from limen.models.architectures.base import Normalised
from limen.models.architectures.registry import TAKES, build, taking
from limen.models.preprocessing.preprocessing import Preprocessing
from limen.pretrain.checkpoints import unpack
from limen.pretrain.examples import Examples
from limen.pretrain.memory import check_weights_memory
from limen.pretrain.moments import channel_moments
from limen.pretrain.objectives.objective import Objective
from limen.pretrain.spec import PretrainSpec
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord

SETTLE = 256
"""Training examples behind the first running statistics of an encoder that has any."""


def make_model(run: PretrainSpec, objective: Objective, training: Examples, preprocessing: Preprocessing) -> Any:
    """Encoder and head with weights drawn for this run's seed and the normalisation of its training examples.

    Raises BadInput for an architecture that is not there, made for other inputs, or larger than the memory.
    """
    name = run.architecture["name"]
    if TAKES.get(name, training.takes) != training.takes:
        what = f"{name} takes {TAKES[name]}, the examples are {training.takes}"
        raise BadInput(Problem("architecture.name", what, fix=f"one of {', '.join(taking(training.takes))}"))
    given = preprocessing.facts(training.inputs)
    wrong = [
        Problem(f"architecture.{key}", f"expected {value}, as in the inputs of {run.data}, got {run.architecture[key]}")
        for key, value in given.items()
        if run.architecture.get(key, value) != value
    ]
    if wrong:
        raise BadInput(wrong)
    architecture = {**run.architecture, **given, **_causal(run)}
    check_weights_memory(lambda: build(architecture), run.optimizer["name"])
    with torch.random.fork_rng():  # torch draws default weights on construction; they are replaced at once
        encoder = build(architecture)
        encoder.initialise(stream("pretrain/encoder-weights", run.seed))
        head = objective.head(encoder, stream("pretrain/head-weights", run.seed))
    if isinstance(encoder, Normalised):
        encoder.set_normalisation(*channel_moments(training.inputs, np.arange(len(training))))
    rows = stream("pretrain/settle", run.seed).permutation(len(training))[:SETTLE]
    encoder.settle(training.batch(rows).inputs)
    return nn.ModuleDict({"encoder": encoder, "head": head})


def _causal(run: PretrainSpec) -> dict[str, bool]:
    """Next-token prediction makes a transformer causal."""
    wanted = run.objective["name"] == "next-token" and run.architecture["name"] == "transformer"
    return {"causal": True} if wanted else {}


def load_start(model: Any, start: StageRecord, step: int) -> None:
    """Give the model the tensors of another run's checkpoint.

    Raises BadInput for a step that was not kept and for tensors of other names or shapes.
    """
    weights = unpack(start.arrays, step)
    if not weights:
        steps = [int(found["step"]) for found in start.data["checkpoints"]]
        diverged = start.data.get("diverged")
        what = f"expected one of the kept steps {', '.join(map(str, steps))}, got {step}"
        raise BadInput(Problem("start", what, cause=diverged["reason"] if diverged else "", fix="name a kept step"))
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(array.shape) for name, array in weights.items()}
    differing = [name for name in sorted(expected | found) if expected.get(name) != found.get(name)]
    if differing:
        name = differing[0]
        what = f"{name}: expected shape {_shape(expected, name)}, got {_shape(found, name)} ({len(differing)} differ)"
        fix = "take the architecture and objective of the run that it starts from"
        raise BadInput(Problem("start", what, "another architecture or another objective", fix))
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})


def _shape(shapes: dict[str, tuple[int, ...]], name: str) -> str:
    return str(list(shapes[name])) if name in shapes else "none"
