"""Tuning of a text model: prompts, prefixes, dropout, room for the prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from limen.adapt.tune.rows import RawRows, TuneRows
from limen.adapt.tune.spec import TuneSpec
from limen.adapt.tune.tune import tune
from limen.models.load import load_encoder
from limen.models.offline import hub_library
from limen.models.trainable.trainable import Trainable, trainable
from limen.records.errors import BadInput

pytestmark = pytest.mark.torch
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "fine", "bad", "poor", "day", "night", "luck"]
SIDES = (("good", "fine"), ("bad", "poor"))


def texts(n: int, seed: int) -> RawRows:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(np.int64)
    said = [f"{rng.choice(SIDES[y])} {' '.join(rng.choice(WORDS[9:], 1 + int(rng.integers(3))))}" for y in labels]
    return RawRows(said, labels)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Trainable:
    library, folder = hub_library("transformers"), tmp_path_factory.mktemp("bert")
    library.set_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    library.BertModel(library.BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, **shape)).save_pretrained(
        folder
    )
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    library.BertTokenizerFast.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    return trainable(load_encoder({"source": "transformers", "path": str(folder)}, golden=False))


@pytest.fixture(scope="module")
def rows() -> TuneRows:
    return TuneRows(texts(48, 0), texts(40, 1), texts(100, 2), 2)


@pytest.mark.parametrize("method", ["prompt", "prefix", "lora", "fine-tune"])
def test_text_models_take_every_method(bert: Trainable, rows: TuneRows, method: Any) -> None:
    tuned = tune(bert, rows, TuneSpec(method, epochs=4, prompt_tokens=3, learning_rate=1e-2))
    again = tune(bert, rows, TuneSpec(method, epochs=4, prompt_tokens=3, learning_rate=1e-2))
    assert tuned.holdout.loss.tobytes() == again.holdout.loss.tobytes()
    assert tuned.course.design_loss[tuned.course.epoch] < tuned.course.design_loss[0]
    assert tuned.holdout.error < 0.25
    if method in ("prompt", "prefix"):
        width = 16 if method == "prompt" else 2 * 2 * 16  # keys and values of two layers
        assert tuned.parameters["moved"] == 3 * width
        other = tune(bert, rows, TuneSpec(method, epochs=4, prompt_tokens=4, learning_rate=1e-2))
        assert tuned.holdout.loss.tobytes() != other.holdout.loss.tobytes()


def test_dropout_is_off_unless_asked_for_and_keyed(bert: Trainable, rows: TuneRows) -> None:
    off, on, again = (tune(bert, rows, TuneSpec(epochs=1, dropout=d)).holdout.loss for d in (False, True, True))
    assert on.tobytes() == again.tobytes() != off.tobytes()


def test_a_prompt_that_leaves_no_room_is_named(bert: Trainable, rows: TuneRows) -> None:
    with pytest.raises(BadInput, match="exceed the 16 positions"):
        tune(bert, rows, TuneSpec("prompt", prompt_tokens=15))


def test_low_rank_updates_of_maps_that_are_kept_transposed(
    rows: TuneRows, bert: Trainable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library, folder = hub_library("transformers"), tmp_path_factory.mktemp("gpt2")
    library.set_seed(0)
    ends = {"bos_token_id": 3, "eos_token_id": 3}
    config = library.GPT2Config(vocab_size=len(WORDS), n_embd=16, n_layer=2, n_head=2, n_positions=32, **ends)
    library.GPT2Model(config).save_pretrained(folder)
    bert.frozen.processor.save_pretrained(folder)  # type: ignore[attr-defined]
    encoder = trainable(load_encoder({"source": "transformers", "path": str(folder), "pooling": "last"}, golden=False))
    still, plain = (
        tune(encoder, rows, TuneSpec(m, epochs=0, head="random")).holdout.loss for m in ("lora", "fine-tune")
    )
    assert np.abs(still - plain).max() < 1e-6
    tuned = tune(encoder, rows, TuneSpec("lora", epochs=6, rank=2, targets=("c_attn",), patience=None))
    assert tuned.parameters["moved"] == 2 * 2 * (16 + 48)  # two blocks, rank 2, maps of 16 to 48
    assert tuned.course.training_loss[-1] < tuned.course.training_loss[0]
