"""Laws of timm encoders, on tiny models made here: timm's own features and transform, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from limen.models.extract import extract
from limen.models.golden import fixed_inputs
from limen.models.load import load_encoder
from limen.models.timm_models import layer_names
from limen.records.errors import BadInput

pytestmark = pytest.mark.torch
NAMES = ("test_vit", "test_resnet", "test_convnext", "test_efficientnet", "test_mambaout", "test_vit4")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"something asked for the network: {args}")

    torch.set_num_threads(1)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of every tiny model, with weights drawn here, as timm saves them."""
    root = tmp_path_factory.mktemp("timm")
    torch.manual_seed(0)
    for name in NAMES:
        save_for_hf(timm.create_model(name, num_classes=5), str(root / name), safe_serialization=True)
    grey = timm.create_model("test_resnet", num_classes=5, in_chans=1)
    save_for_hf(grey, str(root / "grey"), model_config={"pretrained_cfg": {"mean": [0.5], "std": [0.5]}},
                safe_serialization=True)  # fmt: skip
    return root


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of one of them that a test may damage."""
    return Path(shutil.copytree(saved / "test_resnet", tmp_path / "test_resnet"))


def loaded(folder: Any, **more: Any) -> Any:
    return load_encoder({"source": "timm", "path": str(folder), **more})


def photographs(height: int, width: int, channels: int = 3, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def changed(folder: Path, change: Any) -> None:
    """Change config.json by `change(config)`."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def own_model(folder: Path) -> tuple[Any, Any]:
    """The library alone: model without classifier, and its transform of evaluation."""
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    data = timm.data.resolve_data_config({}, model=model)
    return model, timm.data.create_transform(**data, is_training=False)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_timm(saved: Path, name: str) -> None:
    pictures = photographs(37, 52)
    encoder = loaded(saved / name)
    rows = extract(encoder, pictures, 2)
    model, transform = own_model(saved / name)
    with torch.no_grad():
        own = model(torch.stack([transform(Image.fromarray(one)) for one in pictures])).numpy()
    assert np.abs(rows - own).max() <= 1e-6 * np.abs(own).max()
    assert rows.shape == (3, encoder.dimension) == own.shape
    assert rows.dtype == np.float32


@pytest.mark.parametrize("size", [(20, 31), (31, 20), (200, 170), (1, 1)])
def test_the_transform_is_resize_crop_and_standardise(saved: Path, size: tuple[int, int]) -> None:
    (picture,) = photographs(*size, count=1)
    encoder = loaded(saved / "test_vit")
    short = int(160 / 0.95)
    height, width = (short * side // min(size) for side in size)
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    top, left = round((height - 160) / 2), round((width - 160) / 2)
    cropped = np.asarray(resized, dtype=np.float64)[top : top + 160, left : left + 160]
    by_hand = torch.tensor((cropped / 255 - 0.5) / 0.5, dtype=torch.float32).permute(2, 0, 1)
    assert torch.allclose(encoder.transform(Image.fromarray(picture)), by_hand, atol=1e-6)
    with torch.no_grad():
        assert np.allclose(encoder.encode(picture[None]), encoder.model(by_hand[None]).numpy(), atol=1e-5)


def test_preprocessing_is_plain_and_complete(saved: Path) -> None:
    plain = loaded(saved / "test_vit").preprocessing
    assert json.loads(json.dumps(plain)) == plain
    assert plain["input_size"] == [3, 160, 160]
    assert (plain["interpolation"], plain["crop_pct"], plain["crop_mode"]) == ("bicubic", 0.95, "center")
    assert (plain["mean"], plain["std"]) == ([0.5] * 3, [0.5] * 3)
    assert [step.partition("(")[0] for step in plain["steps"]] == ["Resize", "CenterCrop", "MaybeToTensor", "Normalize"]


@pytest.mark.parametrize("place", ["resnet act1", "resnet layer2", "vit blocks.1", "convnext stages.3"])
def test_layers_are_averaged_over_positions(saved: Path, place: str) -> None:
    name, layer = f"test_{place}".split()
    pictures = photographs(40, 40)
    encoder = loaded(saved / name, layer=layer)
    model, transform = own_model(saved / name)
    seen: list[Any] = []
    model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        model(torch.stack([transform(Image.fromarray(one)) for one in pictures]))
    # Tokens of a vision transformer: the first is no position of the image.
    own = seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0][:, 1:].mean(dim=1)
    assert np.allclose(encoder.encode(pictures), own.numpy(), atol=1e-6, rtol=1e-5)
    assert encoder.dimension == own.shape[1]
    assert encoder.fingerprint != loaded(saved / name).fingerprint


def test_an_unknown_layer_is_named(saved: Path) -> None:
    assert layer_names(loaded(saved / "test_resnet").model) == ("act1", "layer1", "layer2", "layer3", "layer4")
    with pytest.raises(BadInput, match=r"expected one of the layers act1, layer1, .*got layer9") as caught:
        loaded(saved / "test_resnet", layer="layer9")
    assert "did you mean layer" in str(caught.value)


def test_grey_images_floats_and_misuse(saved: Path) -> None:
    encoder = loaded(saved / "test_resnet", batch_size=2)
    pictures, grey = photographs(9, 12), photographs(9, 12, 1)
    assert np.array_equal(encoder.encode(grey), encoder.encode(np.repeat(grey, 3, axis=3)))
    assert np.array_equal(encoder.encode(pictures.astype(np.float32) / 255), encoder.encode(pictures))
    assert np.allclose(encoder.encode(pictures[1:2]), encoder.encode(pictures)[1:2], atol=1e-6)
    assert encoder.encode(pictures[:0]).shape == (0, 96)
    with pytest.raises(BadInput, match="expected images with 1 or 3 channels, got 4"):
        encoder.encode(photographs(9, 12, 4))
    with pytest.raises(BadInput, match=r"expected images of shape \[n, h, w, c\]"):
        encoder.encode(["a text"])
    with pytest.raises(BadInput, match="timm takes image, got 'text'"):
        loaded(saved / "test_resnet", input="text")


def test_a_model_of_grey_images(saved: Path) -> None:
    encoder = loaded(saved / "grey")
    pictures = photographs(9, 12, 1)
    model, transform = own_model(saved / "grey")
    with torch.no_grad():
        own = model(torch.stack([transform(Image.fromarray(one[..., 0])) for one in pictures])).numpy()
    assert np.abs(encoder.encode(pictures) - own).max() <= 1e-6 * np.abs(own).max()
    assert fixed_inputs(encoder).shape[3] == 1
    with pytest.raises(BadInput, match="expected images with 1 channels, got 3"):
        encoder.encode(photographs(9, 12))


def test_a_changed_configuration_changes_fingerprint_and_features(folder: Path) -> None:
    before = loaded(folder)
    pictures = photographs(30, 30)
    for change in (
        lambda config: config["pretrained_cfg"].update(mean=[0.4, 0.5, 0.6]),
        lambda config: config["pretrained_cfg"].update(crop_pct=0.5),
        lambda config: config["pretrained_cfg"].update(interpolation="nearest"),
    ):
        rows, fingerprint = before.encode(pictures), before.fingerprint
        changed(folder, change)
        before = loaded(folder)
        assert before.fingerprint != fingerprint
        assert not np.allclose(before.encode(pictures), rows, rtol=1e-4)


def test_the_golden_embedding_is_recorded_and_compared(folder: Path, tmp_path: Path) -> None:
    encoder = loaded(folder)
    record = tmp_path / "cache" / "golden" / f"{encoder.fingerprint}.npz"
    with np.load(record) as golden:
        assert np.array_equal(golden["rows"], encoder.encode(fixed_inputs(encoder)))
        assert json.loads(str(golden["versions"]))["timm"] == timm.__version__
        other = golden["rows"] * 1.01
        versions = golden["versions"]
    loaded(folder)
    np.savez(record, rows=other, versions=versions)
    with pytest.raises(BadInput, match="the embedding of a fixed input changed"):
        loaded(folder)


def test_a_hub_id_at_its_pinned_commit(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs a pinned revision"):
        loaded("timm/test_resnet")
    with pytest.raises(BadInput, match=f"hf download timm/test_resnet --revision {COMMIT}"):
        loaded("timm/test_resnet", revision=COMMIT)
    rows = loaded(folder).encode(photographs(9, 9))
    shutil.copytree(folder, tmp_path / "hub" / "models--timm--test_resnet" / "snapshots" / COMMIT)
    assert np.array_equal(loaded("timm/test_resnet", revision=COMMIT).encode(photographs(9, 9)), rows)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "weights.pt"])
def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    loaded(folder)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(BadInput, match="it was not opened"):
        loaded(folder)
    assert not (tmp_path / "canary").exists()


def test_missing_and_damaged_files_are_named(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-5])
    with pytest.raises(BadInput, match="bytes by its header"):
        loaded(folder)
    weights.unlink()
    with pytest.raises(BadInput, match=r"expected weights in model\.safetensors; there are none"):
        loaded(folder)
    weights.write_bytes(whole)
    (folder / "config.json").write_text("{")
    with pytest.raises(BadInput, match="not judged"):
        loaded(folder)
    (folder / "config.json").unlink()
    with pytest.raises(BadInput, match=r"expected a model folder with config\.json"):
        loaded(folder)
    with pytest.raises(BadInput, match="there is no such folder"):
        loaded(tmp_path / "nowhere")


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained_strict", "features_only", "pretrained_cfg"])
def test_arguments_that_say_what_is_loaded_are_refused(folder: Path, key: str) -> None:
    changed(folder, lambda config: config["model_args"].update({key: False}))
    with pytest.raises(BadInput, match=f"model_args.{key}"):
        loaded(folder)


def test_configurations_of_other_models_are_named(folder: Path) -> None:
    original = (folder / "config.json").read_text()
    for change, message in (
        (lambda config: config.update(architecture="test_resnte"), "did you mean test_resnet"),
        (lambda config: config.update(architecture="hf-hub:someone/model"), "expected an architecture of timm"),
        (lambda config: config.update(architecture="local-dir:/tmp"), "expected an architecture of timm"),
        (lambda config: config.update(model_type=config.pop("architecture")), 'use source = "transformers"'),
        (lambda config: config.update(model_args=[1]), "expected tables model_args and pretrained_cfg"),
        (lambda config: config["model_args"].update(num_classes=7), "num_classes = 5, as the weights have, got 7"),
        (lambda config: config["model_args"].update(no_such_argument=7), "timm cannot load this folder"),
        (lambda config: config["pretrained_cfg"].update(interpolation="no such"), "timm cannot load this folder"),
        (lambda config: config.update(architecture="test_vit"), "timm cannot load this folder"),
        (lambda config: config["model_args"].update(global_pool=""), "expected pooled features"),
        (lambda config: config.update(deep=[{"auto_map": {"x": "evil.Model"}}]), "not imported"),
    ):
        (folder / "config.json").write_text(original)
        changed(folder, change)
        with pytest.raises(BadInput, match=message):
            loaded(folder)


def test_weights_that_miss_tensors_are_refused_where_timm_itself_is_lenient(tmp_path: Path) -> None:
    save_for_hf(timm.create_model("dla34", num_classes=5), str(tmp_path / "dla"), safe_serialization=True)
    loaded(tmp_path / "dla")
    file = tmp_path / "dla" / "model.safetensors"
    tensors = load_file(file)
    del tensors["level1.0.weight"]
    save_file(tensors, file)
    timm.create_model(f"local-dir:{tmp_path / 'dla'}", pretrained=True)  # takes random numbers for it
    with pytest.raises(BadInput, match=r"tensors of the model are missing: level1\.0\.weight"):
        loaded(tmp_path / "dla")


def test_a_torchvision_of_another_torch_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import limen.models.offline

    def broken(*args: Any) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(limen.models.offline, "require", broken)
    with pytest.raises(BadInput, match="operator torchvision::nms does not exist") as caught:
        loaded(folder)
    assert "a torchvision made for this torch" in str(caught.value)


def test_offline_is_set_before_timm_is_imported(folder: Path) -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from limen.models.load import load_encoder\n"
        f"load_encoder({{'source': 'timm', 'path': {str(folder)!r}}}, golden=False)\n"
        "import huggingface_hub.constants as c\n"
        "assert c.HF_HUB_OFFLINE is True, c.HF_HUB_OFFLINE"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
