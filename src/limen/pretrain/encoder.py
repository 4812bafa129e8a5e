"""A checkpoint as an encoder: images in, one row of features each out, at any named layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.models.architectures.registry import build
from limen.pretrain.checkpoints import Arrays, unpack
from limen.pretrain.determinism import deterministic
from limen.pretrain.images import batch_tensor, checked_images
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord

BATCH = 256


@dataclass(frozen=True, slots=True)
class CheckpointEncoder:
    """The encoder of one checkpoint, read out at one layer; the projection head is not part of it."""

    module: Any
    layer: str
    step: int
    threads: int = 1

    @property
    def dimension(self) -> int:
        """Columns of the features."""
        return int(self.module.dimension(self.layer))

    def encode(self, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Features [n, d] of images [n, h, w, c], uint8 or float in [0, 1]; a row depends on its image alone.

        Raises BadInput for images of another shape or type.
        """
        shape = self.module.shape
        images = checked_images(images, "images")
        expected = (shape.image_size, shape.image_size, shape.in_channels)
        if images.shape[1:] != expected:
            what = f"expected images of shape {list(expected)}, as in pretraining, got {list(images.shape[1:])}"
            raise BadInput(Problem("images", what, fix="resize them, or pretrain on images of their size"))
        rows = []
        with deterministic(self.threads), torch.no_grad():
            for start in range(0, len(images), BATCH):
                batch = batch_tensor(images, slice(start, start + BATCH))
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
    return CheckpointEncoder(module.eval(), layer or layers[-1], step, threads)


def encoder_weights(record: StageRecord, step: int) -> Arrays:
    """The encoder's tensors at `step` (no head), as saved beside the architecture for the `torch` source."""
    prefix = "encoder."
    weights = unpack(record.arrays, step)
    return {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
