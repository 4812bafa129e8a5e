"""From the description of an encoder in a study to the encoder: one file per library, imported when it is needed.

    source = sentence-transformers | transformers | timm | open-clip | torch | embeddings | pixels | bag-of-words
             | random-features

(`pretrain` encoders come out of the study's own runs.)  The first five read local files only.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

from limen.data.extras import require
from limen.data.phrases import did_you_mean, names_text
from limen.models.encoder import Encoder
from limen.records.errors import BadInput, Problem

INPUTS: Mapping[str, tuple[str, ...]] = {
    "sentence-transformers": ("text",),
    "transformers": ("text", "image", "audio"),
    "timm": ("image",),
    "open-clip": ("image", "text"),
    "torch": ("image",),
    "embeddings": ("features",),
    "pixels": ("image",),
    "bag-of-words": ("text",),
    "random-features": ("features", "text", "image"),
}
"""Source → kinds of input it takes; the first is the default."""
WITH_WEIGHTS = ("sentence-transformers", "transformers", "timm", "open-clip", "torch")
"""Sources that read a path, and whose golden embedding is compared."""


def load_encoder(spec: Mapping[str, Any], *, golden: bool = True) -> Encoder:
    """The encoder of `{source, …}` (keys as in a study file), ready to encode.

    Encoders with weights compare their golden embedding (`limen.models.golden`) unless `golden` is False.
    Raises BadInput with what is wrong: source, input, missing extra, missing or unusable files.

    >>> load_encoder({"source": "bag-of-words", "dimension": 8}).encode(["a word"]).shape
    (1, 8)
    """
    source = _checked(spec)
    maker = _MAKERS[source]
    encoder = maker(spec)
    if golden and source in WITH_WEIGHTS:
        _from("golden", "check_golden")(encoder)
    return encoder


def _checked(spec: Mapping[str, Any]) -> str:
    source = str(spec.get("source", "none"))
    if source not in INPUTS:
        near = did_you_mean(source, INPUTS)
        raise BadInput(Problem("source", f"expected one of {names_text(INPUTS)}, got {source!r}", fix=near))
    kind = spec.get("input") or INPUTS[source][0]
    if kind not in INPUTS[source]:
        raise BadInput(Problem("input", f"{source} takes {' or '.join(INPUTS[source])}, got {kind!r}"))
    if source in WITH_WEIGHTS and not spec.get("path"):
        raise BadInput(Problem("path", f"{source} needs the path of its weights, got none"))
    if source == "torch" and not spec.get("architecture"):
        raise BadInput(Problem("architecture", "torch needs the architecture of its weights", fix='{ name = "conv" }'))
    return source


def _from(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"limen.models.{module}"), name)


def _checkpoint(spec: Mapping[str, Any]) -> Encoder:
    require("torch", "torch", "torch checkpoints")
    return cast(Encoder, _from("torch_checkpoint", "load_checkpoint")(spec))


def _random(spec: Mapping[str, Any]) -> Encoder:
    kind, dimension, seed = spec.get("input") or "features", int(spec.get("dimension", 1024)), int(spec.get("seed", 0))
    return cast(Encoder, _from("random_features", "RandomFeatures")(kind, dimension, seed))


_MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Encoder]] = {
    "sentence-transformers": lambda spec: _from("sentence_transformers", "load_sentence_encoder")(spec),
    "transformers": lambda spec: _from("hf_transformers", "load_hidden_layer_encoder")(spec),
    "timm": lambda spec: _from("timm_models", "load_timm_encoder")(spec),
    "open-clip": lambda spec: _from("open_clip_models", "load_open_clip_encoder")(spec),
    "torch": _checkpoint,
    "embeddings": lambda spec: _from("precomputed", "Precomputed")(spec.get("column")),
    "pixels": lambda spec: _from("pixels", "Pixels")(),
    "bag-of-words": lambda spec: _from("bag_of_words", "BagOfWords")(int(spec.get("dimension", 4096))),
    "random-features": _random,
}
