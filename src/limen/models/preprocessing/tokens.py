"""Texts as tokens: byte-level byte-pair encoding, trained with the `tokenizers` library.

    text  →  NFC  →  bytes  →  merges  →  [BOS] t_1 … t_m, cut to T tokens, filled up with [PAD]

Every text has tokens, whatever its language, because the vocabulary holds all 256 bytes. Merges are learned from
training texts alone, in order of frequency (Sennrich, Haddow, Birch 2016, arXiv:1508.07909; on bytes: Radford 2019).
The name of a special token inside a text, "[MASK]", is encoded as the characters it is written with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from limen.data.extras import require
from limen.data.phrases import rows_text
from limen.models.encoder import InputKind
from limen.records.errors import BadInput, Problem

PAD, MASK, BOS = 0, 1, 2
SPECIAL = ("[PAD]", "[MASK]", "[BOS]")
LEAST = 256 + len(SPECIAL)
"""Tokens of a vocabulary without merges."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A vocabulary as the JSON of `tokenizers`, and the tokens kept of every text."""

    vocabulary: str
    length: int
    takes: InputKind = "text"

    @classmethod
    def fit(cls, texts: Sequence[str], size: int, length: int) -> Self:
        """Learn at most `size` tokens from texts. Raises BadInput for empty texts, too small a size or length."""
        problems = [
            Problem(f"preprocessing.{key}", f"expected at least {least}, got {value}")
            for key, value, least in (("vocabulary", size, LEAST), ("length", length, 2))
            if value < least
        ]
        if problems:
            raise BadInput(problems)
        held = text_rows(texts)
        library = require("tokenizers", "hf", "encoders of text")
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.normalizer = library.normalizers.NFC()
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, special_tokens=list(SPECIAL), show_progress=False,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        tokenizer.train_from_iterator(held, trainer)
        return cls(str(tokenizer.to_str()), length)

    def array(self, inputs: Any) -> NDArray[np.generic]:
        """Tokens [n, T], int32. Raises BadInput for inputs that are no texts, or empty ones, with rows."""
        texts = text_rows(list(inputs))
        found = self.tokenizer().encode_batch(texts, add_special_tokens=False)
        tokens = np.full((len(texts), self.length), PAD, dtype=np.int32)
        tokens[:, 0] = BOS
        for row, encoding in enumerate(found):
            ids = encoding.ids[: self.length - 1]
            tokens[row, 1 : 1 + len(ids)] = ids
        return tokens

    def tokenizer(self) -> Any:
        """The tokenizer of the library, to which the name of a special token in a text is a text like any other."""
        tokenizer = require("tokenizers", "hf", "encoders of text").Tokenizer.from_str(self.vocabulary)
        tokenizer.encode_special_tokens = True
        return tokenizer

    def facts(self, array: NDArray[np.generic]) -> dict[str, int]:
        """Size of the vocabulary and tokens of a text."""
        return {"vocabulary": int(self.tokenizer().get_vocab_size()), "length": int(array.shape[1])}

    def plain(self) -> dict[str, Any]:
        """Vocabulary and length."""
        return {"takes": "text", "vocabulary": self.vocabulary, "length": self.length}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> Self:
        """From plain data."""
        return cls(str(plain["vocabulary"]), int(plain["length"]))


def text_rows(inputs: Sequence[Any], where: str = "text") -> list[str]:
    """Texts that hold something. Raises BadInput with the rows of those that do not, or are no text.

    >>> text_rows(["one", "two"])
    ['one', 'two']
    """
    wrong = [row for row, text in enumerate(inputs) if not isinstance(text, str)]
    empty = [row for row, text in enumerate(inputs) if isinstance(text, str) and not text.strip()]
    problems = []
    if wrong:
        what = f"expected texts, got {type(inputs[wrong[0]]).__name__} in {rows_text(wrong)}"
        problems.append(Problem(where, what))
    if empty:
        what = f"expected texts, got empty ones in {rows_text(empty)}"
        problems.append(Problem(where, what, "missing values", "drop these rows, or fill them"))
    if problems:
        raise BadInput(problems)
    return [str(text) for text in inputs]
