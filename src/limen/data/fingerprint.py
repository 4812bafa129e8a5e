"""Who a file or folder is: SHA-256 of its content, remembered while path, size, time and inode stay the same.

A remembered hash is used only for a file last changed at least two seconds before it was hashed: a change within the
resolution of the clock could otherwise go unnoticed. `remembered=False` always reads the content.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from limen.data.digits import NAMES, digits
from limen.data.files import present_file
from limen.data.phrases import printable
from limen.data.worlds.pretraining.names import SOURCES, world_columns
from limen.records.errors import BadInput, Problem

_SETTLED_NS = 2_000_000_000
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Where features and hashes are kept: $LIMEN_CACHE, or ~/.cache/limen."""
    return Path(os.environ.get("LIMEN_CACHE") or Path.home() / ".cache" / "limen")


def content_hash(source: str | Path, *, remembered: bool = True) -> str:
    """SHA-256 of a file's content, or of the arrays of a built-in name, as 64 hexadecimal digits. Raises BadInput.

    >>> content_hash("digits:test") == content_hash("digits:test") != content_hash("digits:train")
    True
    """
    if str(source) in NAMES:
        images, labels = digits(str(source))
        return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if str(source) in SOURCES:
        return _columns_hash(world_columns(str(source)))
    path = Path(source)
    present_file(path)
    try:
        return _file_hash(path, remembered)
    except OSError as error:
        raise BadInput(Problem(str(path), f"expected a readable file; {error.strerror}")) from None


def _columns_hash(columns: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(columns):
        values = columns[name]
        content = "\0".join(map(str, values)).encode() if values.dtype == object else values.tobytes()
        digest.update(f"{name}\0{values.dtype}\0{values.shape}\0".encode() + content)
    return digest.hexdigest()


def folder_hash(folder: str | Path, *, remembered: bool = True) -> str:
    """SHA-256 over the relative names and contents of a model folder; hidden and Markdown files do not count.

    Raises BadInput for what is not a folder, and for an empty one.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadInput(Problem(printable(str(root), 200), "expected a folder, got none", fix="check the path"))
    digest, count = hashlib.sha256(), 0
    for path in sorted(root.rglob("*"), key=lambda p: p.relative_to(root).as_posix()):
        name = path.relative_to(root)
        if path.is_file() and path.suffix.lower() != ".md" and not any(part.startswith(".") for part in name.parts):
            digest.update(f"{name.as_posix()}\0{content_hash(path, remembered=remembered)}\n".encode())
            count += 1
    if not count:
        raise BadInput(Problem(str(root), "expected a folder with a model, got an empty one"))
    return digest.hexdigest()


def _file_hash(path: Path, remembered: bool) -> str:
    facts = path.stat()
    mark = f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ino}"
    note = cache_folder() / "hashes" / hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest()
    if remembered and (known := _recall(note)):
        return known
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if time.time_ns() - facts.st_mtime_ns > _SETTLED_NS:
        _remember(note, digest.hexdigest())
    return digest.hexdigest()


def _recall(note: Path) -> str:
    try:
        known = note.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
    return known if len(known) == 64 and set(known) <= set("0123456789abcdef") else ""


def _remember(note: Path, digest: str) -> None:
    # A cache that cannot be written costs time, not correctness.
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False, encoding="ascii") as draft:
            draft.write(digest)
        Path(draft.name).replace(note)
    except OSError:
        return
