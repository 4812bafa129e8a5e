"""Weights in a safetensors file under a built-in architecture: images in, one named layer out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from limen.data.fingerprint import content_hash
from limen.data.phrases import names_text
from limen.models.architectures.registry import TAKES, build, taking
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.pixels import unit_images
from limen.models.weights import check_weights
from limen.records.errors import BadInput, Problem

MOST_STAGES = 12
"""Of a conv encoder: images of 8,192 pixels a side. More are a hostile name, and would take all memory to build."""
ZEROS = "normalise.mean"
"""The tensor of several axes that may hold nothing but zeros."""
SIGNS: Mapping[str, str] = {
    r"stage\d+\.\d+\.conv1\.": "resnet18", r"stage\d+\.conv1\.": "conv", r"hidden\d+\.": "mlp", r"patches\.": "vit",
    r"embedding\.": "transformer", r"stage\d+\.": "sound",
}  # fmt: skip
"""How the name of a tensor begins → the architecture that has such, the first that is met."""


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
    pickles (unread), damaged and half-written files, an unknown architecture or layer or one that takes no images, and
    tensors that do not fit or hold no weights.
    """
    path = Path(str(spec["path"])).expanduser()
    architecture = {key: value for key, value in dict(spec["architecture"]).items() if value is not None}
    name = architecture.get("name")
    if TAKES.get(str(name), "image") != "image":
        what = f"expected an architecture of images ({', '.join(taking('image'))}), got {name!r} of {TAKES[str(name)]}"
        raise BadInput(Problem("architecture.name", what))
    check_weights(path)
    tensors = _read(path)
    module = build(_completed(architecture, tensors))
    _load(module, tensors, path)
    layer = spec.get("layer") or module.layers[-1]
    module.dimension(layer)  # names the layers when this one is not among them
    return CheckpointEncoder(module.eval(), layer, content_hash(path), int(spec.get("batch_size") or 256))


def _read(path: Path) -> dict[str, Any]:
    """The tensors of a file, floating ones as float32. Raises BadInput for damage, and for numbers that are none."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"expected a sound safetensors file; {(str(error).splitlines() or ['unreadable'])[0][:160]}"
        raise BadInput(Problem(str(path), what, "damage", "copy it again")) from None
    floating = {name: tensor.float() for name, tensor in tensors.items() if tensor.is_floating_point()}
    wrong = [name for name, tensor in floating.items() if not torch.isfinite(tensor).all()]
    matrices = {name: tensor for name, tensor in floating.items() if tensor.ndim > 1 and not name.endswith(ZEROS)}
    empty = [name for name, tensor in matrices.items() if not tensor.any()]
    problems = []
    if wrong:
        what = f"expected finite weights, got others in {names_text(sorted(wrong))}"
        problems.append(Problem(str(path), what, "saved after training diverged, or damage", "an earlier checkpoint"))
    if empty:
        what = f"expected weights, got nothing but zeros in {names_text(sorted(empty))}"
        problems.append(Problem(str(path), what, "half-written: its space was taken and not filled", "copy it again"))
    if problems:
        raise BadInput(problems)
    return {**tensors, **floating}


def _completed(architecture: dict[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture with channels and image size, where they were left out, as the tensors have them."""
    full = dict(architecture)
    mean = tensors.get("normalise.mean")
    channels = int(full.get("in_channels") or (mean.shape[0] if mean is not None and mean.ndim else 3))
    size = _image_size(full, tensors, channels)
    return {"in_channels": channels} | ({"image_size": size} if size else {}) | full


def _image_size(architecture: Mapping[str, Any], tensors: Mapping[str, Any], channels: int) -> int | None:
    """Pixels a side that these tensors were made for; None where they do not say, or are of another architecture."""
    name = architecture.get("name")
    if name == "vit" and (place := tensors.get("patches.place")) is not None:
        return int(architecture.get("patch", 4)) * math.isqrt(len(place))
    if name == "mlp" and (first := tensors.get("hidden1.0.weight")) is not None and first.ndim == 2:
        return math.isqrt(first.shape[1] // max(channels, 1))
    stages = [int(match[1]) for key in tensors if (match := re.match(r"stage([1-9]\d?)\.", key))]
    if name == "conv" and stages and max(stages) <= MOST_STAGES:
        return int(4 * 2 ** (max(stages) - 1) * int(architecture.get("stem_stride", 1)))
    return None


def _load(module: Any, tensors: Mapping[str, Any], path: Path) -> None:
    expected = module.state_dict()
    absent, surplus = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    both = sorted(set(expected) & set(tensors))
    shaped = [name for name in both if tensors[name].shape != expected[name].shape]
    typed = [name for name in both if tensors[name].is_floating_point() != expected[name].is_floating_point()]
    found = []
    if absent:
        found.append(f"tensors are missing: {names_text(absent)}")
    if surplus:
        found.append(f"tensors are unknown to the architecture: {names_text(surplus)}")
    if shaped:
        first, other = shaped[0], f", and {len(shaped) - 1} more tensors have another shape" * (len(shaped) > 1)
        shapes = f"expected shape {list(expected[first].shape)}, got {list(tensors[first].shape)}"
        found.append(f"{first}: {shapes}{other}")
    if typed:
        found.append(f"numbers of another kind, {tensors[typed[0]].dtype}, in {names_text(typed)}")
    if found:
        own, fix = _looks_like(tensors), "give the architecture that these weights were trained with"
        cause = f"another architecture or width; by their names they look like {own}" if own else "another architecture"
        raise BadInput([Problem(str(path), what, cause, fix) for what in found])
    module.load_state_dict(tensors)


def _looks_like(tensors: Mapping[str, Any]) -> str:
    """The built-in architecture that tensors of such names belong to; empty for none.

    >>> _looks_like({"stage1.0.conv1.weight": None, "stem.0.weight": None})
    'resnet18'
    """
    return next((name for sign, name in SIGNS.items() if any(re.match(sign, key) for key in tensors)), "")
