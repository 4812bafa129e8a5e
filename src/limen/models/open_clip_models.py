"""The two towers of open_clip models: a folder with open_clip_config.json and open_clip_model.safetensors.

image   f(x) = projection of the image tower, on open_clip's own transform of evaluation
text    f(t) = projection of the text tower, on open_clip's own tokenizer
Both are the vectors in front of the scaling to unit length: cosines are taken by whoever compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from limen.data.extras import require
from limen.data.fingerprint import folder_hash
from limen.models.bag_of_words import text_list
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.folder import check_model_folder, model_folder
from limen.models.golden import fixed_inputs
from limen.models.offline import vision_library
from limen.models.pixels import eight_bit_images
from limen.models.sentence_transformers import unusable


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
