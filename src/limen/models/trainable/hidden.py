"""A transformers model as a trainable encoder: text, images or audio, read out at one hidden layer."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from limen.models.encoder import InputKind
from limen.models.hf_transformers import HiddenLayerEncoder, pool
from limen.models.trainable.trainable import repeated_layers, without_types


@dataclass(slots=True)
class TrainableHidden:
    """A copy of the model of a `HiddenLayerEncoder`; tokens and pixels are made by the encoder's own processor."""

    module: Any
    frozen: HiddenLayerEncoder
    prompted: bool = False

    @classmethod
    def of(cls, encoder: HiddenLayerEncoder) -> Self:
        """A copy of a frozen encoder; masking of sounds, which draws from a global generator, is off."""
        module = copy.deepcopy(encoder.model)
        if getattr(module.config, "apply_spec_augment", False):
            module.config.apply_spec_augment = False
        return cls(module, encoder)

    @property
    def input(self) -> InputKind:
        """The kind of input it takes."""
        return self.frozen.input

    @property
    def dimension(self) -> int:
        """Columns of the features."""
        return self.frozen.dimension

    @property
    def layers(self) -> tuple[str, ...]:
        """The numbered blocks of the model."""
        return repeated_layers(self.module)

    @property
    def backbone(self) -> Any | None:
        """The model itself where it takes text."""
        return self.module if self.input == "text" else None

    def ready(self, inputs: Any) -> Any:
        """Texts, pictures [n, h, w, c] or decoded clips."""
        return self.frozen._items(inputs)[0]

    def lengths(self, ready: Any) -> NDArray[np.int64]:
        """Characters of texts, samples of clips."""
        return np.array([len(item) for item in ready], dtype=np.int64)

    def tensors(self, ready: Any, rows: NDArray[np.int64]) -> Any:
        """What the processor makes of the rows; clips one by one, since padding would change them."""
        items = [ready[row] for row in rows]
        frozen = self.frozen
        if frozen.input == "text":
            limit = frozen.preprocessing["max_tokens"]
            ready = frozen.processor(items, padding=True, truncation=True, max_length=limit, return_tensors="pt")
            return without_types(ready) if self.prompted else ready
        if frozen.input == "audio":
            rate = frozen.preprocessing["sampling_rate"]
            return [frozen.processor([item], sampling_rate=rate, return_tensors="pt") for item in items]
        pictures = [np.repeat(item, 3, axis=2) if item.shape[2] == 1 else item for item in items]
        return frozen.processor(pictures, return_tensors="pt", input_data_format="channels_last")

    def features(self, batch: Any) -> Any:
        """Pooled hidden states [b, d]; of a model behind a prompt the positions of the text alone."""
        if isinstance(batch, list):
            return self.frozen.torch.cat([self.features(one) for one in batch])
        layer = self.frozen.layer
        out = self.module(**batch, output_hidden_states=layer != -1)
        hidden = out.last_hidden_state if layer == -1 else out.hidden_states[layer]
        mask = batch.get("attention_mask") if self.input == "text" else None
        if mask is not None:
            hidden = hidden[:, -mask.shape[1] :]
        return pool(self.frozen.torch, hidden, mask, self.frozen.pooling)

    def set_backbone(self, model: Any) -> None:
        """Put the model behind a prompt in the module's place."""
        self.module, self.prompted = model, True

    def fresh(self) -> Self:
        """The same with weights of its own."""
        return replace(self, module=copy.deepcopy(self.module))
