"""Sentence encoders in the sentence-transformers layout: a folder with modules.json, config.json and safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.fingerprint import folder_hash
from limen.models.bag_of_words import text_list
from limen.models.encoder import Features, InputKind, fingerprint_of
from limen.models.folder import check_model_folder, model_folder
from limen.models.offline import hub_library
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """A loaded sentence-transformers pipeline on the CPU, in float32 and evaluation mode."""

    model: Any
    weights: str
    """SHA-256 of the model folder: weights, tokenizer and pipeline."""
    preprocessing: Mapping[str, Any]
    dimension: int
    batch_size: int = 64
    input: InputKind = "text"

    @property
    def fingerprint(self) -> str:
        """Of the folder's content, which fixes tokenizer, truncation, pooling and scaling."""
        return sentence_fingerprint(self.weights)

    def encode(self, inputs: Any) -> Features:
        """Texts → [n, d]. Raises BadInput for inputs that are not strings."""
        texts = text_list(inputs)
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        rows = self.model.encode(texts, batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(rows, dtype=np.float32)


def sentence_fingerprint(weights: str) -> str:
    """The fingerprint of a sentence encoder from the hash of its folder."""
    return fingerprint_of({"source": "sentence-transformers", "weights": weights})


def load_sentence_encoder(spec: Mapping[str, Any]) -> SentenceEncoder:
    """The encoder of `{path, revision, batch_size}`. Raises BadInput; see `limen.models.folder`."""
    path, revision = str(spec["path"]), spec.get("revision")
    folder = model_folder(path, revision)
    check_model_folder(folder, path, revision)
    library = hub_library("sentence_transformers")
    try:
        model = library.SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": "float32"},
        )
    except Exception as error:
        raise unusable(folder, "sentence-transformers", error) from error
    model.eval()
    parts = [type(part).__name__ for part in model]
    preprocessing = {"max_tokens": model.max_seq_length, "pipeline": parts, "prompt": model.default_prompt_name}
    dimension = int(model.encode([""], show_progress_bar=False).shape[1])
    return SentenceEncoder(model, folder_hash(folder), preprocessing, dimension, int(spec.get("batch_size") or 64))


def unusable(folder: Path, library: str, error: Exception) -> BadInput:
    """The error of a folder whose files are sound but which its library cannot use."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    what = f"{library} cannot load this folder: {type(error).__name__}: {first[:200]}"
    cause = "another library's layout, a missing file, or a newer model than the installed version knows"
    return BadInput(Problem(str(folder), what, cause, f"try another source, or a newer {library}"))
