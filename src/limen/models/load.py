"""From the description of an encoder in a study to the encoder: one file per library, imported when it is needed.

    source = sentence-transformers | transformers | torch | embeddings | pixels | bag-of-words | random-features

(`pretrain` encoders come out of the study's own runs.)  The first three read local files only.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from limen.data.extras import require
from limen.data.fingerprint import content_hash, folder_hash
from limen.data.phrases import did_you_mean, names_text
from limen.models.encoder import Encoder
from limen.models.folder import check_model_folder, model_folder
from limen.models.weights import check_weights
from limen.records.errors import BadInput, Problem

INPUTS: Mapping[str, tuple[str, ...]] = {
    "sentence-transformers": ("text",),
    "transformers": ("text", "image", "audio"),
    "torch": ("image",),
    "embeddings": ("features",),
    "pixels": ("image",),
    "bag-of-words": ("text",),
    "random-features": ("features", "text", "image"),
}
"""Source → kinds of input it takes; the first is the default."""
NOT_SEMANTIC = ("path", "revision", "batch_size")


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
    if golden and source in ("sentence-transformers", "transformers", "torch"):
        _from("golden", "check_golden")(encoder)
    return encoder


def check_encoder(spec: Mapping[str, Any]) -> None:
    """Whether `load_encoder` has what it needs, in milliseconds: files, weights, extras; imports no heavy library.

    Raises BadInput with every problem found, among them missing weights with the command that fetches them.
    """
    source = _checked(spec)
    problems: list[Problem] = []
    library = {"sentence-transformers": "sentence_transformers", "transformers": "transformers"}.get(source)
    if library and importlib.util.find_spec(library) is None:
        problems.append(
            Problem(library, "this source needs a library that is not installed", fix="pip install '.[hf]'")
        )
    if source == "torch" and importlib.util.find_spec("torch") is None:
        problems.append(
            Problem("torch", "this source needs a library that is not installed", fix="pip install '.[torch]'")
        )
    try:
        if library:
            path, revision = str(spec["path"]), spec.get("revision")
            check_model_folder(model_folder(path, revision), path, revision)
        elif source == "torch":
            check_weights(Path(str(spec["path"])).expanduser())
    except BadInput as error:
        problems += error.problems
    if problems:
        raise BadInput(problems)


def encoder_identity(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the features mean, as plain data: the spec with its path replaced by the hash of what it holds.

    Needs no heavy library; equal identities give equal features. Raises BadInput for files that are not there.

    >>> encoder_identity({"source": "pixels", "input": "image", "batch_size": 3})
    {'input': 'image', 'source': 'pixels'}
    """
    source = _checked(spec)
    plain = {key: spec[key] for key in sorted(spec) if key not in NOT_SEMANTIC and spec[key] is not None}
    if source in ("sentence-transformers", "transformers"):
        plain["weights"] = folder_hash(model_folder(str(spec["path"]), spec.get("revision")))
    elif source == "torch":
        plain["weights"] = content_hash(Path(str(spec["path"])).expanduser())
    return plain


def _checked(spec: Mapping[str, Any]) -> str:
    source = str(spec.get("source"))
    if source not in INPUTS:
        near = did_you_mean(source, INPUTS)
        raise BadInput(Problem("source", f"expected one of {names_text(INPUTS)}, got {source!r}", fix=near))
    kind = spec.get("input") or INPUTS[source][0]
    if kind not in INPUTS[source]:
        raise BadInput(Problem("input", f"{source} takes {' or '.join(INPUTS[source])}, got {kind!r}"))
    if source in ("sentence-transformers", "transformers", "torch") and not spec.get("path"):
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
    "torch": _checkpoint,
    "embeddings": lambda spec: _from("precomputed", "Precomputed")(spec.get("column")),
    "pixels": lambda spec: _from("pixels", "Pixels")(),
    "bag-of-words": lambda spec: _from("bag_of_words", "BagOfWords")(int(spec.get("dimension", 4096))),
    "random-features": _random,
}
