"""Laws of safetensors checkpoints: the features are those of the module, and what does not fit is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors import torch as torch_file  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from limen.arrays.random import stream  # noqa: E402
from limen.models.architectures.registry import build  # noqa: E402
from limen.models.extract import extract  # noqa: E402
from limen.models.load import load_encoder  # noqa: E402
from limen.records.errors import BadInput  # noqa: E402

pytestmark = pytest.mark.torch
SHAPE = {"name": "conv", "width": 8, "in_channels": 3, "image_size": 16}
IMAGES = np.random.default_rng(0).integers(0, 256, size=(9, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def module() -> Any:
    module = build(SHAPE)
    module.initialise(stream("test"))
    module.set_normalisation([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    return module.eval()


@pytest.fixture
def spec(tmp_path: Path, module: Any) -> dict[str, Any]:
    file = tmp_path / "weights.safetensors"
    save_file({name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}, file)
    return {"source": "torch", "path": str(file), "architecture": SHAPE}


@pytest.mark.parametrize("layer", [None, "stem", "stage1"])
def test_features_are_those_of_the_module(spec: dict[str, Any], module: Any, layer: str | None) -> None:
    encoder = load_encoder(spec | {"layer": layer})
    with torch.no_grad():
        expected = module(torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255, layer).numpy()
    rows = encoder.encode(IMAGES)
    assert np.allclose(rows, expected, rtol=1e-5, atol=1e-6)
    assert rows.shape[1] == encoder.dimension
    assert np.allclose(extract(encoder, IMAGES, 2), rows, rtol=1e-5, atol=1e-6)


def test_channels_and_size_are_read_off_the_tensors(spec: dict[str, Any]) -> None:
    short = spec | {"architecture": {"name": "conv", "width": 8, "in_channels": None, "image_size": None}}
    assert np.array_equal(load_encoder(short).encode(IMAGES), load_encoder(spec).encode(IMAGES))


def test_layer_and_weights_change_the_fingerprint(spec: dict[str, Any], tmp_path: Path, module: Any) -> None:
    one, stem = load_encoder(spec), load_encoder(spec | {"layer": "stem"})
    assert one.fingerprint != stem.fingerprint
    with torch.no_grad():
        module.stem[0].weight[0, 0, 0, 0] += 1e-3
    changed = tmp_path / "changed.safetensors"
    save_file({name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}, changed)
    assert load_encoder(spec | {"path": str(changed)}).fingerprint != one.fingerprint


def test_what_does_not_fit_is_named(spec: dict[str, Any], tmp_path: Path) -> None:
    wrong = {
        "tensors are missing": SHAPE | {"image_size": 32},
        "expected shape": SHAPE | {"width": 16},
        "name of an architecture": {"name": "convv"},
    }
    for message, architecture in wrong.items():
        with pytest.raises(BadInput, match=message):
            load_encoder(spec | {"architecture": architecture})
    with pytest.raises(BadInput, match="layers stem, stage1"):
        load_encoder(spec | {"layer": "stage9"})
    with pytest.raises(BadInput, match="3 channels"):
        load_encoder(spec).encode(IMAGES[..., :1])
    with pytest.raises(BadInput, match="no such file"):
        load_encoder(spec | {"path": str(tmp_path / "w.safetensors")})


def test_damaged_weights_are_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    whole = Path(spec["path"]).read_bytes()
    header = int.from_bytes(whole[:8], "little")
    plain = json.loads(whole[8 : 8 + header])
    plain["stem.0.weight"]["dtype"] = "F99"
    odd = json.dumps(plain).encode()
    Path(spec["path"]).write_bytes(len(odd).to_bytes(8, "little") + odd + whole[8 + header :])
    with pytest.raises(BadInput, match="sound safetensors"):
        load_encoder(spec)
    Path(spec["path"]).write_bytes(whole[:-1])
    with pytest.raises(BadInput, match="by its header"):
        load_encoder(spec)


def saved(file: Path, tensors: dict[str, Any]) -> str:
    torch_file.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    return str(file)


def described(architecture: dict[str, Any]) -> dict[str, Any]:
    """State of an encoder with drawn weights."""
    module = build(architecture)
    module.initialise(stream("test"))
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


OTHERS: dict[str, dict[str, Any]] = {
    "resnet18": {"width": 8}, "vit": {"width": 16, "depth": 1, "heads": 2, "patch": 4}, "mlp": {"hidden": (8,)},
}  # fmt: skip
IMAGE = {"in_channels": 1, "image_size": 16}


@pytest.mark.parametrize("name", OTHERS)
def test_size_and_channels_are_read_off_the_tensors_of_every_architecture(tmp_path: Path, name: str) -> None:
    full = {"name": name, **OTHERS[name], **IMAGE}
    spec = {"source": "torch", "path": saved(tmp_path / "w.safetensors", described(full))}
    short = {"name": name, **OTHERS[name]}
    rows = load_encoder(spec | {"architecture": short}).encode(IMAGES[..., :1])
    assert np.array_equal(rows, load_encoder(spec | {"architecture": full}).encode(IMAGES[..., :1]))


@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_another_architecture_are_named_by_what_they_look_like(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "w.safetensors", described({"name": name, **OTHERS[name], **IMAGE}))
    with pytest.raises(BadInput, match=f"look like {name}") as caught:
        load_encoder({"source": "torch", "path": path, "architecture": {"name": "conv", "width": 8}})
    assert len(caught.value.problems) <= 3


def test_an_architecture_of_texts_is_no_encoder_of_images(spec: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"architecture of images .*got 'transformer' of text"):
        load_encoder(spec | {"architecture": {"name": "transformer"}})


def test_a_hostile_number_of_stages_is_refused_before_it_is_built(tmp_path: Path) -> None:
    tensors = {name.replace("stage2.", "stage9999999."): tensor for name, tensor in described(SHAPE).items()}
    path = saved(tmp_path / "w.safetensors", tensors)
    with pytest.raises(BadInput, match="unknown to the architecture"):
        load_encoder({"source": "torch", "path": path, "architecture": {"name": "conv", "width": 8}})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read(spec: dict[str, Any], tmp_path: Path, module: Any, dtype: Any) -> None:
    path = saved(tmp_path / "p.safetensors", {name: tensor.to(dtype) for name, tensor in module.state_dict().items()})
    rows, expected = load_encoder(spec | {"path": path}).encode(IMAGES), load_encoder(spec).encode(IMAGES)
    assert np.abs(rows - expected).max() < 0.05 * np.abs(expected).max()


def test_numbers_that_are_no_weights_are_refused(spec: dict[str, Any], tmp_path: Path, module: Any) -> None:
    state = module.state_dict()
    wrong = {
        "nothing but zeros in stage1.conv1.weight": {"stage1.conv1.weight": torch.zeros_like},
        "finite weights, got others in stem.0.weight": {"stem.0.weight": lambda tensor: tensor * torch.nan},
        "another kind, torch.int64, in stem.0.weight": {"stem.0.weight": lambda tensor: tensor.long() + 1},
    }
    for message, changes in wrong.items():
        changed = {name: changes.get(name, torch.clone)(tensor) for name, tensor in state.items()}
        with pytest.raises(BadInput, match=message):
            load_encoder(spec | {"path": saved(tmp_path / "w.safetensors", changed)})


def test_half_of_a_file_that_took_its_space_in_advance_is_refused(spec: dict[str, Any]) -> None:
    whole = Path(spec["path"]).read_bytes()
    Path(spec["path"]).write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(BadInput, match="half-written"):
        load_encoder(spec)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_pickle_is_refused_unread_under_any_name(spec: dict[str, Any], tmp_path: Path, name: str) -> None:
    torch.save({"stem": Hostile(tmp_path / "opened")}, tmp_path / name)
    with pytest.raises(BadInput, match="it was not opened"):
        load_encoder(spec | {"path": str(tmp_path / name)})
    assert not (tmp_path / "opened").exists()


class Hostile:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)
