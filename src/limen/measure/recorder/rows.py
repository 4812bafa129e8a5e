"""Rows that are recorded but not yet written, and their way into shards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from limen.measure.recorder.forecast import ALL_SKETCHES, row_kept, sketch_kept
from limen.measure.recorder.scalars import Scalars
from limen.measure.recorder.shards import Shard, shards, write_rows
from limen.records.trajectory import Floats, Floats32


@dataclass(frozen=True, slots=True)
class Row:
    """One update."""

    step: int
    loss: float
    learning_rate: float
    scalars: Scalars
    excluded: int
    sketch: Floats32 | None
    """S v; None where there is none (not finite)."""


class Rows:
    """A shard in the making."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Row) -> None:
        """One more row, in order."""
        self._rows.append(row)

    def write(self, folder: Path, generation: int, modes: tuple[Floats, Floats]) -> None:
        """All rows as finished shards; afterwards there are none."""
        first, last = self._rows[0].step, self._rows[-1].step
        scalars = [asdict(row.scalars) for row in self._rows]
        steps = np.array([row.step for row in self._rows], dtype=np.int64)
        kept = np.array([row_kept(int(step)) for step in steps])
        columns: dict[str, np.ndarray] = {
            "step": steps,
            "loss": np.array([row.loss for row in self._rows]),
            "learning_rate": np.array([row.learning_rate for row in self._rows]),
            **{name: np.array([row[name] for row in scalars]) for name in scalars[0]},
            "excluded": np.array([row.excluded for row in self._rows], dtype=np.uint8),
            "positions": modes[0].astype(np.float32),
            "velocities": modes[1].astype(np.float32),
        }
        self._write_sketches(folder, generation)
        write_rows(
            folder, Shard("steps", generation, first, last), {name: values[kept] for name, values in columns.items()}
        )
        self._rows = []

    def _write_sketches(self, folder: Path, generation: int) -> None:
        """Before the rows: a row that is there has its sketch."""
        first, last = self._rows[0].step, self._rows[-1].step
        sketched = [row for row in self._rows if row.sketch is not None]
        kinds = {
            "sketch": [row for row in sketched if sketch_kept(row.step)],
            "fine": [row for row in sketched if not sketch_kept(row.step) and row.step < ALL_SKETCHES],
        }
        for kind, chosen in kinds.items():
            if chosen:
                columns: dict[str, np.ndarray] = {
                    "step": np.array([row.step for row in chosen], dtype=np.int64),
                    "sketch": np.stack([row.sketch for row in chosen if row.sketch is not None]),
                }
                write_rows(folder, Shard(kind, generation, first, last), columns)
        if last >= ALL_SKETCHES:
            for shard in shards(folder, "fine"):
                (folder / shard.name).unlink()
