"""Laws of open_clip encoders, on a tiny model made here: both towers are open_clip's own, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from limen.models.extract import extract
from limen.models.golden import fixed_inputs
from limen.models.load import load_encoder
from limen.records.errors import BadInput

pytestmark = pytest.mark.torch
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["a photo of a cat", "naïve café — 東京 🙂", "", "word " * 80]
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
PLAIN = {
    "model_cfg": {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": TEXT,
    },
    "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic"},
}
TRUNK = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"something asked for the network: {args}")

    torch.set_num_threads(1)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def save(folder: Path, config: dict[str, Any]) -> Path:
    """A model of this configuration with weights drawn here, in open_clip's layout."""
    folder.mkdir()
    torch.manual_seed(0)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clip")
    save(root / "plain", PLAIN)
    save(root / "trunk", {**PLAIN, "model_cfg": {**PLAIN["model_cfg"], "vision_cfg": TRUNK}})
    return root


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved / "plain", tmp_path / "plain"))


def loaded(folder: Any, **more: Any) -> Any:
    return load_encoder({"source": "open-clip", "path": str(folder), **more})


def photographs(height: int, width: int, channels: int = 3, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def changed(folder: Path, change: Any) -> None:
    """Change open_clip_config.json by `change(config)`."""
    config = json.loads((folder / "open_clip_config.json").read_text())
    change(config)
    (folder / "open_clip_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", ["plain", "trunk"])
@pytest.mark.parametrize("size", [(32, 32), (20, 31), (1, 40)])
def test_images_are_encoded_as_by_open_clip(saved: Path, name: str, size: tuple[int, int]) -> None:
    pictures = photographs(*size)
    encoder = loaded(saved / name)
    rows = extract(encoder, pictures, 2)
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{saved / name}")
    with torch.no_grad():
        own = model.eval().encode_image(torch.stack([transform(Image.fromarray(one)) for one in pictures])).numpy()
    assert np.abs(rows - own).max() <= 1e-6 * np.abs(own).max()
    assert rows.shape == (3, encoder.dimension) == (3, 12)


@pytest.mark.parametrize("name", ["plain", "trunk"])
def test_texts_are_encoded_as_by_open_clip(saved: Path, name: str) -> None:
    encoder = loaded(saved / name, input="text")
    rows = extract(encoder, TEXTS, 3)
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{saved / name}")
    with torch.no_grad():
        own = model.eval().encode_text(open_clip.tokenize(TEXTS, context_length=16)).numpy()
    assert np.abs(rows - own).max() <= 1e-6 * np.abs(own).max()
    assert encoder.preprocessing == {"tokenizer": "SimpleTokenizer", "max_tokens": 16, "vocabulary": 49408}
    assert np.allclose(encoder.encode(["word " * 80]), encoder.encode(["word " * 30]), atol=1e-6)
    assert encoder.encode([]).shape == (0, 12)


def test_the_towers_are_two_encoders(saved: Path) -> None:
    image, text = loaded(saved / "plain"), loaded(saved / "plain", input="text")
    assert (image.input, text.input) == ("image", "text")
    assert image.fingerprint != text.fingerprint


def test_preprocessing_is_plain_and_complete(saved: Path) -> None:
    plain = loaded(saved / "plain").preprocessing
    assert json.loads(json.dumps(plain)) == plain
    assert plain["size"] == [32, 32]
    assert (plain["mean"], plain["std"]) == (PLAIN["preprocess_cfg"]["mean"], PLAIN["preprocess_cfg"]["std"])
    assert (plain["interpolation"], plain["resize_mode"]) == ("bicubic", "shortest")
    assert [step.partition("(")[0] for step in plain["steps"]][:2] == ["Resize", "CenterCrop"]


def test_grey_images_and_wrong_inputs(saved: Path) -> None:
    image, text = loaded(saved / "plain"), loaded(saved / "plain", input="text")
    grey = photographs(9, 12, 1)
    assert np.array_equal(image.encode(grey), image.encode(np.repeat(grey, 3, axis=3)))
    with pytest.raises(BadInput, match="expected images with 1 or 3 channels, got 4"):
        image.encode(photographs(9, 12, 4))
    with pytest.raises(BadInput, match=r"expected images of shape \[n, h, w, c\]"):
        image.encode(TEXTS)
    with pytest.raises(BadInput, match="text"):
        text.encode(photographs(9, 12))
    with pytest.raises(BadInput, match="open-clip takes image or text, got 'audio'"):
        loaded(saved / "plain", input="audio")


def test_a_changed_configuration_changes_fingerprint_and_features(folder: Path) -> None:
    before = loaded(folder)
    changed(folder, lambda config: config["preprocess_cfg"].update(mean=[0.1, 0.1, 0.1]))
    after = loaded(folder)
    assert before.fingerprint != after.fingerprint
    assert not np.allclose(before.encode(photographs(30, 30)), after.encode(photographs(30, 30)), rtol=1e-3)


def test_the_golden_embedding_is_compared(folder: Path, tmp_path: Path) -> None:
    for kind in ("image", "text"):
        encoder = loaded(folder, input=kind)
        record = tmp_path / "cache" / "golden" / f"{encoder.fingerprint}.npz"
        with np.load(record) as golden:
            rows, versions = golden["rows"], golden["versions"]
        assert np.array_equal(rows, encoder.encode(fixed_inputs(encoder)))
        assert json.loads(str(versions))["open-clip-torch"] == open_clip.__version__
        np.savez(record, rows=rows * 1.01, versions=versions)
        with pytest.raises(BadInput, match="the embedding of a fixed input changed"):
            loaded(folder, input=kind)


def test_a_hub_id_at_its_pinned_commit(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs a pinned revision"):
        loaded("laion/CLIP", revision="main")
    shutil.copytree(folder, tmp_path / "hub" / "models--laion--CLIP" / "snapshots" / COMMIT)
    rows = loaded("laion/CLIP", revision=COMMIT).encode(photographs(9, 9))
    assert np.array_equal(rows, loaded(folder).encode(photographs(9, 9)))


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "pytorch_model.pth", "model.pt"])
def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    loaded(folder)
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(BadInput, match="it was not opened"):
        loaded(folder)
    assert not (tmp_path / "canary").exists()


def test_missing_and_damaged_files_are_named(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    whole, tensors = weights.read_bytes(), load_file(weights)
    weights.write_bytes(whole[:-5])
    with pytest.raises(BadInput, match="bytes by its header"):
        loaded(folder)
    weights.unlink()
    with pytest.raises(BadInput, match=r"expected weights in open_clip_model\.safetensors; there are none"):
        loaded(folder)
    save_file({name: tensor for name, tensor in tensors.items() if name != "visual.proj"}, weights)
    with pytest.raises(BadInput, match="open_clip cannot load this folder"):
        loaded(folder)
    weights.write_bytes(whole)
    (folder / "open_clip_config.json").write_text("[1]")
    with pytest.raises(BadInput, match="not judged"):
        loaded(folder)
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(BadInput, match=r"expected a model folder with open_clip_config\.json"):
        loaded(folder)


def test_configurations_that_need_other_files_are_refused_by_name(folder: Path) -> None:
    original = (folder / "open_clip_config.json").read_text()
    for change, message in (
        (lambda model: model["text_cfg"].update(hf_model_name="roberta-base"), "hf_model_name"),
        (lambda model: model["text_cfg"].update(hf_tokenizer_name="someone/tokens"), "someone/tokens"),
        (lambda model: model["vision_cfg"].update(timm_model_name="hf-hub:someone/model"), "it was not looked up"),
        (lambda model: model["vision_cfg"].update(timm_model_name="local-dir:/tmp"), "it was not looked up"),
        (lambda model: model.pop("text_cfg"), "expected model_cfg with tables vision_cfg and text_cfg"),
        (lambda model: model["vision_cfg"].update(no_such_key=1), "open_clip cannot load this folder"),
        (lambda model: model.update(embed_dim=99), "open_clip cannot load this folder"),
        (lambda model: model.update(auto_map={"AutoModel": "evil.Model"}), "not imported"),
    ):
        (folder / "open_clip_config.json").write_text(original)
        changed(folder, lambda config, change=change: change(config["model_cfg"]))
        with pytest.raises(BadInput, match=message):
            loaded(folder)


def test_a_vocabulary_smaller_than_the_tokenizers_is_named(tmp_path: Path) -> None:
    small = {**PLAIN, "model_cfg": {**PLAIN["model_cfg"], "text_cfg": TEXT | {"vocab_size": 100}}}
    folder = save(tmp_path / "small", small)
    assert loaded(folder).dimension == 12
    with pytest.raises(BadInput, match="open_clip cannot load this folder"):
        loaded(folder, input="text")
