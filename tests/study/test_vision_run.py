"""A study of timm, open_clip and transformers encoders of images on the bundled digits, end to end, without network."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import tomli_w
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from limen.data.digits import digits
from limen.models.load import load_encoder
from limen.study.check import check
from limen.study.cost import dimension_of
from limen.study.run import Options, open_study, run_study

pytestmark = pytest.mark.torch
CLIP = {
    "model_cfg": {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders with weights drawn here, and a study of them."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"something asked for the network: {args}")

    torch.manual_seed(0)
    small = timm.create_model("test_resnet", num_classes=5)
    small.pretrained_cfg["input_size"] = (3, 32, 32)
    save_for_hf(small, str(tmp_path / "small"), safe_serialization=True)
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text(json.dumps(CLIP))
    model = open_clip.create_model(f"local-dir:{tmp_path / 'clip'}", load_weights=False, pretrained_text=False)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, tmp_path / "clip" / "open_clip_model.safetensors")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))
    plain = {
        "name": "vision",
        "encoder": {
            "pooled": {"source": "timm", "path": "small"},
            "early": {"source": "timm", "path": "small", "layer": "layer1"},
            "clip": {"source": "open-clip", "path": "clip"},
        },
        "task": {"digits": {"train": "digits:train", "test": "digits:test", "input": "image"}},
        "adapt": {"labels": ["all"], "seeds": 1, "linear-probe": {"radius": 4.0}},
    }
    (tmp_path / "study.toml").write_text(tomli_w.dumps(plain))
    return tmp_path


def test_a_study_of_timm_and_open_clip_encoders(folder: Path) -> None:
    path = folder / "study.toml"
    assert check(path).errors == ()
    result = run_study(path, Options(quiet=True))
    assert result.exit_code == 0, result.line()
    assert {budget.encoder for budget in result.report.budgets} == {"pooled", "early", "clip"}
    opened = open_study(path, Options(quiet=True))
    found = {cell.label: opened.store.load(key) for key, cell in opened.plan.cells.items() if cell.stage == "features"}
    images, _ = digits("digits:test")
    for name, section in opened.study.encoder.items():
        own = load_encoder(section.model_dump(mode="json", exclude_none=True) | {"path": str(folder / section.path)})
        (label,) = [label for label in found if label.startswith(f"{name} · ") and "test" in label]
        rows = np.asarray(found[label].arrays["features"])
        assert np.abs(rows - own.encode(images)).max() <= 1e-5 * np.abs(rows).max()
        if name != "early":  # the width of a layer is not in the configuration
            assert dimension_of(section, opened.files) == rows.shape[1]
    again = run_study(path, Options(quiet=True))
    assert again.exit_code == 0
    assert again.run == 0
