"""Tokens: the same from the same texts, nothing lost, [BOS] first, names of special tokens are text, bad rows named."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from limen.models.preprocessing.tokens import BOS, LEAST, MASK, PAD, SPECIAL, Tokens, text_rows
from limen.records.errors import BadInput

pytestmark = pytest.mark.torch
TEXTS = [
    "the cat sat on the mat", "The CAT's hat", "my card was declined, what now?", "Grüße aus Köln", "ありがとう 🎉",
    "a  b\n\tc", "123 1234 12345", "the mat, the cat, the hat", "[MASK] is [PAD]ded", "\x00\x01",
]  # fmt: skip


def _text(tokens: Tokens, row: np.ndarray) -> str:
    """Tokens back to text, by the byte-level decoder of the library."""
    import tokenizers

    held = [tokens.tokenizer().id_to_token(int(t)) for t in row if t not in (PAD, BOS)]
    return str(tokenizers.decoders.ByteLevel().decode(held))


def test_special_tokens_have_their_numbers():
    tokens = Tokens.fit(TEXTS, 300, 32)
    assert [tokens.tokenizer().token_to_id(name) for name in SPECIAL] == [PAD, MASK, BOS] == [0, 1, 2]


def test_the_vocabulary_depends_on_the_texts_and_not_on_their_order_or_the_run():
    one, two = Tokens.fit(TEXTS, 300, 32), Tokens.fit(list(TEXTS), 300, 32)
    assert one.vocabulary == two.vocabulary == Tokens.fit(TEXTS[::-1], 300, 32).vocabulary
    assert one.vocabulary != Tokens.fit(TEXTS[:4], 300, 32).vocabulary
    assert one.vocabulary != Tokens.fit(TEXTS, 280, 32).vocabulary


@pytest.mark.parametrize("size", [LEAST, 300])
def test_no_text_loses_anything(size):
    import unicodedata

    tokens = Tokens.fit(TEXTS[:3], size, 400)
    for text in [*TEXTS, "e\u0301", "x" * 150]:
        back = _text(tokens, tokens.array([text])[0])
        assert back.removeprefix(" ") == unicodedata.normalize("NFC", text).removeprefix(" ")


def test_without_merges_a_text_is_its_bytes():
    tokens = Tokens.fit(TEXTS, LEAST, 64)
    assert tokens.facts(tokens.array(TEXTS)) == {"vocabulary": LEAST, "length": 64}
    for text in TEXTS[:5]:
        assert (tokens.array([text]) != PAD).sum() == 2 + len(text.encode())


def test_tokens_begin_with_bos_are_cut_and_filled():
    tokens = Tokens.fit(TEXTS, 300, 6)
    array = tokens.array(["the cat", "the cat sat on the mat and on the hat", "a"])
    assert array.shape == (3, 6)
    assert array.dtype == np.int32
    assert (array[:, 0] == BOS).all()
    assert (array[1] != PAD).all()
    held = array != PAD
    assert (held[:, :-1] >= held[:, 1:]).all()  # padding only at the end
    longer = Tokens(tokens.vocabulary, 20).array(["the cat sat on the mat and on the hat"])
    assert np.array_equal(longer[0, :6], array[1])


def test_the_name_of_a_special_token_is_text():
    tokens = Tokens.fit(TEXTS, 300, 32)
    array = tokens.array(["a [PAD] b", "[MASK]", "[BOS][BOS]"])
    assert not np.isin(array[:, 1:][array[:, 1:] != PAD], (MASK, BOS)).any()
    held = array != PAD
    assert (held[:, :-1] >= held[:, 1:]).all()
    assert _text(tokens, array[0]) == " a [PAD] b"


def test_a_text_is_the_same_in_any_batch_and_after_restoring():
    tokens = Tokens.fit(TEXTS, 300, 16)
    together = tokens.array(TEXTS)
    assert np.array_equal(together, np.concatenate([tokens.array([text]) for text in TEXTS]))
    again = Tokens.restore(tokens.plain())
    assert again == tokens
    assert np.array_equal(again.array(TEXTS), together)


@pytest.mark.parametrize("empty", ["", "  ", "\n\t"])
def test_empty_texts_are_named_by_row(empty):
    tokens = Tokens.fit(TEXTS, 300, 16)
    with pytest.raises(BadInput, match=r"rows? .*2"):
        tokens.array(["a", "b", empty])
    with pytest.raises(BadInput, match="empty"):
        Tokens.fit(["a", empty], 300, 16)


def test_what_is_no_text_is_named_beside_what_is_empty():
    with pytest.raises(BadInput) as caught:
        text_rows(["a", 3, "", None])
    assert len(caught.value.problems) == 2
    assert "int" in caught.value.problems[0].what


def test_too_small_a_vocabulary_and_length_are_named_at_once():
    with pytest.raises(BadInput) as caught:
        Tokens.fit(TEXTS, LEAST - 1, 1)
    assert [p.where for p in caught.value.problems] == ["preprocessing.vocabulary", "preprocessing.length"]
