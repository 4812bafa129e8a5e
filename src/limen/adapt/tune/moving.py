"""Which weights of an encoder move: all, named ones, low-rank updates, or vectors before its tokens."""

from __future__ import annotations

import warnings
from fnmatch import fnmatchcase
from typing import Any

import torch

from limen.adapt.tune.spec import TuneSpec
from limen.arrays.random import stream
from limen.data.extras import require
from limen.data.phrases import names_text
from limen.models.trainable.prompts import add_prompt
from limen.models.trainable.trainable import Trainable
from limen.records.errors import BadInput, Problem


def set_moving(encoder: Trainable, spec: TuneSpec) -> dict[str, Any]:
    """Make the encoder ready for the method, in place; name → parameter of what moves (the others are frozen).

    Raises BadInput for patterns that match nothing and for methods that this encoder does not take.
    """
    if spec.method == "lora":
        names = _low_rank(encoder, spec)
    elif spec.method in ("prompt", "prefix"):
        kind = "prompt" if spec.method == "prompt" else "prefix"
        rng = stream("tune/prompt", spec.method, spec.seed)
        names = set(add_prompt(encoder, kind, spec.prompt_tokens, rng))  # type: ignore[arg-type]
    elif spec.method == "partial":
        names = _named(encoder, spec.layers)
    else:
        names = {name for name, _ in encoder.module.named_parameters()}
    moving = {}
    for name, parameter in encoder.module.named_parameters():
        parameter.requires_grad_(name in names)
        if name in names:
            moving[name] = parameter
    return moving


def _named(encoder: Trainable, patterns: tuple[str, ...]) -> set[str]:
    every = [name for name, _ in encoder.module.named_parameters()]
    found = {p: {n for n in every if n.startswith(f"{p}.") or fnmatchcase(n, p)} for p in patterns}
    missing = [pattern for pattern, names in found.items() if not names]
    if missing:
        fix = f"its layers are {names_text(encoder.layers)}; patterns of parameter names work too (*.bias)"
        what = "expected a layer or a pattern of parameter names, got one that matches nothing"
        raise BadInput([Problem(f"layers: {pattern}", what, fix=fix) for pattern in missing])
    return set().union(*found.values())


def _low_rank(encoder: Trainable, spec: TuneSpec) -> set[str]:
    peft = require("peft", "peft", "low-rank updates")
    targets = _targets(encoder, spec.targets)
    config = peft.LoraConfig(r=spec.rank, lora_alpha=spec.alpha, target_modules=targets, lora_dropout=0.0)
    before = {name for name, _ in encoder.module.named_parameters()}
    with torch.random.fork_rng(), warnings.catch_warnings():  # peft draws A from torch's generator; B is 0
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to")  # peft sets it right for every map by itself
        torch.manual_seed(int(stream("tune/lora", spec.seed).integers(2**62)))
        peft.inject_adapter_in_model(config, encoder.module)
    after = {name for name, _ in encoder.module.named_parameters()}
    return {name for name in after - before if ".lora_" in name}


def _targets(encoder: Trainable, patterns: tuple[str, ...]) -> list[str]:
    """Names of linear maps and convolutions: those that a pattern or a name's end picks, else all within the layers."""
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
    maps = [name for name, part in encoder.module.named_modules() if isinstance(part, kinds) or _transposed(part)]
    if not patterns:
        maps = [name for name in maps if any(f"{name}.".startswith(f"{layer}.") for layer in encoder.layers)] or maps
        if not maps:
            raise BadInput(Problem("method", "this encoder has no linear map to update", fix='method = "fine-tune"'))
        return maps
    chosen = {p: [n for n in maps if fnmatchcase(n, p) or n == p or n.endswith(f".{p}")] for p in patterns}
    missing = [pattern for pattern, names in chosen.items() if not names]
    if missing:
        ends = names_text(sorted({name.rpartition(".")[2] for name in maps}))
        what = "expected the name of a linear map, got one that matches nothing"
        raise BadInput([Problem(f"targets: {p}", what, fix=f"maps end in {ends}") for p in missing])
    return sorted({name for names in chosen.values() for name in names})


def _transposed(part: Any) -> bool:
    """GPT-2 keeps its linear maps in a class of transformers that is called Conv1D."""
    return type(part).__name__ == "Conv1D" and hasattr(part, "nf")
