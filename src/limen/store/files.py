"""One result on disk: `record.json`, its arrays, and `MANIFEST.json`, written last, with size and SHA-256 of each file.

<name>.npy            an array whose name has no slash; memory-mapped when read, pickles are never read
<group>.safetensors   all arrays called `group/…`
MANIFEST.json         stage, label, identity, needs, VERSION, library versions, seconds, files; and a checksum of itself

A folder without a readable manifest is no result. The folder is called by the cell's key = SHA-256(stage, identity),
so a result in the wrong place is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from limen.arrays.environment import environment
from limen.records.cell import Cell, canonical_json
from limen.records.errors import Problem, StoreError
from limen.records.stage import StageRecord
from limen.store.disk import HashedFile, durable, sha256_file, sync_folder
from limen.store.faults import fault
from limen.store.plain import array_file

SCHEMA = 1
MANIFEST = "MANIFEST.json"
RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a result is and which bytes it consists of."""

    key: str
    stage: str
    label: str
    identity: Mapping[str, Any]
    needs: Mapping[str, str]
    version: int
    seconds: float
    environment: Mapping[str, Any]
    files: Mapping[str, tuple[int, str]]
    """File name → (bytes, SHA-256)."""

    @property
    def bytes(self) -> int:
        """Size of the result without its manifest."""
        return sum(size for size, _ in self.files.values())


@dataclass(frozen=True, slots=True)
class StoredArrays(Mapping[str, NDArray[np.generic]]):
    """Arrays of a stored result, opened when they are asked for: .npy files are memory-mapped read-only."""

    folder: Path
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self.names:
            raise KeyError(name)
        file, inner = array_file(name)
        path = self.folder / file
        if inner:
            with safe_open(path, framework="numpy") as group:
                grouped: NDArray[np.generic] = group.get_tensor(inner)
                return grouped
        array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def write_result(folder: Path, cell: Cell, record: StageRecord, seconds: float) -> None:
    """Write every file of a result into an existing empty folder, durably, the manifest last."""
    files: dict[str, tuple[int, str]] = {}
    groups: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, array in record.arrays.items():
        file, inner = array_file(name)
        if inner:
            groups.setdefault(file, {})[inner] = np.asarray(array, order="C")
        else:
            with durable(folder / file) as output:
                _write_npy(output, array)
            files[file] = (output.bytes, output.sha256)
    for file, arrays in groups.items():
        files[file] = _write(folder / file, save(arrays))
    plain = {"kind": record.kind, "version": record.version, "data": record.data, "arrays": list(record.arrays)}
    files[RECORD] = _write(folder / RECORD, json.dumps(plain, allow_nan=False).encode())
    fault("publish.before_manifest")
    manifest = {
        "schema": SCHEMA,
        "stage": cell.stage,
        "label": cell.label,
        "identity": cell.identity,
        "needs": cell.needs,
        "version": record.version,
        "seconds": seconds,
        "environment": environment(),
        "files": {name: {"bytes": size, "sha256": sha} for name, (size, sha) in sorted(files.items())},
    }
    checked = {**manifest, "checksum": _checksum(manifest)}
    _write(folder / MANIFEST, json.dumps(checked, indent=1, allow_nan=False).encode())
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a result. Raises StoreError when it is missing, damaged, misplaced or of a newer Limen."""
    path = folder / MANIFEST
    try:
        plain = json.loads(path.read_bytes())
        schema, checksum = plain.pop("schema"), plain.pop("checksum")
    except FileNotFoundError:
        raise StoreError(Problem(str(path), "expected a manifest, found none", "the result was damaged")) from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise StoreError(Problem(str(path), "expected a manifest, found unreadable text", "damaged file")) from None
    if isinstance(schema, int) and schema > SCHEMA:
        raise StoreError(
            Problem(
                str(path),
                f"expected manifest schema {SCHEMA}, got {schema}",
                cause="a newer Limen wrote this store; nothing was changed",
                fix="update Limen (pip install -U limen) or choose another store (--store)",
            )
        )
    if checksum != _checksum({"schema": schema, **plain}):
        raise StoreError(Problem(str(path), "the manifest does not match its own checksum", "damaged file"))
    files = {name: (fact["bytes"], fact["sha256"]) for name, fact in plain.pop("files").items()}
    key = hashlib.sha256(canonical_json({"stage": plain["stage"], **plain["identity"]}).encode()).hexdigest()
    return Manifest(key=key, files=files, **plain)


def read_record(folder: Path) -> StageRecord:
    """The record of a result whose files were checked; arrays are opened when they are asked for."""
    plain = json.loads((folder / RECORD).read_bytes())
    arrays = StoredArrays(folder, tuple(plain["arrays"]))
    return StageRecord(plain["kind"], plain["version"], plain["data"], arrays)


def problems(folder: Path, hashes: bool) -> tuple[Problem, ...]:
    """What is wrong with the result in `folder`: sizes always, hashes when asked for; empty when it is sound.

    Raises StoreError only for a manifest of a newer Limen.
    """
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        if "newer" in error.problems[0].cause:
            raise
        return error.problems
    found = []
    if manifest.key != folder.name:
        found.append(Problem(str(folder), f"holds the result of cell {manifest.key[:12]}", "a folder was renamed"))
    for name, (size, sha256) in manifest.files.items():
        path = folder / name
        if not path.is_file():
            found.append(Problem(str(path), f"expected a file of {size} bytes, found none"))
        elif (actual := path.stat().st_size) != size:
            found.append(
                Problem(str(path), f"expected {size} bytes, found {actual}", "the file was truncated or edited")
            )
        elif hashes and (digest := sha256_file(path)) != sha256:
            found.append(
                Problem(str(path), f"expected sha256 {sha256[:12]}…, found {digest[:12]}…", "bytes changed on the disk")
            )
    return tuple(found)


def _write(path: Path, content: bytes) -> tuple[int, str]:
    with durable(path) as output:
        output.write(content)
    return output.bytes, output.sha256


def _write_npy(output: HashedFile, array: NDArray[np.generic]) -> None:
    np.lib.format.write_array(output, np.asarray(array), allow_pickle=False)


def _checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(manifest).encode()).hexdigest()
