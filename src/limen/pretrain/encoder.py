"""A checkpoint as an encoder: inputs in, one row of features each out, at any named layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.models.architectures.registry import build
from limen.models.preprocessing.preprocessing import Preprocessing, as_tensor, restore
from limen.pretrain.checkpoints import Arrays, unpack
from limen.pretrain.determinism import deterministic
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord

BATCH = 256


@dataclass(frozen=True, slots=True)
class CheckpointEncoder:
    """The encoder of one checkpoint, read out at one layer; the projection head is not part of it."""

    module: Any
    preprocessing: Preprocessing
    layer: str
    step: int
    threads: int = 1

    @property
    def dimension(self) -> int:
        """Columns of the features."""
        return int(self.module.dimension(self.layer))

    def encode(self, inputs: Any) -> NDArray[np.float32]:
        """Features [n, d] of n inputs as they are in a table; a row depends on its input alone.

        Raises BadInput for inputs of another kind or shape.
        """
        array = self.preprocessing.array(inputs)
        expected = {key: self.module.architecture[key] for key in self.preprocessing.facts(array)}
        if self.preprocessing.facts(array) != expected:
            what = f"expected {_facts(expected)}, as in pretraining, got {_facts(self.preprocessing.facts(array))}"
            fix = "resize or convert them, or pretrain on inputs of their shape"
            raise BadInput(Problem(f"{self.preprocessing.takes}s", what, fix=fix))
        rows = []
        with deterministic(self.threads), torch.no_grad():
            for start in range(0, len(array), BATCH):
                batch = as_tensor(array, self.preprocessing.takes, slice(start, start + BATCH))
                rows.append(self.module(batch, self.layer).numpy())
        return np.concatenate(rows)


def encode_checkpoint(
    record: StageRecord, step: int | None = None, layer: str | None = None, threads: int = 1
) -> CheckpointEncoder:
    """The encoder of a pretraining record at update `step` (default: the last kept) and `layer` (default: the last).

    Raises BadInput for a step that was not kept, naming those that were, and for an unknown layer.
    """
    steps = [int(c["step"]) for c in record.data["checkpoints"]]
    step = steps[-1] if step is None and steps else step
    if step not in steps:
        diverged = record.data.get("diverged")
        what = f"expected one of the kept steps {', '.join(map(str, steps))}, got {step}"
        raise BadInput(Problem("step", what, cause=diverged["reason"] if diverged else "", fix="name a kept step"))
    layers = tuple(record.data["layers"])
    if layer is not None and layer not in layers:
        raise BadInput(Problem("layer", f"expected one of the layers {', '.join(layers)}, got {layer!r}"))
    module = build(record.data["architecture"])
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in encoder_weights(record, step).items()})
    preprocessing = restore(record.data.get("preprocessing", {}))
    return CheckpointEncoder(module.eval(), preprocessing, layer or layers[-1], step, threads)


def encoder_weights(record: StageRecord, step: int) -> Arrays:
    """The encoder's tensors at `step` (no head), as saved beside the architecture for the `torch` source."""
    prefix = "encoder."
    weights = unpack(record.arrays, step)
    return {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}


def _facts(facts: dict[str, int]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items())
