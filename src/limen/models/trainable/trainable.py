"""An encoder whose weights can be moved: the frozen one's features at step 0, differentiable in its weights.

    raw inputs  →  ready (once)  →  tensors of some rows  →  features [b, d]

At the weights it was made with, `features` gives what the frozen encoder's `encode` gives (to rounding, 10⁻⁵). A row
depends on its input alone; weights are those of a copy, so the frozen encoder never changes.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from limen.models.encoder import Encoder, Features, InputKind
from limen.records.errors import BadInput, Problem


class Trainable(Protocol):
    """An encoder as a torch module with its own preprocessing."""

    module: Any
    """The torch module that holds every weight."""

    @property
    def input(self) -> InputKind:
        """The kind of input it takes."""

    @property
    def dimension(self) -> int:
        """Columns of the features."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of its layers, first to last: submodules of `module`."""

    @property
    def backbone(self) -> Any | None:
        """The transformers model of text within it, which takes prompts; None where there is none."""

    def ready(self, inputs: Any) -> Any:
        """All inputs as `tensors` takes them. Raises BadInput for inputs of another kind, naming rows."""

    def lengths(self, ready: Any) -> NDArray[np.int64]:
        """A size of every input: inputs of nearly the same size make a batch without waste."""

    def tensors(self, ready: Any, rows: NDArray[np.int64]) -> Any:
        """The batch of some rows, as `features` takes it."""

    def features(self, batch: Any) -> Any:
        """Features [b, d], differentiable in the weights of `module`."""

    def set_backbone(self, model: Any) -> None:
        """Put another model (the same one behind a prompt) in the place of `backbone`."""

    def fresh(self) -> Self:
        """The same with weights of its own."""


def trainable(encoder: Encoder | Any) -> Trainable:
    """A copy of a frozen encoder that can be trained: of a source with weights, or a checkpoint of a study's own run.

    Raises BadInput for every other encoder (embeddings, pixels, bag-of-words, random-features, …).
    """
    names = {
        "SentenceEncoder": ("sentences", "TrainableSentences"),
        "HiddenLayerEncoder": ("hidden", "TrainableHidden"),
        "CheckpointEncoder": ("built_in", "TrainableModule"),
    }
    kind = type(encoder).__name__  # by name: runs of pretraining lie above this layer
    if kind not in names:
        what = f"expected an encoder that can be trained, got {kind}"
        fix = "sources that can: sentence-transformers, transformers, torch and pretrain"
        raise BadInput(Problem("encoder", what, "it has no weights, or they cannot be moved here", fix))
    file, maker = names[kind]
    made: Trainable = getattr(importlib.import_module(f"limen.models.trainable.{file}"), maker).of(encoder)
    return made


def repeated_layers(module: Any) -> tuple[str, ...]:
    """Names of the outermost numbered layers of a module: children of its ModuleLists that lie in no other one.

    >>> import torch
    >>> blocks = torch.nn.ModuleList([torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)])
    >>> repeated_layers(torch.nn.ModuleDict({"stem": torch.nn.Linear(1, 1), "blocks": blocks}))
    ('blocks.0', 'blocks.1')
    """
    import torch

    lists: list[str] = []
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in lists):
            lists.append(name)
    return tuple(f"{name}.{k}" for name in lists for k in range(len(module.get_submodule(name))))


def without_types(tokens: Any) -> Any:
    """Tokens without the types of their sentences, which models behind a prompt do not take; of one text all are equal.

    >>> without_types({"input_ids": 1, "token_type_ids": 0})
    {'input_ids': 1}
    """
    tokens.pop("token_type_ids", None)
    return tokens


def encode_in_batches(encoder: Trainable, ready: Any, batch_size: int, rows: Sequence[int] | None = None) -> Features:
    """Features [n, d] of ready inputs (or of some rows) in their order, without gradients."""
    import torch

    lengths = encoder.lengths(ready)
    chosen = np.arange(len(lengths)) if rows is None else np.asarray(rows, dtype=np.int64)
    out = np.empty((len(chosen), encoder.dimension), dtype=np.float32)
    order = np.argsort(lengths[chosen], kind="stable")
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            at = order[start : start + batch_size]
            out[at] = encoder.features(encoder.tensors(ready, chosen[at])).float().numpy()
    return out
