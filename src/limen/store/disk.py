"""Writing so that it survives a crash, and saying what a person needs to know when the disk refuses.

A file is durable after fsync of the file; its name is durable after fsync of the folder that holds it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from limen.records.errors import Problem, StoreError
from limen.records.units import human
from limen.store.owners import temporary_name

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user or project is used up",
    errno.EROFS: "the file system is mounted read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EIO: "the device reports a failure; check it before trusting what it holds",
    errno.ENOENT: "the folder vanished: a mount went away or something removed it",
    errno.ESTALE: "the network file system lost the folder",
    errno.ENOTDIR: "a file stands where a folder is expected",
    errno.ENOLCK: "this file system cannot lock files; keep the store on a local disk",
}
_FIXES = {
    errno.ENOSPC: "free space or move the store (--store), then run the same command again",
    errno.EDQUOT: "free space or move the store (--store), then run the same command again",
}


@contextmanager
def guarded(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an OSError of the block into a StoreError that names path, errno, bytes needed and free, what was kept.

    `needed` is the number of bytes about to be written.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(refusal(path, error, needed)) from error


def refusal(path: Path, error: OSError, needed: int = 0) -> Problem:
    """What a person needs to know about one refused operation."""
    number = error.errno or 0
    room = free_bytes(path)
    size = f"; needs {human(needed)}, {human(room)} free" if needed and room is not None else ""
    cause = _CAUSES.get(number, "the disk refused")
    return Problem(
        where=str(error.filename or path),
        what=f"[Errno {number} {errno.errorcode.get(number, '?')}] {error.strerror or error}{size}",
        cause=f"{cause}; every published result is kept, unfinished files are removed",
        fix=_FIXES.get(number, "make the folder writable or choose another store (--store), then run the same command"),
    )


def free_bytes(path: Path) -> int | None:
    """Bytes free for this user on the file system of `path` or of its nearest existing parent; None if unknown."""
    for folder in (path, *path.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return None


class HashedFile:
    """A binary file that is hashed and counted as it is written, so that the manifest holds what was meant.

    numpy writes to it chunk by chunk; to a real file it would use `tofile`, whose error on a full disk has no errno.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, chunk: bytes) -> int:
        """Write, hash and count one chunk."""
        self._sha256.update(chunk)
        self.bytes += len(chunk)
        return self._file.write(chunk)

    @property
    def sha256(self) -> str:
        """Hash of everything written so far, 64 hex digits."""
        return self._sha256.hexdigest()


@contextmanager
def durable(path: Path) -> Iterator[HashedFile]:
    """A new file at `path`, on disk (fsync) when the block ends without an error."""
    with path.open("xb") as file:
        yield HashedFile(file)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, content: bytes) -> None:
    """Give `path` this content at once: readers see the old file or the new one, before and after a power loss."""
    temporary = path.with_name(temporary_name())
    try:
        with durable(temporary) as file:
            file.write(content)
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Hash of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
