"""Encoders in the transformers layout: any hidden layer of an AutoModel, pooled over positions to one row an input.

hidden_0 = embeddings, hidden_l = output of block l;   layer −1 = the model's final output
mean   Σ_t m_t h_t / Σ_t m_t over the unmasked positions (for convolutional models: over all positions)
cls    the first unmasked position         last    the last unmasked position
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
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
from limen.models.pixels import eight_bit_images
from limen.models.sentence_transformers import unusable
from limen.records.errors import BadInput, Problem

POOLINGS = ("mean", "cls", "last")
PIXELS = (
    "do_resize", "size", "resample", "crop_pct", "do_center_crop", "crop_size", "do_rescale", "rescale_factor",
    "do_normalize", "image_mean", "image_std", "do_convert_rgb",
)  # fmt: skip
SOUNDS = (
    "feature_size", "do_normalize", "num_mel_bins", "max_length", "mean", "std", "n_fft", "hop_length", "chunk_length",
)  # fmt: skip
"""What is written down of an image processor, and of a feature extractor of sounds."""
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
        rows = []
        for start in range(0, len(items), step):
            try:
                rows.append(self._batch(items[start : start + step]))
            except (RuntimeError, ValueError) as error:
                if self.input != "audio" or len(items[start]) >= self.preprocessing["sampling_rate"]:
                    raise
                raise _too_short(start, len(items[start]), self.preprocessing["sampling_rate"], error) from error
        return np.concatenate(rows) if rows else np.zeros((0, self.dimension), dtype=np.float32)

    def _items(self, inputs: Any) -> tuple[Any, int]:
        if self.input == "text":
            return text_list(inputs), self.batch_size
        if self.input == "audio":
            # One clip a batch: padding would change what models without a mask make of the others.
            return decode_audio(list(inputs), int(self.preprocessing["sampling_rate"])), 1
        return eight_bit_images(inputs, _channels(self.model)), self.batch_size

    def _batch(self, items: Any) -> Features:
        if self.input == "text":
            limit = self.preprocessing["max_tokens"]
            ready = self.processor(items, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        elif self.input == "audio":
            rate = self.preprocessing["sampling_rate"]
            ready = self.processor(list(items), sampling_rate=rate, return_tensors="pt")
        else:
            ready = self.processor(list(items), return_tensors="pt", input_data_format="channels_last")
        with self.torch.inference_mode():
            hidden = self._hidden(self.model(**ready, output_hidden_states=self.layer != -1))
            mask = ready.get("attention_mask") if self.input == "text" else None
            return np.asarray(pool(self.torch, hidden, mask, self.pooling).float().numpy(), dtype=np.float32)

    def _hidden(self, out: Any) -> Any:
        if self.layer == -1:
            return out.last_hidden_state
        last = len(out.hidden_states) - 1
        if not -last - 1 <= self.layer <= last:
            what = f"expected a layer from 0 (embeddings) to {last}, or −1 for the last; got {self.layer}"
            raise BadInput(Problem("layer", what))
        return out.hidden_states[self.layer]


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
    # Pillow resizes in every environment; with torchvision installed transformers would take that, and pixels differ.
    backend = {"backend": "pil"} if kind == "image" else {}
    maker = {"text": "AutoTokenizer", "image": "AutoImageProcessor", "audio": "AutoFeatureExtractor"}[kind]
    try:
        processor = getattr(library, maker).from_pretrained(str(folder), **local, **backend)
        model = library.AutoModel.from_pretrained(str(folder), use_safetensors=True, dtype=torch.float32, **local)
    except Exception as error:
        raise unusable(folder, "transformers", error) from error
    model = _encoder_half(model, kind).eval()
    preprocessing = _preprocessing(model, processor, kind, spec.get("max_length"))
    encoder = HiddenLayerEncoder(
        torch, model, processor, folder_hash(folder), preprocessing, 0, kind, layer, pooling,
        int(spec.get("batch_size") or 64),
    )  # fmt: skip
    return _with_dimension(encoder, folder)


def _encoder_half(model: Any, kind: str) -> Any:
    """The encoder of an encoder–decoder model, whose decoder would need a target text; the tower of a two-tower one."""
    if getattr(model.config, "is_encoder_decoder", False):
        return model.get_encoder()
    tower = getattr(model, {"text": "text_model", "image": "vision_model", "audio": "audio_model"}[kind], None)
    return tower if tower is not None and hasattr(model, "logit_scale") else model


def _channels(model: Any) -> int:
    return int(getattr(model.config, "num_channels", 3))


def _preprocessing(model: Any, processor: Any, kind: str, asked: int | None) -> dict[str, Any]:
    if kind == "image":
        return _steps(processor, PIXELS) | {"architecture": {"in_channels": _channels(model)}}
    if kind == "audio":
        return _steps(processor, SOUNDS) | {"sampling_rate": int(processor.sampling_rate)}
    plain: dict[str, Any] = {"padding_side": processor.padding_side, "max_tokens_asked": asked}
    if processor.pad_token is None:
        processor.pad_token = processor.eos_token or processor.unk_token  # masked out, so its embedding is never used
        plain["pad_token"] = str(processor.pad_token)
    known = [processor.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    limits = [int(limit) for limit in (asked, *known) if limit and limit < NO_LIMIT]
    return plain | {"max_tokens": min(limits, default=512)}


def _steps(processor: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """What the processor does, as its library writes it down; unset options are left out."""
    known = processor.to_dict()
    plain = {key: _plain(known[key]) for key in keys if known.get(key) is not None}
    return plain | {"processor": type(processor).__name__}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (int, float, str, bool)) else str(value)


def _with_dimension(encoder: HiddenLayerEncoder, folder: Path) -> HiddenLayerEncoder:
    """The encoder with its width, measured on one input; what cannot encode that is no encoder of such inputs."""
    try:
        width = encoder._batch(encoder._items(fixed_inputs(encoder))[0][:1]).shape[1]
    except BadInput as error:
        raise BadInput([replace(problem, where=f"{folder}: {problem.where}") for problem in error.problems]) from None
    except Exception as error:
        raise unusable(folder, "transformers", error) from error
    return replace(encoder, dimension=width)


def _too_short(row: int, samples: int, rate: int, error: Exception) -> BadInput:
    first = str(error).splitlines()[0][:160]
    what = f"row {row}, a sound of {samples / rate:.3g} s, cannot be encoded: {first}"
    cause = "shorter than the first windows of this model"
    return BadInput(Problem("audio", what, cause, "drop the row, or lengthen it with silence"))
