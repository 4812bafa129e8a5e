"""Encoders in the transformers layout: any hidden layer of an AutoModel, pooled over positions to one row an input.

hidden_0 = embeddings, hidden_l = output of block l;   layer −1 = the model's final output
mean   Σ_t m_t h_t / Σ_t m_t over the unmasked positions (for convolutional models: over all positions)
cls    the first unmasked position         last    the last unmasked position
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.audio import decode_audio
from limen.data.extras import require
from limen.data.fingerprint import folder_hash
from limen.models.bag_of_words import text_list
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.folder import check_model_folder, model_folder
from limen.models.golden import fixed_inputs
from limen.models.offline import hub_library
from limen.models.pixels import unit_images
from limen.models.sentence_transformers import unusable
from limen.records.errors import BadInput, Problem

POOLINGS = ("mean", "cls", "last")
NO_LIMIT = 1_000_000
"""Tokenizers without a limit report an astronomical one."""


@dataclass(frozen=True, slots=True)
class HiddenLayerEncoder:
    """A loaded transformers model on the CPU, in float32 and evaluation mode, read out at one layer."""

    torch: Any
    model: Any
    processor: Any
    """Tokenizer, image processor or feature extractor, from the same folder as the weights."""
    weights: str
    preprocessing: Mapping[str, Any]
    dimension: int
    input: InputKind = "text"
    layer: int = -1
    pooling: str = "mean"
    batch_size: int = 64

    @property
    def fingerprint(self) -> str:
        """Of the folder's content and of layer, pooling and truncation."""
        limit = self.preprocessing.get("max_tokens_asked")
        return hidden_fingerprint(self.weights, self.input, self.layer, self.pooling, limit)

    def encode(self, inputs: Any) -> Features:
        """Features [n, d]. Raises BadInput for inputs of another kind."""
        items, step = self._items(inputs)
        rows = [self._batch(items[start : start + step]) for start in range(0, len(items), step)]
        return np.concatenate(rows) if rows else np.zeros((0, self.dimension), dtype=np.float32)

    def _items(self, inputs: Any) -> tuple[Any, int]:
        if self.input == "text":
            return text_list(inputs), self.batch_size
        if self.input == "audio":
            # One clip a batch: padding would change what models without a mask make of the others.
            return decode_audio(list(inputs), int(self.preprocessing["sampling_rate"])), 1
        return (unit_images(inputs) * 255).round().astype(np.uint8), self.batch_size

    def _batch(self, items: Any) -> Features:
        if self.input == "text":
            limit = self.preprocessing["max_tokens"]
            ready = self.processor(items, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        elif self.input == "audio":
            rate = self.preprocessing["sampling_rate"]
            ready = self.processor(list(items), sampling_rate=rate, return_tensors="pt")
        else:
            pictures = [np.repeat(item, 3, axis=2) if item.shape[2] == 1 else item for item in items]
            ready = self.processor(pictures, return_tensors="pt", input_data_format="channels_last")
        with self.torch.inference_mode():
            out = self.model(**ready, output_hidden_states=self.layer != -1)
            hidden = out.last_hidden_state if self.layer == -1 else out.hidden_states[self.layer]
            mask = ready.get("attention_mask") if self.input == "text" else None
            return np.asarray(pool(self.torch, hidden, mask, self.pooling).float().numpy(), dtype=np.float32)


def pool(torch: Any, hidden: Any, mask: Any, pooling: str) -> Any:
    """Hidden states [n, t, d] (or [n, d, h, w]) and mask [n, t] → [n, d]."""
    if hidden.ndim == 4:
        return hidden.mean(dim=(2, 3))
    if mask is None:
        mask = torch.ones(hidden.shape[:2], dtype=torch.long)
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    positions = torch.arange(mask.shape[1]).expand_as(mask)
    if pooling == "cls":
        chosen = torch.where(mask > 0, positions, mask.shape[1] - 1).amin(dim=1)
    else:
        chosen = torch.where(mask > 0, positions, 0).amax(dim=1)
    return hidden[torch.arange(len(hidden)), chosen]


def hidden_fingerprint(weights: str, kind: str, layer: int, pooling: str, limit: int | None) -> str:
    """The fingerprint of a hidden-layer encoder from the hash of its folder and its readout."""
    readout = {"input": kind, "layer": layer, "pooling": pooling, "max_length": limit}
    return fingerprint_of({"source": "transformers", "weights": weights, **readout})


def load_hidden_layer_encoder(spec: Mapping[str, Any]) -> HiddenLayerEncoder:
    """The encoder of `{path, revision, input, layer, pooling, max_length, batch_size}`. Raises BadInput."""
    path, revision, kind = str(spec["path"]), spec.get("revision"), spec.get("input", "text")
    pooling, layer = spec.get("pooling", "mean"), int(spec.get("layer", -1))
    if pooling not in POOLINGS:
        raise BadInput(Problem("pooling", f"expected one of {', '.join(POOLINGS)}, got {pooling!r}"))
    folder = model_folder(path, revision)
    check_model_folder(folder, path, revision)
    library, torch = hub_library("transformers"), require("torch", "torch", "encoders")
    local = {"local_files_only": True, "trust_remote_code": False}
    maker = {"text": "AutoTokenizer", "image": "AutoImageProcessor", "audio": "AutoFeatureExtractor"}[kind]
    try:
        processor = getattr(library, maker).from_pretrained(str(folder), **local)
        model = library.AutoModel.from_pretrained(str(folder), use_safetensors=True, dtype=torch.float32, **local)
    except Exception as error:
        raise unusable(folder, "transformers", error) from error
    model = _encoder_half(model).eval()
    preprocessing = _preprocessing(model, processor, kind, spec.get("max_length"))
    encoder = HiddenLayerEncoder(
        torch, model, processor, folder_hash(folder), preprocessing, 0, kind, layer, pooling,
        int(spec.get("batch_size") or 64),
    )  # fmt: skip
    return _with_dimension(encoder, folder)


def _encoder_half(model: Any) -> Any:
    """The encoder of an encoder–decoder model: its decoder would need a target text."""
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def _preprocessing(model: Any, processor: Any, kind: str, asked: int | None) -> dict[str, Any]:
    if kind == "image":
        keys = ("size", "crop_size", "image_mean", "image_std", "rescale_factor", "resample")
        return {key: _plain(value) for key in keys if (value := getattr(processor, key, None)) is not None}
    if kind == "audio":
        return {"sampling_rate": int(processor.sampling_rate)}
    plain: dict[str, Any] = {"padding_side": processor.padding_side, "max_tokens_asked": asked}
    if processor.pad_token is None:
        processor.pad_token = processor.eos_token or processor.unk_token  # masked out, so its embedding is never used
        plain["pad_token"] = str(processor.pad_token)
    known = [processor.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    limits = [int(limit) for limit in (asked, *known) if limit and limit < NO_LIMIT]
    return plain | {"max_tokens": min(limits, default=512)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (int, float, str, bool)) else str(value)


def _with_dimension(encoder: HiddenLayerEncoder, folder: Path) -> HiddenLayerEncoder:
    """The encoder with its width, measured on one input; a layer it does not have is an error."""
    try:
        width = encoder._batch(encoder._items(fixed_inputs(encoder))[0][:1]).shape[1]
    except IndexError:
        count = int(getattr(encoder.model.config, "num_hidden_layers", 0))
        what = f"expected a layer from 0 (embeddings) to {count}, or −1 for the last; got {encoder.layer}"
        raise BadInput(Problem(f"{folder}: layer", what)) from None
    return replace(encoder, dimension=width)
