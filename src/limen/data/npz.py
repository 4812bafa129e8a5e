"""Arrays of an .npz file, read without ever unpickling: headers first, then data, nothing executed.

An .npz is a zip whose members are .npy files (NumPy NEP 1): magic, version, a header that is a literal dict of
`descr`, `fortran_order`, `shape`, then the data. A member of dtype object is a pickle; it is refused by its header.
A member whose header claims more bytes than the archive holds is refused before memory is asked for.
"""

from __future__ import annotations

import ast
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from limen.data.files import SAVE, expect_file
from limen.data.phrases import did_you_mean, names_text, printable
from limen.data.raw import RawRows
from limen.records.errors import BadInput, Problem

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, SyntaxError, TypeError, KeyError,
    NotImplementedError, RuntimeError, MemoryError, OverflowError, RecursionError, AttributeError, IndexError,
)  # fmt: skip  # what zipfile, zlib and numpy raise on damaged bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of one member says."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of the data, as the header says."""
        return math.prod(self.shape) * self.dtype.itemsize


def npz_headers(path: Path) -> dict[str, Header]:
    """Name → type and shape of every member; reads headers only. Raises BadInput for what is not a sound .npz."""
    expect_file(path, "zip")
    with damage(path), zipfile.ZipFile(path) as archive:
        headers = {}
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as stream:
                    headers[member.filename.removesuffix(".npy")] = read_header(stream, member.file_size)
        if not headers:
            raise BadInput(
                Problem(str(path), f"a zip archive without arrays; members: {names_text(archive.namelist())}",
                        "another kind of archive renamed to .npz", f"save the arrays with {SAVE}")
            )  # fmt: skip
    return headers


def read_npz(path: Path, label: str | None, group: str | None, id_column: str | None) -> RawRows:
    """The arrays X, y (or `label`) and, where present or asked for, groups and ids. Raises BadInput."""
    headers = npz_headers(path)
    names = ("X", label or "y", group or "group", id_column or "id")
    needed = (True, True, group is not None, id_column is not None)
    problems = [
        _absent(path, name, headers) for name, must in zip(names, needed, strict=True) if must and name not in headers
    ]
    wanted = [name for name in names if name in headers]
    problems += [object_array(path, name) for name in wanted if headers[name].dtype.hasobject]
    if problems:
        raise BadInput(problems)
    arrays = read_arrays(path, wanted)
    left = sorted(set(headers) - set(wanted))
    notes = (f"arrays not used: {names_text(left)}",) if left else ()
    x, y, groups, ids = (arrays.get(name) for name in names)
    assert x is not None
    assert y is not None
    return RawRows(str(path), x, y, groups, ids, names, notes)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The named arrays. Raises BadInput for object arrays (unread) and for damage, found by the checksums."""
    headers = npz_headers(path)
    problems = [_absent(path, name, headers) for name in names if name not in headers]
    problems += [object_array(path, name) for name in names if name in headers and headers[name].dtype.hasobject]
    needed = sum(headers[name].bytes for name in names if name in headers)
    available = int(psutil.virtual_memory().available)
    if needed > available:
        what = f"its arrays need {needed / 1e9:,.1f} GB of memory, {available / 1e9:,.1f} GB are free"
        fix = "save X and y as X.npy and y.npy, which are read in blocks, or save fewer rows"
        problems.append(Problem(str(path), what, fix=fix))
    if problems:
        raise BadInput(problems)
    arrays: dict[str, NDArray[Any]] = {}
    with damage(path), zipfile.ZipFile(path) as archive:
        for name in names:
            with archive.open(f"{name}.npy") as stream:
                arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
                stream.read()  # to the end, where zipfile compares the checksum
    return arrays


def read_header(stream: IO[bytes], size: int) -> Header:
    """Type and shape of one .npy array; `size` is how many bytes there are. Raises what `damage` understands."""
    if stream.read(6) != b"\x93NUMPY":
        raise ValueError("a member is not a .npy array")
    version = stream.read(2)
    count, layout = (2, "<H") if version[0] == 1 else (4, "<I")
    (length,) = struct.unpack(layout, stream.read(count))
    if length > 1 << 20:
        raise ValueError(f"an array header of {length:,} bytes")
    text = stream.read(length).decode("utf-8" if version[0] >= 3 else "latin-1")
    plain = ast.literal_eval(text.strip())
    dtype = np.lib.format.descr_to_dtype(plain["descr"])
    shape = tuple(int(extent) for extent in plain["shape"])
    if any(extent < 0 for extent in shape):
        raise ValueError("a negative array extent")
    header = Header(dtype, shape)
    if not dtype.hasobject and header.bytes > size:
        raise ValueError(f"the header promises {header.bytes:,} bytes, the archive holds {size:,}")
    return header


@contextmanager
def damage(path: Path, kind: str = "a sound .npz archive") -> Iterator[None]:
    """Whatever reading raises on damaged bytes, as BadInput."""
    try:
        yield
    except _DAMAGE as error:
        raise BadInput(
            Problem(
                str(path),
                f"expected {kind}; reading it failed: {printable(str(error) or repr(error), 120)}",
                cause="a truncated or damaged file (interrupted copy or download)",
                fix=f"copy it again, or save the arrays again with {SAVE}",
            )
        ) from None


def _absent(path: Path, name: str, headers: dict[str, Header]) -> Problem:
    known = list(headers)
    near = did_you_mean(name, known)
    fix = f"{near} " if near else ""
    return Problem(str(path), f"expected an array {printable(name)}, the file holds {names_text(known)}",
                   fix=f"{fix}save with {SAVE}")  # fmt: skip


def object_array(path: Path, name: str) -> Problem:
    """An array of Python objects: what it is, that it was not opened, and how to save it instead."""
    return Problem(
        f"{path}: {name}",
        "expected numbers or strings, got an object array, which is a Python pickle; it was not opened",
        cause="X or y was a list of lists of different lengths, or a column of Python objects",
        fix="opening a pickle can run code; save numpy.savez(path, X=X.astype('float32'), y=y.astype(str)) instead",
    )
