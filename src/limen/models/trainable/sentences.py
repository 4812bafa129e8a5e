"""A sentence-transformers pipeline as a trainable encoder: transformer, pooling and what follows, as one module."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from limen.models.bag_of_words import text_list
from limen.models.encoder import InputKind
from limen.models.sentence_transformers import SentenceEncoder
from limen.models.trainable.trainable import repeated_layers, without_types


@dataclass(slots=True)
class TrainableSentences:
    """A copy of the pipeline of a `SentenceEncoder`."""

    module: Any
    dimension: int
    input: InputKind = "text"
    prompted: bool = False

    @classmethod
    def of(cls, encoder: SentenceEncoder) -> Self:
        """A copy of a frozen encoder."""
        return cls(copy.deepcopy(encoder.model), encoder.dimension)

    @property
    def layers(self) -> tuple[str, ...]:
        """The numbered blocks of the transformer."""
        return repeated_layers(self.module)

    @property
    def backbone(self) -> Any | None:
        """The transformer of the pipeline's first part, where it gives one row a token."""
        return getattr(self.module[0], "model", None)

    def ready(self, inputs: Any) -> list[str]:
        """The texts. Raises BadInput for inputs that are not strings."""
        return text_list(inputs)

    def lengths(self, ready: list[str]) -> NDArray[np.int64]:
        """Characters."""
        return np.array([len(text) for text in ready], dtype=np.int64)

    def tensors(self, ready: list[str], rows: NDArray[np.int64]) -> Any:
        """Tokens, with the pipeline's own prompt and truncation."""
        model = self.module
        prompt = model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None
        tokens = model.preprocess([ready[row] for row in rows], prompt=prompt)
        return without_types(tokens) if self.prompted else tokens

    def features(self, batch: Any) -> Any:
        """Sentence embeddings [b, d]; of a transformer behind a prompt the positions of the text alone are pooled."""
        first, *rest = list(self.module)
        state = first(dict(batch))
        if "token_embeddings" in state:
            state["token_embeddings"] = state["token_embeddings"][:, -state["attention_mask"].shape[1] :]
        for part in rest:
            state = part(state)
        rows = state["sentence_embedding"]
        return rows if self.module.truncate_dim is None else rows[:, : self.module.truncate_dim]

    def set_backbone(self, model: Any) -> None:
        """Put the transformer behind a prompt in its place."""
        self.module[0].model, self.prompted = model, True

    def fresh(self) -> Self:
        """The same with weights of its own."""
        return replace(self, module=copy.deepcopy(self.module))
