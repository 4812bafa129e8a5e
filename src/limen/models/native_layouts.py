"""Folders of timm and open_clip: what they hold, and what their configuration may say before either library sees it.

timm         config.json (architecture, pretrained_cfg)                     model.safetensors
open-clip    open_clip_config.json (model_cfg: vision_cfg, text_cfg)        open_clip_model.safetensors
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from limen.data.phrases import printable
from limen.records.errors import Problem

NATIVE: Mapping[str, tuple[str, str]] = {
    "timm": ("config.json", "model.safetensors"),
    "open-clip": ("open_clip_config.json", "open_clip_model.safetensors"),
}
"""Source → configuration and weights of libraries whose folders hold one model and no pipeline."""
LOADING = (
    "cache_dir", "checkpoint_path", "feature_cfg", "features_only", "pretrained", "pretrained_cfg",
    "pretrained_cfg_overlay", "pretrained_filter_fn", "pretrained_model_args", "pretrained_strict",
)  # fmt: skip
"""Arguments of timm's factory that say what is loaded and how strictly; a model's own arguments name none of them."""
ELSEWHERE = (("text_cfg", "hf_model_name"), ("text_cfg", "hf_tokenizer_name"))
"""Keys that name another model, whose configuration or tokenizer open_clip fetches."""


def configuration_problems(folder: Path, source: str) -> Iterator[Problem]:
    """Where the configuration is another library's, or names files that are not in the folder."""
    file = folder / NATIVE[source][0]
    try:
        plain = json.loads(file.read_text("utf-8"))
    except (ValueError, OSError, RecursionError):
        return  # files that cannot be read are named by `limen.models.folder`
    if isinstance(plain, dict):
        yield from (_timm if source == "timm" else _open_clip)(file, plain)


def _timm(file: Path, plain: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(plain.get("architecture"), str):
        what = "expected timm's config.json, which names an architecture; it names none"
        fix = 'use source = "transformers"' if "model_type" in plain else "save the model with timm's save_for_hf"
        yield Problem(str(file), what, "another library's layout", fix)
    arguments, pretrained = plain.get("model_args", {}), plain.get("pretrained_cfg", plain)
    if not isinstance(arguments, dict) or not isinstance(pretrained, dict):
        yield Problem(str(file), "expected tables model_args and pretrained_cfg, got something else")
        return
    for key in sorted(set(arguments) & set(LOADING)):
        what = "this argument says what is loaded, not what the model is; it was not passed on"
        yield Problem(f"{file}: model_args.{key}", what, "timm would read other files, or fewer tensors", "remove it")
    classes = plain.get("num_classes", pretrained.get("num_classes"))
    asked = arguments.get("num_classes", classes)
    if asked != classes:
        what = f"expected num_classes = {classes}, as the weights have, got {asked}"
        yield Problem(f"{file}: model_args.num_classes", what, "timm would load such weights in part", "remove it")


def _open_clip(file: Path, plain: Mapping[str, Any]) -> Iterator[Problem]:
    model = plain.get("model_cfg")
    towers = [model.get(key) for key in ("vision_cfg", "text_cfg")] if isinstance(model, dict) else []
    if not isinstance(model, dict) or not all(isinstance(tower, dict) for tower in towers):
        what = "expected model_cfg with tables vision_cfg and text_cfg, got something else"
        yield Problem(str(file), what, "another library's layout", "save it with open_clip's push_to_hf_hub")
        return
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
