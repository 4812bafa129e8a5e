"""Where a model's files are and whether they may be opened: decided offline, in milliseconds, before any library loads.

Refused by name: weights that only exist as pickles in any part of a pipeline, modules other than `MODULES`,
configurations that ask for code of their own (`auto_map`, `_target_`, `_instantiator`, activations outside torch.nn),
half-downloaded or pointer files, paths that leave the folder.
A hub id is looked up in the local hub cache at its pinned commit; nothing is ever fetched.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limen.data.phrases import did_you_mean, names_text, printable
from limen.models.native_layouts import NATIVE, configuration_problems
from limen.records.errors import BadInput, Problem

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
HOSTILE_KEYS = ("auto_map", "_target_", "_instantiator", "custom_pipelines")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".joblib")
MODULES = ("Transformer", "Pooling", "Dense", "Normalize")
"""Modules of a sentence-transformers pipeline that may be opened."""
WITH_WEIGHTS = ("Transformer", "Dense")
LFS = b"version https://git-lfs"
CONFIG_LIMIT = 32 << 20
CONFIGS = (
    "config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json",
    "sentence_bert_config.json", "config_sentence_transformers.json", "generation_config.json", "open_clip_config.json",
)  # fmt: skip
"""Files that libraries act on: each must be readable here, so that nothing in it goes unjudged."""


def model_folder(path: str, revision: str | None = None) -> Path:
    """The local folder of a model given as a folder, or as a hub id with the commit it is pinned to.

    Raises BadInput for a folder that is not there, a hub id without commit, and weights that are not on this machine
    (with the command that fetches them).

    >>> model_folder("some/model", "main")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    limen.records.errors.BadInput: ...
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise BadInput(Problem(printable(path), "expected a model folder, got a file", fix="name the folder it is in"))
    parents = folder.parent.is_dir() and (folder.is_absolute() or path.startswith(".") or str(folder.parent) != ".")
    if not HUB_ID.fullmatch(path) or parents:
        here = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        near = did_you_mean(folder.name, here) or "check the path"
        raise BadInput(Problem(printable(path, 200), "there is no such folder", fix=near))
    if revision is None or not COMMIT.fullmatch(revision):
        got = "none" if revision is None else repr(revision)
        raise BadInput(
            Problem(
                path,
                f"a hub id needs a pinned revision, the commit's 40 hexadecimal digits; got {got}",
                cause="no such folder here, so it was taken for a hub id; a branch name can change its weights",
                fix='add revision = "<commit>" from the model\'s page, or give the path of a local folder',
            )
        )
    snapshot = _hub_cache() / f"models--{path.replace('/', '--')}" / "snapshots" / revision
    if not snapshot.is_dir():
        raise BadInput(_not_fetched(path, revision, f"not in the local hub cache {_hub_cache()}"))
    return snapshot


def check_model_folder(folder: Path, path: str, revision: str | None = None, source: str = "") -> None:
    """Raise BadInput with everything that keeps the files of a model folder from being opened.

    `source` is that of the study: those in `NATIVE` have a layout of their own, all others that of transformers.
    """
    config, weights = NATIVE.get(source, ("config.json", ""))
    if not (folder / config).is_file() and (weights or not (folder / "modules.json").is_file()):
        what = f"expected a model folder with {config}; it has none"
        raise BadInput(Problem(str(folder), what, "half-downloaded, or another folder", _again(path, revision)))
    problems = [] if weights else [*_missing(folder, path, revision)]
    if weights:
        problems += [*_native(folder, weights, _again(path, revision)), *configuration_problems(folder, source)]
    for file in sorted(folder.rglob("*.json")):
        problems += _hostile(folder, file)
    for file in sorted(folder.rglob("*.safetensors")):
        problems += check_safetensors(file)
    if problems:
        raise BadInput(problems)


def check_safetensors(file: Path) -> list[Problem]:
    """Whether a safetensors file is whole, by its header: 8 bytes of length, JSON with offsets, then the data."""
    fix = "fetch or copy it again"
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
        if (head + stream.read(32)).startswith(LFS):
            return [
                Problem(str(file), "expected weights, got a Git LFS pointer", "cloned without git-lfs", "git lfs pull")
            ]
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        stream.seek(8)
        if not 2 <= length <= min(100_000_000, size - 8):
            what = f"expected a safetensors file; its header does not fit into its {size:,} bytes"
            return [Problem(str(file), what, "truncated, or another kind of file", fix)]
        try:
            header = json.loads(stream.read(length))
            ends = [int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return [Problem(str(file), "expected a safetensors file; its header cannot be read", "damage", fix)]
    expected = 8 + length + max(ends, default=0)
    if expected != size:
        what = f"expected {expected:,} bytes by its header, got {size:,}"
        return [Problem(str(file), what, "an interrupted copy or download", fix)]
    return []


def _hub_cache() -> Path:
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def _not_fetched(path: str, revision: str, why: str) -> Problem:
    return Problem(
        path,
        f"the weights are not on this machine: {why}",
        cause="Limen never fetches models by itself",
        fix=f"with network, run: hf download {path} --revision {revision}",
    )


def _again(path: str, revision: str | None) -> str:
    return f"hf download {path} --revision {revision}" if revision else "copy the whole model folder again"


def _native(folder: Path, weights: str, again: str) -> Iterator[Problem]:
    """The one weights file of a library that falls back to pickles where it does not find it."""
    if (folder / weights).is_file():
        return
    pickled = next((file for file in sorted(folder.glob("*")) if file.suffix in PICKLES), None)
    yield (
        only_pickle(pickled)
        if pickled
        else Problem(
            str(folder), f"expected weights in {weights}; there are none", "half-downloaded, or another layout", again
        )
    )


def _missing(folder: Path, path: str, revision: str | None) -> Iterator[Problem]:
    """Weights that are absent, or that their library would unpickle, in every part of the model."""
    again = _again(path, revision)
    parts = {folder / place: kind.rpartition(".")[2] for kind, place in _parts(folder) if _inside(place)}
    for place, kind in parts.items():
        if kind in WITH_WEIGHTS:
            yield from _part_without_weights(place, kind, again)
        elif place != folder:
            yield from _only_pickles(place)
    # A folder that is no part: `openvino/` holds a .bin that is no pickle, but it has no config.json.
    for place in sorted({file.parent for file in folder.rglob("*.bin")} - {folder, *parts}):
        if (place / "config.json").is_file():
            yield from _only_pickles(place)
    adapter = folder / "adapter_model.bin"
    if adapter.is_file() and not adapter.with_suffix(".safetensors").is_file():
        yield only_pickle(adapter)


def _part_without_weights(place: Path, kind: str, again: str) -> Iterator[Problem]:
    index = place / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted({str(name) for name in _json(index).get("weight_map", {}).values()})
        absent = [name for name in shards if not (place / name).is_file()]
        if absent:
            what = f"parts of the weights are missing: {names_text(absent)}"
            yield Problem(str(place), what, "half-downloaded", again)
        return
    if list(place.glob("model.safetensors" if kind == "Dense" else "*.safetensors")):
        return
    pickled = list(_only_pickles(place))
    what = "expected weights in model.safetensors; there are none"
    yield from pickled or [Problem(str(place), what, "half-downloaded", again)]


def _only_pickles(place: Path) -> Iterator[Problem]:
    pickles = sorted(file for file in place.glob("*") if file.suffix in PICKLES)
    if pickles and not list(place.glob("*.safetensors")):
        yield only_pickle(pickles[0])


def _parts(folder: Path) -> list[tuple[str, str]]:
    """Type and folder of every module of a pipeline; without a readable modules.json, the folder itself."""
    try:
        parts = json.loads((folder / "modules.json").read_text("utf-8"))
        return [(str(part["type"]), str(part.get("path", ""))) for part in parts]
    except (ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError):
        return [("Transformer", "")]


def _inside(place: str) -> bool:
    return not Path(place).is_absolute() and ".." not in Path(place).parts


def only_pickle(file: Path) -> Problem:
    """The problem of weights that only exist as a pickle; the file is named, not opened."""
    return Problem(
        str(file),
        "expected safetensors, got weights as a Python pickle; it was not opened",
        cause="opening a pickle can run code that came with it",
        fix="get the model's safetensors version; a file you trust you can convert: "
        "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')",
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        plain = json.loads(file.read_text("utf-8")) if file.stat().st_size <= CONFIG_LIMIT else None
    except (ValueError, OSError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _readable(file: Path) -> bool:
    try:
        return file.stat().st_size <= CONFIG_LIMIT and isinstance(json.loads(file.read_text("utf-8")), dict)
    except (ValueError, OSError, RecursionError):
        return False


def _hostile(folder: Path, file: Path) -> Iterator[Problem]:
    if file.name in ("tokenizer.json", "vocab.json", "model.safetensors.index.json"):
        return  # data, not configuration; tokenizer.json is parsed by a library that has no hooks
    if file.name in CONFIGS and not _readable(file):
        what = f"expected JSON of at most {CONFIG_LIMIT >> 20} MB; it cannot be read, so it was not judged"
        yield Problem(str(file), what, "damage", "copy the folder again")
        return
    called = _json(file).get("activation_function")
    if isinstance(called, str) and "." in called and not called.startswith("torch.nn."):
        what = f"expected a function of torch.nn, got {printable(called)}; it was not imported"
        yield Problem(f"{file}: activation_function", what, "the library imports what this names", "use another model")
    found = sorted(set(_keys(_json(file))) & set(HOSTILE_KEYS))
    for key in found:
        yield Problem(
            f"{file}: {key}",
            "this configuration asks for code that comes with the model; it was not imported",
            cause="the model needs trust_remote_code, which Limen never grants",
            fix="use a model of an architecture that the library has built in, or compute embeddings yourself",
        )
    if file.name == "modules.json" and file.parent == folder:
        yield from _foreign_modules(file)


def _foreign_modules(file: Path) -> Iterator[Problem]:
    try:
        parts = json.loads(file.read_text("utf-8"))
        named = [(str(part["type"]), str(part.get("path", ""))) for part in parts]
    except (ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError):
        yield Problem(str(file), "expected a list of modules with type and path", "damage", "copy the folder again")
        return
    for kind, path in named:
        family, _, name = kind.rpartition(".")
        if family.split(".")[0] == "sentence_transformers" and name not in MODULES:
            what = f"expected one of the modules {names_text(MODULES)}, got {printable(name)}; it was not imported"
            yield Problem(f"{file}: {printable(kind)}", what, "only these are known to read safetensors alone",
                          "compute the embeddings yourself, and give them as a file")  # fmt: skip
        elif family.split(".")[0] != "sentence_transformers":
            yield Problem(f"{file}: {printable(kind)}", "this module's code comes with the model; it was not imported",
                          "the model needs trust_remote_code, which Limen never grants")  # fmt: skip
        if not _inside(path):
            yield Problem(f"{file}: {printable(path)}", "this path leaves the model folder", "a hostile file")


def _keys(plain: Any) -> Iterator[str]:
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield str(key)
            yield from _keys(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _keys(value)
