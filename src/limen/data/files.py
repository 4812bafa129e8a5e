"""What a file is, by its first and last bytes rather than by its name; nothing in it is executed or decoded.

Signatures: zip "PK\\x03\\x04" (an .npz is a zip of .npy members, NumPy NEP 1), Parquet "PAR1" at both ends (Apache
Parquet format), "\\x93NUMPY" (NumPy format), pickle protocol >= 2 "\\x80" (PEP 307), HDF5, gzip, PNG, JPEG, RIFF.
"""

from __future__ import annotations

from pathlib import Path

from limen.data.phrases import did_you_mean, printable
from limen.records.errors import BadInput, Problem

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PAR1", "parquet"),
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"RIFF", "riff"),
    (b"\x7fELF", "program"),
    (b"%PDF", "pdf"),
    (b"ARROW1", "arrow"),
    (b"\x80", "pickle"),
)
NAMES = {
    "zip": "a zip archive (as .npz is)",
    "parquet": "a Parquet file",
    "npy": "a single NumPy array (.npy)",
    "hdf5": "an HDF5 file",
    "gzip": "a gzip-compressed file",
    "png": "a PNG image",
    "jpeg": "a JPEG image",
    "riff": "a RIFF (wav) file",
    "program": "a program",
    "pdf": "a PDF",
    "arrow": "an Arrow IPC file",
    "pickle": "a Python pickle, which could run code when opened; it was not opened",
    "text": "text",
    "binary": "binary data of no known kind",
}
SAVE = "numpy.savez(path, X=X, y=y) with X of float32 [n, d] and y of integers or strings [n]"


def content_kind(path: Path) -> str:
    """The kind of a file by its content: a key of `NAMES`, or `empty`.

    >>> import tempfile; folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "x.npz"); _ = file.write_bytes(b"PAR1....PAR1")
    >>> content_kind(file)
    'parquet'
    >>> folder.cleanup()
    """
    with path.open("rb") as stream:
        head = stream.read(4096)
    if not head:
        return "empty"
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    return "binary" if b"\x00" in head else "text"


def expect_file(path: Path, kind: str) -> None:
    """Raise BadInput unless `path` is a readable, non-empty file whose content is of `kind`."""
    present_file(path)
    try:
        found = content_kind(path)
    except OSError as error:
        raise BadInput(
            Problem(str(path), f"expected a readable file; {error.strerror}", fix="check its permissions")
        ) from None
    if found == "empty":
        raise BadInput(
            Problem(str(path), "expected data, got an empty file (0 bytes)", "an interrupted copy", "write it again")
        )
    if found != kind:
        raise BadInput(
            Problem(
                str(path),
                f"its name says {path.suffix}, its content is {NAMES[found]}",
                cause="the file was renamed, or a download returned something else",
                fix=f"give it the name of what it is, or save the arrays with {SAVE}",
            )
        )


def present_file(path: Path) -> None:
    """Raise BadInput unless `path` is an existing file that is not a directory."""
    try:
        if path.is_file():
            return
        directory, exists = path.is_dir(), path.exists()
        near = did_you_mean(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
    except (OSError, ValueError) as error:  # too long a name, a NUL in it, no permission on the way
        raise BadInput(Problem(printable(str(path)), f"expected a file; the path cannot be used: {error}")) from None
    where = printable(str(path), 200)
    if directory:
        raise BadInput(
            Problem(where, "expected a file, got a directory", fix="name a .npz, .npy, .parquet or .csv file")
        )
    if exists:
        raise BadInput(Problem(where, "expected a regular file, got a device, socket or pipe"))
    raise BadInput(Problem(where, "there is no such file", fix=near or "check the path"))
