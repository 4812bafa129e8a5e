"""Files of a recording: written whole or not at all, never changed afterwards.

    run.json                         schema limen.recording/1: optimizer, segments, counts, self-tests
    reference.npy                    θ_ref, once
    steps-GGG-FIRST-LAST.parquet     rows of updates FIRST … LAST, generation GGG (one more after every resume)
    sketch-…, fine-….parquet         sketches of every 10th and of the other updates; `fine` goes at 10^5 updates
    state-GGG-LAST.npz               correlator, displacements and tracks after update LAST; the last two are kept

A file is written under a name that starts with a dot, synced, renamed, and its folder synced. Parquet pages carry
checksums that are verified when read; a file that does not verify is damaged.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NAME = re.compile(r"(steps|sketch|fine)-(\d{3})-(\d{9})-(\d{9})\.parquet|state-(\d{3})-(\d{9})\.npz")
QUARANTINE = ".quarantined"


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of rows: its kind, generation, first and last update."""

    kind: str
    generation: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.kind}-{self.generation:03d}-{self.first:09d}-{self.last:09d}.parquet"


def shards(folder: Path, kind: str, ending: str = "") -> list[Shard]:
    """Finished shards of a kind, by generation and update; `ending` QUARANTINE lists those set aside."""
    found = []
    for entry in sorted(folder.iterdir()):
        match = NAME.fullmatch(entry.name.removesuffix(ending)) if entry.name.endswith(ending) else None
        if match and match.group(1) == kind:
            found.append(Shard(kind, *(int(match.group(i)) for i in (2, 3, 4))))
    return found


def states(folder: Path) -> list[tuple[int, int, Path]]:
    """(generation, update, file) of the states there are, newest last."""
    matches = [(NAME.fullmatch(entry.name), entry) for entry in sorted(folder.iterdir())]
    return [(int(m.group(5)), int(m.group(6)), entry) for m, entry in matches if m and m.group(5)]


def write_rows(folder: Path, shard: Shard, columns: dict[str, np.ndarray]) -> None:
    """A shard of columns [T] or [T, width]."""
    arrays = {}
    for name, values in columns.items():
        if values.ndim == 1:
            arrays[name] = pa.array(values)
        elif values.shape[1]:
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    table = pa.table(arrays)
    published(
        folder / shard.name,
        lambda file: pq.write_table(table, file, compression="zstd", use_dictionary=False, write_page_checksum=True),
    )


def read_rows(folder: Path, shard: Shard) -> dict[str, np.ndarray] | None:
    """The columns of a shard; None where it is damaged."""
    try:
        table = pq.read_table(folder / shard.name, page_checksum_verification=True, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    columns = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
        if pa.types.is_fixed_size_list(column.type):
            columns[name] = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
        else:
            columns[name] = column.to_numpy()
    return columns


def write_json(path: Path, document: dict[str, Any]) -> None:
    """A JSON file; raises ValueError for numbers that JSON does not have."""
    text = json.dumps(document, indent=1, allow_nan=False)
    published(path, lambda file: file.write(text.encode()))


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A .npz file of arrays."""
    published(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def write_vector(path: Path, parts: list[np.ndarray]) -> None:
    """A .npy file of one vector given in parts, without a second copy of the whole in memory."""
    header = {"descr": parts[0].dtype.str, "fortran_order": False, "shape": (sum(part.size for part in parts),)}

    def write(file: BinaryIO) -> None:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.tobytes())

    published(path, write)


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a .npz file (its parts carry checksums); None where it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except Exception:  # zipfile, zlib and numpy each have their own errors for a cut file
        return None


def published(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write, sync, rename, sync the folder: afterwards the file is whole whatever happens to the process."""
    hidden = path.with_name(f".{path.name}.part")
    with hidden.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def quarantined(folder: Path) -> int:
    """Rename damaged shards and states, remove unfinished files; how many files are in quarantine now."""
    for entry in folder.glob(".*.part"):
        entry.unlink()
    for kind in ("steps", "sketch", "fine"):
        for shard in shards(folder, kind):
            if read_rows(folder, shard) is None:
                (folder / shard.name).rename(folder / (shard.name + QUARANTINE))
    for _, _, path in states(folder):
        if read_arrays(path) is None:
            path.rename(path.with_name(path.name + QUARANTINE))
    return sum(1 for _ in folder.glob(f"*{QUARANTINE}"))
