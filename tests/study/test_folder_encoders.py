"""timm and open_clip encoders in study files: what is found without either library, what they cost, what they mean."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import save_file

from limen.study import check as check_module
from limen.study.check import check
from limen.study.cost import IMAGE_USES, MULTIPLY, dimension_of, features_cost
from limen.study.encoders import EXTRAS, OpenClip, Timm, Transformers
from limen.study.files import Files, files_of
from limen.study.parse import read_study
from limen.study.plan import plan

TIMM = {
    "architecture": "test_vit",
    "num_classes": 5,
    "num_features": 64,
    "pretrained_cfg": {"input_size": [3, 112, 112]},
}
CLIP = {"model_cfg": {"embed_dim": 24, "vision_cfg": {"image_size": 448}, "text_cfg": {"context_length": 16}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study beside two folders in the layouts of their libraries; the weights fit no model."""
    for name, config, weights in (
        ("timm", "config.json", "model"),
        ("clip", "open_clip_config.json", "open_clip_model"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / config).write_text(json.dumps(TIMM if name == "timm" else CLIP))
        save_file({"w": np.ones((50, 1000), dtype=np.float32)}, tmp_path / name / f"{weights}.safetensors")
    return tmp_path


def study(folder: Path, **changes: Any) -> Path:
    plain = {
        "name": "folders",
        "encoder": {
            "seen": {"source": "timm", "path": "timm"} | changes,
            "clip": {"source": "open-clip", "path": "clip"},
        },
        "task": {"digits": {"train": "digits:train", "test": "digits:test", "input": "image"}},
        "adapt": {"labels": ["all"], "seeds": 1, "linear-probe": {"radius": 4.0}},
    }
    (folder / "study.toml").write_text(tomli_w.dumps(plain))
    return folder / "study.toml"


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if both libraries were installed: looking at a study imports neither."""
    monkeypatch.setattr(check_module, "find_spec", lambda name: object())


def errors(path: Path) -> str:
    return "\n".join(str(problem) for problem in check(path).errors)


def test_a_missing_library_is_named_with_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("timm", "open_clip")
    monkeypatch.setattr(check_module, "find_spec", lambda name: None if name in absent else find_spec(name))
    found = errors(study(folder))
    for source, library, extra in (("timm", "timm", "timm"), ("open-clip", "open_clip", "open-clip")):
        assert EXTRAS[source] == (library, extra)
        assert f'source = "{source}" needs the library {library}, which is not installed' in found
        assert f"pip install '.[{extra}]'" in found


@pytest.mark.usefixtures("libraries")
def test_sound_folders_have_no_errors_and_a_forecast(folder: Path) -> None:
    report = check(study(folder, layer="blocks.1", batch_size=8))
    assert report.errors == ()
    assert report.forecast is not None


@pytest.mark.usefixtures("libraries")
def test_keys_and_inputs_are_checked(folder: Path) -> None:
    assert "encoder.seen.pooling: unknown key" in errors(study(folder, pooling="mean"))
    assert "encoder.seen.input" in errors(study(folder, input="text"))
    assert 'encoder "clip" takes' not in errors(study(folder))


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda root: (root / "timm" / "model.safetensors").rename(root / "timm" / "pytorch_model.bin"), "not opened"),
        (lambda root: (root / "timm" / "model.safetensors").unlink(), "expected weights in model.safetensors"),
        (lambda root: (root / "timm" / "config.json").write_text('{"model_type": "vit"}'), 'source = "transformers"'),
        (lambda root: (root / "timm" / "config.json").unlink(), "expected a model folder with config.json"),
        (
            lambda root: (root / "timm" / "config.json").write_text(
                json.dumps(TIMM | {"model_args": {"checkpoint_path": "/x"}})
            ),
            "model_args.checkpoint_path",
        ),
        (lambda root: (root / "clip" / "open_clip_config.json").write_text("{}"), "expected model_cfg with tables"),
        (lambda root: (root / "clip" / "open_clip_config.json").unlink(), "open_clip_config.json"),
        (lambda root: (root / "clip" / "open_clip_model.safetensors").write_bytes(b"x" * 99), "header does not fit"),
    ],
)
def test_what_is_wrong_with_a_folder_is_found_before_anything_runs(folder: Path, damage: Any, expected: str) -> None:
    path = study(folder)
    damage(folder)
    found = errors(path)
    assert expected in found
    assert "encoder." in found


def test_widths_and_seconds_are_read_off_the_configuration(folder: Path) -> None:
    files = Files(folder, None)
    seen, clip = Timm(path="timm"), OpenClip(path="clip")
    assert dimension_of(seen, files) == 64
    assert dimension_of(clip, files) == 24
    rows = files.describe("digits:train").rows
    weights = 50 * 1000
    for encoder, share in ((seen, 1 / 4), (clip, 4)):  # sides of 112 and 448, not 224
        seconds = features_cost(encoder, "digits:train", files).seconds - 0.05
        assert seconds == pytest.approx(rows * MULTIPLY * IMAGE_USES * share * weights, rel=0.02)
    text = features_cost(OpenClip(path="clip", input="text"), "digits:train", files)
    assert text.seconds < features_cost(clip, "digits:train", files).seconds
    (folder / "timm" / "config.json").write_text("[]")  # named by check; the forecast takes the usual sizes
    assert dimension_of(Timm(path="timm"), files) == 768
    assert dimension_of(Transformers(path="timm", input="image"), files) == 768


def test_features_are_named_by_weights_configuration_and_layer(folder: Path) -> None:
    def keys(path: Path) -> set[str]:
        return {
            key for key, cell in plan(read_study(path)[0], files_of(path)).cells.items() if cell.stage == "features"
        }

    plain = keys(study(folder))
    assert len(plain) == 4
    assert keys(study(folder, batch_size=3)) == plain
    assert len(keys(study(folder, layer="blocks.1")) & plain) == 2
    (folder / "timm" / "config.json").write_text(json.dumps(TIMM | {"num_features": 65}))
    changed = keys(study(folder))
    assert len(changed & plain) == 2
    moved = folder.rename(folder.with_name("elsewhere"))
    assert keys(moved / "study.toml") == changed
