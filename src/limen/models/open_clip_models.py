"""The two towers of open_clip models: a folder with open_clip_config.json and open_clip_model.safetensors.

image   f(x) = projection of the image tower, on open_clip's own transform of evaluation
text    f(t) = projection of the text tower, on open_clip's own tokenizer
Both are the vectors in front of the scaling to unit length: cosines are taken by whoever compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.extras import require
from limen.data.fingerprint import folder_hash
from limen.data.phrases import printable
from limen.models.bag_of_words import text_list
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.folder import check_model_folder, model_folder
from limen.models.golden import fixed_inputs
from limen.models.offline import vision_library
from limen.models.pixels import eight_bit_images
from limen.models.sentence_transformers import unusable
from limen.records.errors import BadInput, Problem

ELSEWHERE = (("text_cfg", "hf_model_name"), ("text_cfg", "hf_tokenizer_name"))
"""Keys that name another model, whose configuration or tokenizer open_clip fetches."""


@dataclass(frozen=True, slots=True)
class OpenClipEncoder:
    """One tower of a loaded open_clip model on the CPU, in float32 and evaluation mode."""

    torch: Any
    model: Any
    prepare: Any
    """open_clip's own: a Pillow image to a tensor [3, h, w], or a list of texts to tokens [n, T]."""
    weights: str
    """SHA-256 of the model folder: weights and configuration."""
    preprocessing: Mapping[str, Any]
    dimension: int
    input: InputKind = "image"
    batch_size: int = 64

    @property
    def fingerprint(self) -> str:
        """Of the folder's content, which fixes architecture and preprocessing, and of the tower."""
        return open_clip_fingerprint(self.weights, self.input)

    def encode(self, inputs: Any) -> Features:
        """Images [n, h, w, c] or texts → [n, d]; grey images are repeated over three channels. Raises BadInput."""
        items = text_list(inputs) if self.input == "text" else eight_bit_images(inputs)
        step = self.batch_size
        rows = [self._batch(items[start : start + step]) for start in range(0, len(items), step)]
        return np.concatenate(rows) if rows else np.zeros((0, self.dimension), dtype=np.float32)

    def _batch(self, items: Any) -> Features:
        with self.torch.inference_mode():
            if self.input == "text":
                out = self.model.encode_text(self.prepare(items))
            else:
                from PIL import Image

                pictures = [self.prepare(Image.fromarray(item)) for item in items]
                out = self.model.encode_image(self.torch.stack(pictures))
            return np.asarray(out.float().numpy(), dtype=np.float32)


def open_clip_fingerprint(weights: str, kind: str) -> str:
    """The fingerprint of one tower from the hash of its folder."""
    return fingerprint_of({"source": "open-clip", "weights": weights, "input": kind})


def load_open_clip_encoder(spec: Mapping[str, Any]) -> OpenClipEncoder:
    """The encoder of `{path, revision, input, batch_size}`. Raises BadInput; see `limen.models.folder`."""
    path, revision = str(spec["path"]), spec.get("revision")
    kind: InputKind = spec.get("input", "image")
    folder = model_folder(path, revision)
    check_model_folder(folder, path, revision, "open-clip")
    check_config(folder)
    library, torch = vision_library("open_clip", "open-clip"), require("torch", "torch", "encoders")
    name = f"local-dir:{folder}"
    try:
        model, transform = library.create_model_from_pretrained(name, precision="fp32", device="cpu")
        prepare = library.get_tokenizer(name) if kind == "text" else transform
    except Exception as error:
        raise unusable(folder, "open_clip", error) from error
    preprocessing = _text(prepare) if kind == "text" else _image(model, transform)
    encoder = OpenClipEncoder(
        torch, model.eval(), prepare, folder_hash(folder), preprocessing, 0, kind, int(spec.get("batch_size") or 64)
    )
    try:
        width = encoder.encode(fixed_inputs(encoder)[:1]).shape[1]
    except Exception as error:
        raise unusable(folder, "open_clip", error) from error
    return replace(encoder, dimension=int(width))


def check_config(folder: Path) -> None:
    """Raise BadInput where open_clip_config.json describes no model, or one that needs files of another."""
    file = folder / "open_clip_config.json"
    plain = json.loads(file.read_text("utf-8"))  # readable, and an object: `check_model_folder` has seen to that
    model = plain.get("model_cfg")
    towers = [model.get(key) for key in ("vision_cfg", "text_cfg")] if isinstance(model, dict) else []
    if not towers or not all(isinstance(tower, dict) for tower in towers):
        what = "expected model_cfg with tables vision_cfg and text_cfg, got something else"
        raise BadInput(Problem(str(file), what, "another library's layout", "save it with open_clip's push_to_hf_hub"))
    problems = list(_from_elsewhere(file, model))
    if problems:
        raise BadInput(problems)


def _from_elsewhere(file: Path, model: Mapping[str, Any]) -> Iterator[Problem]:
    for table, key in ELSEWHERE:
        if model[table].get(key):
            yield Problem(
                f"{file}: {table}.{key}",
                f"this model needs files of {printable(str(model[table][key]))}, which are not in its folder",
                "open_clip fetches them; Limen never fetches models by itself",
                "use a model with open_clip's own text tower and tokenizer, or compute the embeddings yourself",
            )
    trunk = str(model["vision_cfg"].get("timm_model_name") or "")
    if any(sign in trunk for sign in ":/\\"):
        what = f"expected the name of an architecture of timm, got {printable(trunk)}; it was not looked up"
        yield Problem(f"{file}: vision_cfg.timm_model_name", what, "such a name points at other files", "use its name")


def _image(model: Any, transform: Any) -> dict[str, Any]:
    known = dict(model.visual.preprocess_cfg)
    plain = {key: list(value) if isinstance(value, (list, tuple)) else value for key, value in known.items()}
    return plain | {"steps": [" ".join(str(step).split()) for step in transform.transforms]}


def _text(tokenizer: Any) -> dict[str, Any]:
    return {
        "tokenizer": type(tokenizer).__name__,
        "max_tokens": int(tokenizer.context_length),
        "vocabulary": int(tokenizer.vocab_size),
    }
