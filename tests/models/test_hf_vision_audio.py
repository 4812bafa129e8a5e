"""Laws of transformers encoders of images and sounds, on tiny models made here: pixels, layers, pooling, misuse."""

from __future__ import annotations

import io
import json
import shutil
import socket
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("PIL")

import torch
from PIL import Image

from limen.models.extract import extract
from limen.models.golden import fixed_inputs
from limen.models.load import load_encoder
from limen.models.offline import hub_library
from limen.records.errors import BadInput

pytestmark = pytest.mark.torch
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
POOLED = {"mean": lambda h: h.mean(0), "cls": lambda h: h[0], "last": lambda h: h[-1]}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"something asked for the network: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))


def vit(library: Any, channels: int = 3) -> Any:
    return library.ViTModel(library.ViTConfig(image_size=16, patch_size=8, num_channels=channels, **SHAPE))


def resnet(library: Any) -> Any:
    config = library.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    return library.ResNetModel(config)


def clip(library: Any) -> Any:
    text = {"vocab_size": 40, "max_position_embeddings": 16, **SHAPE}
    vision = {"image_size": 16, "patch_size": 8, **SHAPE}
    return library.CLIPModel(library.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))


def listener(library: Any, name: str) -> Any:
    if name == "AST":
        return library.ASTModel(library.ASTConfig(max_length=64, num_mel_bins=32, **SHAPE))
    layers = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
    more = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    return getattr(library, f"{name}Model")(getattr(library, f"{name}Config")(**SHAPE, **layers, **more))


SEEING = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}},
    "grey-vit": {
        "image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16},
        "image_mean": [0.5], "image_std": [0.5],
    },
    "resnet": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0.875},
    "clip": {
        "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 16},
        "crop_size": {"height": 16, "width": 16},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model of this file, saved as its library saves it."""
    library = hub_library("transformers")
    root = tmp_path_factory.mktemp("models")
    library.set_seed(0)
    makers = {"vit": vit, "grey-vit": lambda library: vit(library, 1), "resnet": resnet, "clip": clip}
    for name, maker in makers.items():
        maker(library).save_pretrained(root / name)
        (root / name / "preprocessor_config.json").write_text(json.dumps(SEEING[name]))
    for name in ("Wav2Vec2", "Hubert", "AST"):
        listener(library, name).save_pretrained(root / name)
        extractor = library.Wav2Vec2FeatureExtractor()
        if name == "AST":
            extractor = library.ASTFeatureExtractor(max_length=64, num_mel_bins=32)
        extractor.save_pretrained(root / name)
    return root


def loaded(folder: Path, kind: str, **more: Any) -> Any:
    return load_encoder({"source": "transformers", "input": kind, "path": str(folder), **more})


def states(folder: Path, **tensors: Any) -> list[Any]:
    """Every hidden state of one input, by the library alone; the last one is the model's final output."""
    model = hub_library("transformers").AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        out = model(**tensors, output_hidden_states=True)
    return [*out.hidden_states, out.last_hidden_state]


def photographs(height: int, width: int, channels: int = 3, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def sixteen(picture: np.ndarray) -> Any:
    """What the tiny ViT's processor does, by Pillow and arithmetic: 16 × 16 bilinear, to [−1, 1]."""
    resized = np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BILINEAR), dtype=np.float64)
    return torch.tensor(resized / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [(16, 16), (20, 31), (7, 5), (1, 40)])
def test_a_vit_sees_images_of_any_size_as_pillow_resizes_them(folders: Path, size: tuple[int, int]) -> None:
    pictures = photographs(*size)
    rows = extract(loaded(folders / "vit", "image"), pictures, 2)
    expected = [states(folders / "vit", pixel_values=sixteen(one))[-1][0].mean(0).numpy() for one in pictures]
    assert np.allclose(rows, expected, atol=1e-5)


@pytest.mark.parametrize("layer", [-1, 0, 1, 2, -2])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_every_layer_and_pooling_of_a_vit(folders: Path, layer: int, pooling: str) -> None:
    (picture,) = photographs(20, 31, count=1)
    rows = loaded(folders / "vit", "image", layer=layer, pooling=pooling).encode(picture[None])
    *hidden, last = states(folders / "vit", pixel_values=sixteen(picture))
    chosen = last if layer == -1 else hidden[layer]
    assert np.allclose(rows[0], POOLED[pooling](chosen[0].numpy()), atol=1e-5)


@pytest.mark.parametrize(("layer", "width"), [(-1, 8), (0, 4), (1, 4), (2, 8)])
def test_layers_of_a_resnet_are_averaged_over_positions(folders: Path, layer: int, width: int) -> None:
    pictures = photographs(20, 31)
    encoder = loaded(folders / "resnet", "image", layer=layer)
    ready = encoder.processor(list(pictures), return_tensors="pt", input_data_format="channels_last")
    assert tuple(ready["pixel_values"].shape[1:]) == (3, 32, 32)
    *hidden, last = states(folders / "resnet", **ready)
    chosen = last if layer == -1 else hidden[layer]
    assert encoder.dimension == width
    assert np.allclose(encoder.encode(pictures), chosen.mean(dim=(2, 3)).numpy(), atol=1e-5)
    with pytest.raises(BadInput, match=r"resnet: layer: error: expected a layer from 0 \(embeddings\) to 2"):
        loaded(folders / "resnet", "image", layer=3)


def test_grey_images_are_repeated_over_channels_and_other_channels_are_refused(folders: Path) -> None:
    encoder = loaded(folders / "vit", "image")
    grey = photographs(9, 12, 1)
    assert np.array_equal(encoder.encode(grey), encoder.encode(np.repeat(grey, 3, axis=3)))
    for channels in (2, 4):
        with pytest.raises(BadInput, match=f"expected images with 1 or 3 channels, got {channels}"):
            encoder.encode(photographs(9, 12, channels))
    with pytest.raises(BadInput, match=r"expected images of shape \[n, h, w, c\]"):
        encoder.encode(["a text"])
    narrow = loaded(folders / "grey-vit", "image")
    assert narrow.preprocessing["architecture"] == {"in_channels": 1}
    assert fixed_inputs(narrow).shape[3] == 1
    assert narrow.encode(grey).shape == (3, 16)
    with pytest.raises(BadInput, match="expected images with 1 channels, got 3"):
        narrow.encode(photographs(9, 12))


def test_preprocessing_is_plain_and_does_not_depend_on_what_else_is_installed(folders: Path) -> None:
    plain = loaded(folders / "clip", "image").preprocessing
    assert json.loads(json.dumps(plain)) == plain
    assert plain["size"] == {"shortest_edge": 16}
    assert plain["crop_size"] == {"height": 16, "width": 16}
    assert plain["resample"] == "bicubic"
    assert plain["processor"] == "CLIPImageProcessorPil"  # not the one of torchvision, where that is installed


def test_a_two_tower_model_is_read_out_at_its_image_tower(folders: Path) -> None:
    pictures = photographs(16, 16)
    rows = loaded(folders / "clip", "image").encode(pictures)
    encoder = loaded(folders / "clip", "image", layer=1, pooling="cls")
    ready = encoder.processor(list(pictures), return_tensors="pt", input_data_format="channels_last")
    model = hub_library("transformers").CLIPModel.from_pretrained(folders / "clip", local_files_only=True).eval()
    with torch.no_grad():
        out = model.vision_model(**ready, output_hidden_states=True)
    assert np.allclose(rows, out.last_hidden_state.mean(1).numpy(), atol=1e-5)
    assert np.allclose(encoder.encode(pictures), out.hidden_states[1][:, 0].numpy(), atol=1e-5)


def test_preprocessing_is_part_of_the_fingerprint(folders: Path, tmp_path: Path) -> None:
    before = loaded(folders / "vit", "image")
    shutil.copytree(folders / "vit", tmp_path / "vit")
    other = SEEING["vit"] | {"image_mean": [0.4, 0.5, 0.6]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(other))
    after = loaded(tmp_path / "vit", "image")
    assert before.fingerprint != after.fingerprint
    assert not np.allclose(before.encode(photographs(16, 16)), after.encode(photographs(16, 16)), atol=1e-3)


def tone(seconds: float, rate: int, channels: int = 1) -> tuple[np.ndarray, bytes]:
    """A tone as the numbers that its wav file stands for, and the file."""
    times = np.arange(round(rate * seconds)) / rate
    samples = np.round(9000 * np.sin(2 * np.pi * 440 * times) * (1 + times)).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(samples, channels).tobytes())
    return samples / 32768, content.getvalue()


def heard(folder: Path, samples: np.ndarray) -> list[Any]:
    extractor = hub_library("transformers").AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    ready = extractor([samples.astype(np.float32)], sampling_rate=16_000, return_tensors="pt")
    return states(folder, **ready)


@pytest.mark.parametrize("name", ["Wav2Vec2", "Hubert", "AST"])
@pytest.mark.parametrize(("layer", "pooling"), [(-1, "mean"), (0, "mean"), (1, "cls"), (2, "last")])
def test_every_layer_and_pooling_of_a_listener(folders: Path, name: str, layer: int, pooling: str) -> None:
    samples, file = tone(0.2, 16_000)
    *hidden, last = heard(folders / name, samples)
    chosen = last if layer == -1 else hidden[layer]
    encoder = loaded(folders / name, "audio", layer=layer, pooling=pooling)
    assert np.allclose(encoder.encode([file])[0], POOLED[pooling](chosen[0].numpy()), atol=1e-5)
    assert encoder.dimension == 16
    assert encoder.preprocessing["sampling_rate"] == 16_000


@pytest.mark.parametrize("name", ["Wav2Vec2", "Hubert", "AST"])
@pytest.mark.parametrize(("rate", "up", "down"), [(8000, 2, 1), (44_100, 160, 441), (48_000, 1, 3)])
def test_sounds_of_another_sample_rate_are_resampled(folders: Path, name: str, rate: int, up: int, down: int) -> None:
    samples, file = tone(0.2, rate)
    _, stereo = tone(0.2, rate, channels=2)
    expected = heard(folders / name, resample_poly(samples, up, down))[-1][0].mean(0).numpy()
    encoder = loaded(folders / name, "audio")
    assert np.allclose(encoder.encode([file])[0], expected, atol=1e-5)
    assert np.array_equal(encoder.encode([stereo]), encoder.encode([file]))


@pytest.mark.parametrize("name", ["Wav2Vec2", "Hubert", "AST"])
def test_a_sound_does_not_depend_on_its_neighbours(folders: Path, name: str) -> None:
    files = [tone(seconds, 16_000)[1] for seconds in (0.05, 0.4, 0.1)]
    encoder = loaded(folders / name, "audio")
    together = extract(encoder, files)
    assert np.array_equal(together, np.concatenate([encoder.encode([file]) for file in files]))
    assert encoder.encode([]).shape == (0, 16)


@pytest.mark.parametrize("name", ["Wav2Vec2", "AST"])
def test_a_sound_that_is_too_short_is_named_with_its_row(folders: Path, name: str) -> None:
    files = [tone(0.1, 16_000)[1], tone(0.001, 16_000)[1]]
    with pytest.raises(BadInput, match=r"row 1, a sound of 0\.001 s, cannot be encoded") as caught:
        loaded(folders / name, "audio").encode(files)
    assert "first windows" in str(caught.value)
    with pytest.raises(BadInput, match="1 row \\(row 1\\) cannot be decoded"):
        loaded(folders / name, "audio").encode([files[0], b"no sound"])


@pytest.mark.parametrize(
    ("name", "kind"), [("vit", "audio"), ("vit", "text"), ("Wav2Vec2", "image"), ("resnet", "text")]
)
def test_a_folder_of_another_kind_of_input_is_named(folders: Path, name: str, kind: str) -> None:
    with pytest.raises(BadInput, match=f"{name}: error: transformers cannot load this folder"):
        loaded(folders / name, kind)


def test_a_processor_that_does_not_fit_its_model_is_named(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "vit", tmp_path / "vit")
    other = SEEING["vit"] | {"size": {"height": 24, "width": 24}}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(other))
    with pytest.raises(BadInput, match="transformers cannot load this folder"):
        loaded(tmp_path / "vit", "image")
