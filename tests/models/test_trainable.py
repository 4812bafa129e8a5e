"""Laws of trainable encoders: at step 0 they are the frozen ones, they have gradients, the frozen ones never change."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")

from safetensors.numpy import save_file  # noqa: E402

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.models.bag_of_words import BagOfWords  # noqa: E402
from limen.models.load import load_encoder  # noqa: E402
from limen.models.offline import hub_library  # noqa: E402
from limen.models.preprocessing.spectra import Spectra  # noqa: E402
from limen.models.preprocessing.tokens import Tokens  # noqa: E402
from limen.models.trainable.prompts import add_prompt, most_positions  # noqa: E402
from limen.models.trainable.trainable import Trainable, encode_in_batches, trainable  # noqa: E402
from limen.pretrain.encoder import CheckpointEncoder  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "day", "bad", "night", "luck"]
TEXTS = ["good day", "bad night bad luck good day", "luck", "night night night good"]
BLOCKS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
IMAGES = np.random.default_rng(0).integers(0, 256, size=(5, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers, folder = hub_library("transformers"), tmp_path_factory.mktemp("bert")
    transformers.set_seed(0)
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **BLOCKS)
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    return folder


def text_encoder(bert: Path, **readout: Any) -> Any:
    return load_encoder({"source": "transformers", "path": str(bert), **readout}, golden=False)


def sentence_encoder(bert: Path, folder: Path) -> Any:
    library = hub_library("sentence_transformers")
    parts = pipeline(bert)
    model = library.SentenceTransformer(modules=parts, device="cpu", prompts={"ask": "good "})
    model.default_prompt_name = "ask"
    model.save(str(folder))
    return load_encoder({"source": "sentence-transformers", "path": str(folder)}, golden=False)


def pipeline(bert: Path) -> list[Any]:
    from sentence_transformers.sentence_transformer import modules

    first = modules.Transformer(str(bert))
    return [first, modules.Pooling(16, pooling_mode="mean"), modules.Normalize()]


def vision_encoder(folder: Path) -> Any:
    transformers = hub_library("transformers")
    config = transformers.ViTConfig(image_size=16, patch_size=8, **BLOCKS)
    transformers.ViTModel(config).save_pretrained(folder)
    plain = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}
    (folder / "preprocessor_config.json").write_text(json.dumps(plain))
    return load_encoder({"source": "transformers", "input": "image", "path": str(folder)}, golden=False)


def sound_encoder(folder: Path) -> Any:
    transformers = hub_library("transformers")
    audio = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
    more = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**BLOCKS, **audio, **more)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return load_encoder({"source": "transformers", "input": "audio", "path": str(folder)}, golden=False)


def torch_encoder(folder: Path) -> Any:
    shape = {"name": "conv", "width": 8, "in_channels": 3, "image_size": 16}
    module = build(shape)
    module.initialise(stream("test"))
    module.set_normalisation([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    file = folder / "weights.safetensors"
    save_file({name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}, file)
    return load_encoder({"source": "torch", "path": str(file), "architecture": shape, "layer": "stage1"}, golden=False)


def clip(hertz: float, seconds: float) -> bytes:
    samples = (9000 * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return content.getvalue()


def run_encoder(kind: str) -> Any:
    """A checkpoint of a pretraining run: text or audio."""
    if kind == "text":
        tokens = Tokens.fit(TEXTS, 270, 12)
        shape = {"name": "transformer", "width": 16, "depth": 2, "heads": 2, **tokens.facts(tokens.array(TEXTS))}
    else:
        tokens = Spectra(8000, 0.2, 16)
        shape = {"name": "sound", "width": 8, **tokens.facts(tokens.array([clip(440, 0.2)]))}
    module = build(shape)
    module.initialise(stream("test"))
    return CheckpointEncoder(module.eval(), tokens, module.layers[-1], 3)


@pytest.fixture(params=["text", "layer", "sentences", "vision", "sound", "torch", "run-text", "run-audio"])
def case(request: pytest.FixtureRequest, bert: Path, tmp_path: Path) -> tuple[Any, Any]:
    clips = [clip(440, 0.10), clip(880, 0.20)]
    made = {
        "text": lambda: (text_encoder(bert), TEXTS),
        "layer": lambda: (text_encoder(bert, layer=1, pooling="cls", max_length=4), TEXTS),
        "sentences": lambda: (sentence_encoder(bert, tmp_path), TEXTS),
        "vision": lambda: (vision_encoder(tmp_path), IMAGES),
        "sound": lambda: (sound_encoder(tmp_path), clips),
        "torch": lambda: (torch_encoder(tmp_path), IMAGES),
        "run-text": lambda: (run_encoder("text"), TEXTS),
        "run-audio": lambda: (run_encoder("audio"), clips),
    }
    found: tuple[Any, Any] = made[request.param]()
    return found


def test_at_step_0_the_features_are_those_of_the_frozen_encoder(case: tuple[Any, Any]) -> None:
    encoder, inputs = case
    free = trainable(encoder)
    assert np.abs(encode_in_batches(free, free.ready(inputs), 3) - encoder.encode(inputs)).max() < 1e-5
    assert free.dimension == encoder.dimension
    for layer in free.layers:
        free.module.get_submodule(layer)


def test_its_weights_have_gradients_and_the_frozen_ones_stay(case: tuple[Any, Any]) -> None:
    encoder, inputs = case
    before = encoder.encode(inputs)
    free = trainable(encoder)
    other = free.fresh()
    ready = free.ready(inputs)
    rows = free.features(free.tensors(ready, np.arange(len(inputs))))
    (rows * torch.linspace(-1, 1, rows.shape[1])).sum().backward()
    moved = [p for p in free.module.parameters() if p.grad is not None and float(p.grad.abs().max()) > 0]
    assert len(moved) >= 4
    with torch.no_grad():
        for parameter in moved:
            parameter -= 0.1 * parameter.grad
    assert np.abs(encode_in_batches(free, ready, 3) - before).max() > 1e-4
    assert np.array_equal(encoder.encode(inputs), before)
    assert np.abs(encode_in_batches(other, ready, 3) - before).max() < 1e-5


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
@pytest.mark.parametrize("source", ["text", "sentences"])
def test_prompts_move_features_and_only_they_have_gradients(bert: Path, tmp_path: Path, kind: Any, source: str) -> None:
    encoder = text_encoder(bert) if source == "text" else sentence_encoder(bert, tmp_path)
    free = trainable(encoder)
    names = add_prompt(free, kind, 3, stream("test"))
    again = trainable(encoder)
    add_prompt(again, kind, 3, stream("test"))
    ready = free.ready(TEXTS)
    rows = encode_in_batches(free, ready, 4)
    assert np.array_equal(encode_in_batches(again, again.ready(TEXTS), 4), rows)
    assert np.abs(rows - encoder.encode(TEXTS)).max() > 1e-4
    assert np.abs(encode_in_batches(free, ready, 1) - rows).max() < 1e-5  # padding lies behind the prompt, masked
    features = free.features(free.tensors(ready, np.arange(4)))
    (features * torch.linspace(-1, 1, 16)).sum().backward()
    parameters = dict(free.module.named_parameters())
    (name,) = names
    assert float(parameters[name].grad.abs().max()) > 0
    assert most_positions(free) == 32


def test_what_cannot_be_trained_or_prompted_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected an encoder that can be trained, got BagOfWords"):
        trainable(BagOfWords(8))
    image: Trainable = trainable(torch_encoder(tmp_path))
    with pytest.raises(BadInput, match="expected a transformers or sentence-transformers model of text"):
        add_prompt(image, "prompt", 3, stream("test"))
    with pytest.raises(BadInput, match="takes no prompts"):
        image.set_backbone(None)
    with pytest.raises(BadInput, match="expected in channels 3, as in training, got 1"):
        image.ready(IMAGES[..., :1])
