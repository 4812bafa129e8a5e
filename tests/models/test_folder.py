"""Laws of model folders: what is unsafe, incomplete or absent is named within moments, and nothing is executed."""

from __future__ import annotations

import json
import os
import pickle
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from limen.models.folder import check_model_folder, check_safetensors, model_folder
from limen.models.load import load_encoder
from limen.models.weights import check_weights
from limen.records.errors import BadInput

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"something asked for the network: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    save_file({"w": np.arange(6.0).reshape(2, 3)}, folder / "model.safetensors")
    return folder


def spec(path: Any, **more: Any) -> dict[str, Any]:
    return {"source": "transformers", "path": str(path), **more}


def checked(plain: dict[str, Any]) -> None:
    """As `limen check` looks at the folder of an encoder."""
    path, revision = plain["path"], plain.get("revision")
    if plain["source"] == "torch":
        return check_weights(Path(path))
    return check_model_folder(model_folder(path, revision), path, revision)


def refused(plain: dict[str, Any], *fragments: str) -> BadInput:
    started = time.monotonic()
    with pytest.raises(BadInput) as caught:
        checked(plain)
    assert time.monotonic() - started < 5
    for fragment in fragments:
        assert fragment in str(caught.value), str(caught.value)
    with pytest.raises(BadInput):
        load_encoder(plain)
    return caught.value


def test_a_sound_folder_passes(folder: Path) -> None:
    checked(spec(folder))


def test_a_hub_id_needs_a_commit_and_weights_on_this_machine(folder: Path, tmp_path: Path) -> None:
    refused(spec("some/model"), "needs a pinned revision")
    refused(spec("some/model", revision="main"), "needs a pinned revision", "got 'main'")
    missing = spec("some/model", revision=COMMIT)
    refused(missing, "not on this machine", f"hf download some/model --revision {COMMIT}")
    snapshot = tmp_path / "hub" / "models--some--model" / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    checked(missing)
    (snapshot / "model.safetensors").unlink()
    refused(missing, "expected weights", "half-downloaded", f"hf download some/model --revision {COMMIT}")


def test_a_mistyped_folder_is_not_taken_for_a_hub_id(folder: Path) -> None:
    refused(spec(folder.parent / "modle"), "no such folder", "did you mean model?")
    refused(spec("./modle"), "no such folder")
    refused(spec(folder / "config.json"), "got a file")


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "model.ckpt"])
def test_weights_that_are_pickles_are_refused_unread(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    refused(spec(folder), name, "not opened", "safetensors")
    torch_spec = {"source": "torch", "path": str(folder / name), "architecture": {"name": "conv"}}
    refused(torch_spec, "not opened")
    (folder / "weights.safetensors").write_bytes((folder / name).read_bytes())
    refused(torch_spec | {"path": str(folder / "weights.safetensors")}, "not opened")
    assert not (tmp_path / "canary").exists()


def test_a_pickle_in_one_part_of_a_pipeline_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "config.json").write_text("{}")
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    refused(spec(folder, source="sentence-transformers"), "2_Dense/pytorch_model.bin", "not opened")
    assert not (tmp_path / "canary").exists()


def pipeline(folder: Path, *kinds: str) -> Path:
    """The folder as a pipeline: a transformer in the root, and a module of every further kind in a folder."""
    named = ["Transformer", *kinds]
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": f"{k}_{kind}" if k else ""}
        for k, kind in enumerate(named)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for module in modules:
        (folder / module["path"]).mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("kind", ["Dense", "Pooling", "Normalize"])
def test_a_pickle_in_a_module_without_configuration_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    plain = spec(pipeline(folder, kind), source="sentence-transformers")
    module = folder / f"1_{kind}"
    (module / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    refused(plain, f"1_{kind}/pytorch_model.bin", "not opened")
    if kind == "Dense":
        save_file({"w": np.ones((2, 3))}, module / "other.safetensors")
        refused(plain, "1_Dense")
    save_file({"linear.weight": np.ones((2, 3))}, module / "model.safetensors")
    checked(plain)
    assert not (tmp_path / "canary").exists()


def test_weights_of_another_folder_do_not_stand_in_for_those_of_a_module(folder: Path, tmp_path: Path) -> None:
    plain = spec(pipeline(folder, "Pooling"), source="sentence-transformers")
    (folder / "openvino").mkdir()
    (folder / "openvino" / "openvino_model.bin").write_bytes(b"no pickle")
    checked(plain)
    (folder / "onnx").mkdir()
    (folder / "model.safetensors").rename(folder / "onnx" / "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    refused(plain, "model/pytorch_model.bin", "not opened")


@pytest.mark.parametrize("kind", ["CNN", "LSTM", "WordEmbeddings", "Router"])
def test_modules_that_may_unpickle_are_refused_by_name(folder: Path, kind: str) -> None:
    refused(spec(pipeline(folder, kind), source="sentence-transformers"), kind, "Transformer, Pooling, Dense")


def test_an_activation_is_a_function_of_torch(folder: Path) -> None:
    plain = spec(pipeline(folder, "Dense"), source="sentence-transformers")
    save_file({"linear.weight": np.ones((2, 3))}, folder / "1_Dense" / "model.safetensors")
    (folder / "1_Dense" / "config.json").write_text('{"activation_function": "torch.nn.modules.activation.Tanh"}')
    checked(plain)
    (folder / "1_Dense" / "config.json").write_text('{"activation_function": "antigravity.geohash"}')
    refused(plain, "antigravity.geohash", "not imported")


@pytest.mark.parametrize("key", ["auto_map", "_target_", "_instantiator"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_configurations_that_ask_for_code_are_refused_by_name(
    folder: Path, tmp_path: Path, key: str, file: str
) -> None:
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'canary')!r})\n")
    (folder / file).write_text(json.dumps({"model_type": "bert", "deep": [{key: {"AutoModel": "evil.Model"}}]}))
    refused(spec(folder), key, file, "not imported")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff{}", b"{" * 100_000, b"{}" + b" " * (33 << 20)])
def test_a_configuration_that_cannot_be_judged_is_refused(folder: Path, content: bytes) -> None:
    (folder / "tokenizer_config.json").write_bytes(content)
    refused(spec(folder), "tokenizer_config.json", "not judged")


def test_a_pipeline_of_foreign_modules_is_refused_by_name(folder: Path) -> None:
    modules = [
        {"type": "evil.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "../x"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    error = refused(spec(folder, source="sentence-transformers"), "evil.Transformer", "leaves the model folder")
    assert len(error.problems) == 2
    (folder / "modules.json").write_text("[3]")
    refused(spec(folder, source="sentence-transformers"), "expected a list of modules")


def test_half_downloaded_weights_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-5])
    refused(spec(folder), f"expected {len(whole)} bytes by its header, got {len(whole) - 5}")
    weights.write_bytes(whole[:4])
    refused(spec(folder), "header does not fit")
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(spec(folder), "Git LFS pointer", "git lfs pull")
    weights.unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}))
    refused(spec(folder), "parts of the weights are missing: a.safetensors")
    (folder / "config.json").unlink()
    refused(spec(folder), "config.json; it has none")


def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BadInput, match=r"pip install '\.\[hf\]'"):
        load_encoder(spec(folder))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.booleans())
def test_random_bytes_are_never_sound_weights(tmp_path: Path, content: bytes, prefixed: bool) -> None:
    file = tmp_path / "random.safetensors"
    file.write_bytes((len(content).to_bytes(8, "little") if prefixed else b"") + content)
    problems = check_safetensors(file)
    if not problems:  # only an empty JSON object is whole: a file without tensors
        assert json.loads(content) == {}
