"""Image encoders in timm's hub layout: a folder with config.json (architecture, pretrained_cfg) and model.safetensors.

features          f(x) = pooled output in front of the classifier, timm's `num_classes = 0`
features, layer   mean over positions of the map that the named stage or block gives (timm's `feature_info`)
x                 timm's own transform of evaluation for this configuration: resize, crop, scale, standardise
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.extras import require
from limen.data.fingerprint import folder_hash
from limen.data.phrases import did_you_mean, names_text, printable
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.folder import check_model_folder, model_folder
from limen.models.golden import fixed_inputs
from limen.models.offline import vision_library
from limen.models.pixels import eight_bit_images
from limen.models.sentence_transformers import unusable
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class TimmEncoder:
    """A loaded timm model on the CPU, in float32 and evaluation mode, read out at its pooled output or at one layer."""

    torch: Any
    model: Any
    transform: Any
    """timm's own: a Pillow image to a tensor [c, h, w]."""
    weights: str
    """SHA-256 of the model folder: weights and configuration."""
    preprocessing: Mapping[str, Any]
    dimension: int
    layer: str | None = None
    batch_size: int = 64
    input: InputKind = "image"

    @property
    def fingerprint(self) -> str:
        """Of the folder's content, which fixes architecture and transform, and of the layer."""
        return timm_fingerprint(self.weights, self.layer)

    def encode(self, inputs: Any) -> Features:
        """Images [n, h, w, c] → [n, d]; grey ones are repeated over three channels. Raises BadInput for others."""
        from PIL import Image

        images = eight_bit_images(inputs, self.preprocessing["architecture"]["in_channels"])
        rows = []
        for start in range(0, len(images), self.batch_size):
            batch = [one[..., 0] if one.shape[2] == 1 else one for one in images[start : start + self.batch_size]]
            rows.append(self._features(self.torch.stack([self.transform(Image.fromarray(one)) for one in batch])))
        return np.concatenate(rows) if rows else np.zeros((0, self.dimension), dtype=np.float32)

    def _features(self, batch: Any) -> Features:
        with self.torch.inference_mode():
            if self.layer is None:
                out = self.model(batch)
            else:
                place = layer_names(self.model).index(self.layer)
                (maps,) = self.model.forward_intermediates(batch, indices=[place], intermediates_only=True)
                out = maps.mean(dim=(2, 3))
            return np.asarray(out.float().numpy(), dtype=np.float32)


def timm_fingerprint(weights: str, layer: str | None) -> str:
    """The fingerprint of a timm encoder from the hash of its folder and its layer."""
    return fingerprint_of({"source": "timm", "weights": weights, "layer": layer})


def load_timm_encoder(spec: Mapping[str, Any]) -> TimmEncoder:
    """The encoder of `{path, revision, layer, batch_size}`. Raises BadInput; see `limen.models.folder`."""
    path, revision, layer = str(spec["path"]), spec.get("revision"), spec.get("layer")
    folder = model_folder(path, revision)
    check_model_folder(folder, path, revision, "timm")
    library, torch = vision_library("timm", "timm"), require("torch", "torch", "encoders")
    _known_architecture(library, folder)
    try:
        model = library.create_model(f"local-dir:{folder}", pretrained=True).float().eval()
        model.reset_classifier(0)
        data = library.data.resolve_data_config({}, pretrained_cfg=model.pretrained_cfg, model=model)
        transform = library.data.create_transform(**data, is_training=False)
    except Exception as error:
        raise unusable(folder, "timm", error) from error
    _check_loaded(torch, model, folder)
    if layer is not None and layer not in layer_names(model):
        what = f"expected one of the layers {names_text(layer_names(model), 12)}, got {printable(str(layer))}"
        raise BadInput(Problem(f"{folder}: layer", what, fix=did_you_mean(str(layer), layer_names(model))))
    preprocessing = _preprocessing(model, data, transform)
    encoder = TimmEncoder(
        torch, model, transform, folder_hash(folder), preprocessing, 0, layer, int(spec.get("batch_size") or 64)
    )
    return replace(encoder, dimension=_width(encoder, folder))


def layer_names(model: Any) -> tuple[str, ...]:
    """The layers that a timm model names (`feature_info`) and can be read out at; none of some architectures."""
    known = getattr(model, "feature_info", None)
    if not known or not hasattr(model, "forward_intermediates"):
        return ()
    return tuple(known.module_name()) if hasattr(known, "module_name") else tuple(one["module"] for one in known)


def _known_architecture(library: Any, folder: Path) -> None:
    name = json.loads((folder / "config.json").read_text("utf-8"))["architecture"]
    if any(sign in name for sign in ":/\\") or not library.is_model(name):
        what = f"expected an architecture of timm {library.__version__}, got {printable(name)}"
        near = did_you_mean(name, library.list_models())
        cause = "a newer model than the installed version knows, or another library's layout"
        raise BadInput(Problem(f"{folder / 'config.json'}: architecture", what, cause, near))


def _check_loaded(torch: Any, model: Any, folder: Path) -> None:
    """Some architectures of timm load what fits and leave the rest as drawn: every tensor must be in the file.

    It is there under its own name, or, where timm renames tensors of older files, with its values under another.
    """
    from safetensors.torch import load_file

    held = load_file(folder / "model.safetensors")
    mine = model.state_dict()
    others = [tensor.float().flatten() for name, tensor in held.items() if name not in mine]
    absent = [
        name
        for name, tensor in mine.items()
        if name not in held and not any(torch.equal(tensor.float().flatten(), other) for other in others)
    ]
    if absent:
        what = f"tensors of the model are missing: {names_text(absent)}"
        raise BadInput(Problem(str(folder / "model.safetensors"), what, "another architecture, or half the weights"))


def _preprocessing(model: Any, data: Mapping[str, Any], transform: Any) -> dict[str, Any]:
    plain = {key: list(value) if isinstance(value, (list, tuple)) else value for key, value in data.items()}
    architecture = {"name": str(model.pretrained_cfg["architecture"]), "in_channels": int(data["input_size"][0])}
    steps = [" ".join(str(step).split()) for step in transform.transforms]
    return plain | {"steps": steps, "architecture": architecture}


def _width(encoder: TimmEncoder, folder: Path) -> int:
    try:
        rows = encoder.encode(fixed_inputs(encoder)[:1])
    except BadInput:
        raise
    except Exception as error:
        raise unusable(folder, "timm", error) from error
    if rows.ndim != 2:
        what = f"expected pooled features [n, d], got shape {list(rows.shape)}"
        cause = 'the configuration says global_pool = ""'
        raise BadInput(
            Problem(str(folder), what, cause, f"name one of the layers {names_text(layer_names(encoder.model))}")
        )
    return int(rows.shape[1])
