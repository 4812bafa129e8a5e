"""Laws of safetensors checkpoints: the features are those of the module, and what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

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
