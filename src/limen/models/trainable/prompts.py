"""Vectors in front of a text that are learned while the transformer behind them stays as it is (peft).

prompt   p rows before the token embeddings: [e_1 … e_p, x_1 … x_T]       Lester, Al-Rfou, Constant 2021 (2104.08691)
prefix   p keys and p values before those of every layer                   Li, Liang 2021 (2101.00190)

Prompt rows start as embeddings of tokens drawn from the vocabulary, prefix rows as N(0, SCALE²). Only the positions of
the text are pooled. Unlike LoRA, at step 0 the features are those of the text behind a drawn prompt, not the frozen
ones: attention has p more positions to look at.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from limen.data.extras import require
from limen.models.trainable.trainable import Trainable
from limen.records.errors import BadInput, Problem

PromptKind = Literal["prompt", "prefix"]
SCALE = 0.02


def add_prompt(encoder: Trainable, kind: PromptKind, tokens: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Put `tokens` learned vectors before the encoder's text; names of their parameters in `encoder.module`.

    Raises BadInput for encoders that are no transformers models of text, and for models that take no prefix.
    """
    import torch

    model = encoder.backbone
    if model is None or not hasattr(model, "get_input_embeddings"):
        what = f"expected a transformers or sentence-transformers model of text, got one of {encoder.input} inputs"
        raise BadInput(Problem("method", what, f"{kind} tuning puts vectors before its tokens", "take lora or partial"))
    peft = require("peft", "peft", "prompts and low-rank updates")
    made = peft.PromptTuningConfig if kind == "prompt" else peft.PrefixTuningConfig
    table = model.get_input_embeddings().weight
    with torch.random.fork_rng(), warnings.catch_warnings():  # peft draws default weights; they are replaced at once
        # peft 0.21 reads a name that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        try:
            wrapped = peft.get_peft_model(model, made(task_type="FEATURE_EXTRACTION", num_virtual_tokens=tokens))
        except (ValueError, KeyError, AttributeError) as error:
            what = f"peft puts no {kind} before {type(model).__name__}: {str(error).splitlines()[0][:160]}"
            raise BadInput(Problem("method", what, fix="take prompt, lora or partial")) from error
    weight = wrapped.prompt_encoder["default"].embedding.weight
    if kind == "prompt":
        rows = torch.from_numpy(rng.choice(table.shape[0], tokens, replace=table.shape[0] < tokens))
        start = table.detach()[rows].clone()
    else:
        start = torch.from_numpy(rng.standard_normal(tuple(weight.shape)) * SCALE).to(weight.dtype)
    with torch.no_grad():
        weight.copy_(start)
    encoder.set_backbone(wrapped.eval())
    return tuple(name for name, parameter in encoder.module.named_parameters() if parameter is weight)


def most_positions(encoder: Trainable) -> int | None:
    """Positions that the encoder's transformer of text has; None where it names no limit."""
    config = getattr(encoder.backbone, "config", None)
    limit = getattr(config, "max_position_embeddings", None)
    return None if limit is None else int(limit)
