"""Features of a bare .npy file, one array a file: mapped, not read, where they are large; nothing is unpickled.

Labels, groups and ids lie in .npy files of their own, one value a row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.data.files import expect_file
from limen.data.npz import damage, object_array, read_header
from limen.data.raw import RawRows
from limen.data.spool import LARGE_BYTES
from limen.records.errors import BadInput, Problem


def read_npy(path: Path, label: str | None, group: str | None, id_column: str | None) -> RawRows:
    """Features [n, d] of one file, and what the files named by `label`, `group` and `id_column` hold for each row.

    Raises BadInput for labels that are not named, or not in a .npy file, and for whatever cannot be read.
    """
    expect_file(path, "npy")
    if label is None:
        what = "expected labels beside the features; a .npy file holds one array"
        raise BadInput(Problem(str(path), what, fix="name the file of the labels: --label y.npy"))
    named = [("label", label), ("group", group), ("id", id_column)]
    problems = [
        Problem(option, f"expected a .npy file beside {path.name}, got {value!r}", fix=f"--{option} {option}s.npy")
        for option, value in named
        if value is not None and not is_npy(value)
    ]
    if problems:
        raise BadInput(problems)
    features = npy_matrix(path)
    values = [None if value is None else npy_vector(value, path) for _, value in named]
    assert values[0] is not None
    names = (path.name, label, group or "group", id_column or "id")
    return RawRows("", features, values[0], values[1], values[2], names)


def npy_matrix(path: Path) -> NDArray[Any]:
    """The array of one file; a map of it where it is larger than memory should be asked for. Raises BadInput."""
    expect_file(path, "npy")
    with damage(path, "a sound .npy file"):
        with path.open("rb") as stream:
            header = read_header(stream, path.stat().st_size)
        if header.dtype.hasobject:
            raise BadInput(object_array(path, "its array"))
        large = int(np.prod(header.shape, dtype=np.int64)) * 8 > LARGE_BYTES
        found: NDArray[Any] = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
        return found


def npy_vector(name: str, beside: Path) -> NDArray[Any]:
    """One value a row, from a file named as it is found from here or from the folder of the features."""
    path = Path(name)
    return npy_matrix(path if path.is_file() or path.is_absolute() else beside.parent / path)


def is_npy(name: str) -> bool:
    """Whether a name is that of a .npy file.

    >>> is_npy("y.npy"), is_npy("label")
    (True, False)
    """
    return Path(name).suffix.lower() == ".npy"
