"""A built-in architecture as a trainable encoder: a `torch` checkpoint, or a checkpoint of a pretraining run."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from limen.models.encoder import InputKind
from limen.models.preprocessing.images import Images
from limen.models.preprocessing.preprocessing import Preprocessing, as_tensor
from limen.models.preprocessing.tokens import PAD
from limen.records.errors import BadInput, Problem


@dataclass(slots=True)
class TrainableModule:
    """A module of `limen.models.architectures`, its preprocessing and the layer it is read out at."""

    module: Any
    preprocessing: Preprocessing
    layer: str
    any_size: bool
    """Whether images of another size than in training are taken, as the source `torch` does."""

    @classmethod
    def of(cls, encoder: Any) -> Self:
        """A copy of a checkpoint encoder (`limen.models.torch_checkpoint` or `limen.pretrain.encoder`)."""
        own = encoder.preprocessing if hasattr(encoder.preprocessing, "array") else None
        return cls(copy.deepcopy(encoder.module), own or Images(), encoder.layer, own is None)

    @property
    def input(self) -> InputKind:
        """The kind of input it takes."""
        return self.preprocessing.takes

    @property
    def dimension(self) -> int:
        """Columns of the features."""
        return int(self.module.dimension(self.layer))

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers up to the one that is read out."""
        names: tuple[str, ...] = self.module.layers
        return names[: names.index(self.layer) + 1]

    @property
    def backbone(self) -> None:
        """It takes no prompts."""
        return None

    def ready(self, inputs: Any) -> NDArray[np.generic]:
        """The one array of all inputs. Raises BadInput for another kind or shape than in pretraining."""
        array = self.preprocessing.array(inputs)
        given = self.preprocessing.facts(array)
        if self.any_size:
            given = {key: value for key, value in given.items() if key == "in_channels"}
        known = self.module.architecture
        wrong = [
            Problem(f"{self.input}s", f"expected {key.replace('_', ' ')} {known[key]}, as in training, got {value}")
            for key, value in given.items()
            if known[key] != value
        ]
        if wrong:
            raise BadInput(wrong)
        return array

    def lengths(self, ready: NDArray[np.generic]) -> NDArray[np.int64]:
        """Inputs of one array are equally long; texts count their tokens."""
        if self.input == "text":
            return np.asarray((ready != PAD).sum(axis=1), dtype=np.int64)
        return np.ones(len(ready), dtype=np.int64)

    def tensors(self, ready: NDArray[np.generic], rows: NDArray[np.int64]) -> Any:
        """Some rows as one tensor."""
        return as_tensor(ready, self.input, rows)

    def features(self, batch: Any) -> Any:
        """Representations [b, d] at the layer."""
        return self.module(batch, self.layer)

    def set_backbone(self, model: Any) -> None:
        """Raises BadInput: prompts are for transformers models of text."""
        raise BadInput(
            Problem("method", "a built-in encoder takes no prompts", fix="fine-tune, lp-ft, partial or lora")
        )

    def fresh(self) -> Self:
        """The same with weights of its own."""
        return replace(self, module=copy.deepcopy(self.module))
