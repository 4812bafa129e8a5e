"""Weights in a safetensors file under a built-in architecture: images in, one named layer out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from limen.data.fingerprint import content_hash
from limen.data.phrases import names_text
from limen.models.architectures.registry import build
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.pixels import unit_images
from limen.models.weights import check_weights
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class CheckpointEncoder:
    """A built-in architecture with loaded weights, on the CPU in evaluation mode, read out at one layer."""

    module: Any
    layer: str
    weights: str
    """SHA-256 of the weights file."""
    batch_size: int = 256
    input: InputKind = "image"

    @property
    def dimension(self) -> int:
        """Columns of the features."""
        return int(self.module.dimension(self.layer))

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """Mean and standard deviation per channel are saved with the weights and applied by the module."""
        return {"scale": "[0, 1]", "architecture": dict(self.module.architecture)}

    @property
    def fingerprint(self) -> str:
        """Of the weights, the architecture and the layer."""
        return fingerprint_of(
            {"source": "torch", "weights": self.weights, "layer": self.layer, "module": dict(self.module.architecture)}
        )

    def encode(self, inputs: Any) -> Features:
        """Images [n, h, w, c] → [n, d]. Raises BadInput for another shape or number of channels."""
        images = unit_images(inputs)
        channels = self.module.shape.in_channels
        if images.shape[3] != channels:
            what = f"expected images with {channels} channels, as in training, got {images.shape[3]}"
            raise BadInput(Problem("images", what, fix="convert them, or use other weights"))
        rows = [np.zeros((0, self.dimension), dtype=np.float32)]
        with torch.inference_mode():
            for start in range(0, len(images), self.batch_size):
                batch = np.ascontiguousarray(np.moveaxis(images[start : start + self.batch_size], 3, 1))
                rows.append(self.module(torch.from_numpy(batch), self.layer).numpy())
        return np.concatenate(rows)


def load_checkpoint(spec: Mapping[str, Any]) -> CheckpointEncoder:
    """The encoder of `{path, architecture, layer, batch_size}`.

    `architecture.in_channels` and `.image_size` may be left out: they are read off the tensors. Raises BadInput for
    pickles (unread), damaged files, an unknown architecture or layer, and tensors that do not fit.
    """
    path = Path(str(spec["path"])).expanduser()
    check_weights(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        what = f"expected a sound safetensors file; {str(error).splitlines()[0][:160]}"
        raise BadInput(Problem(str(path), what, "damage", "copy it again")) from None
    architecture = {key: value for key, value in dict(spec["architecture"]).items() if value is not None}
    module = build(_completed(architecture, tensors))
    _load(module, tensors, path)
    layer = spec.get("layer") or module.layers[-1]
    module.dimension(layer)  # names the layers when this one is not among them
    return CheckpointEncoder(module.eval(), layer, content_hash(path), int(spec.get("batch_size") or 256))


def _completed(architecture: dict[str, Any], tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The architecture with channels and image size, where they were left out, as the tensors have them."""
    stem = tensors.get("stem.0.weight")
    if "in_channels" not in architecture and stem is not None and stem.ndim == 4:
        architecture["in_channels"] = int(stem.shape[1])
    stages = [int(match.group(1)) for name in tensors if (match := re.match(r"stage(\d+)\.", name))]
    if "image_size" not in architecture and stages:
        architecture["image_size"] = 4 * 2 ** (max(stages) - 1) * int(architecture.get("stem_stride", 1))
    return architecture


def _load(module: Any, tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    problems = []
    absent, surplus = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if absent:
        problems.append(f"tensors are missing: {names_text(absent)}")
    if surplus:
        problems.append(f"tensors are unknown to the architecture: {names_text(surplus)}")
    problems += [
        f"{name}: expected shape {list(expected[name])}, got {list(tensors[name].shape)}"
        for name in sorted(set(expected) & set(tensors))
        if tensors[name].shape != expected[name]
    ]
    if problems:
        fix = "give the architecture that these weights were trained with"
        raise BadInput([Problem(str(path), what, "another architecture or width", fix) for what in problems])
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
