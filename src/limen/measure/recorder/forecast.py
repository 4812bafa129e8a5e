"""Memory and disk of a recording, known before it begins.

With n numbers in θ and w bytes each, k modes, b held buffers and a anchors beside the reference:
memory (1 + a)·n·w + (k + b)·4n (the last two only with modes) + about 50 MB of libraries, levels and rows;
disk n·w once, 4(d + 2k + 16) bytes an update up to 10^5 updates, then a logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

from limen.measure.recorder.anchors import PLACES
from limen.measure.recorder.projections import HELD

FIXED = 40_000_000
"""Libraries, levels of the correlator, stretches, file buffers; measured together with the rest within 3 %."""
ALL_ROWS, ALL_SKETCHES, SPARSE = 100_000, 100_000, 10
"""Updates up to which every row and every sketch is kept; every tenth sketch is kept after it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes that a recording will take beside training."""

    anchors: int
    """Reference and kept copies of the weights."""
    modes: int
    """Directions and held buffers."""
    rows: int
    """Rows and sketches not yet written."""
    fixed: int
    disk_once: int
    disk_per_10_000_steps: int
    """While every sketch is kept."""

    @property
    def memory(self) -> int:
        """All of it."""
        return self.anchors + self.modes + self.rows + self.fixed

    def __str__(self) -> str:
        return (
            f"{_megabytes(self.memory)} of memory (copies of the weights {_megabytes(self.anchors)}, modes "
            f"{_megabytes(self.modes)}), {_megabytes(self.disk_once)} of disk and "
            f"{_megabytes(self.disk_per_10_000_steps)} more for every 10,000 updates up to 100,000"
        )


def forecast(numbers: int, width: int, modes: int, mode: str, rows: tuple[int, int]) -> Forecast:
    """What recording θ of so many numbers of `width` bytes takes; rows = (sketch dimension, updates a shard).

    >>> forecast(11_173_962, 4, 20, "full", (1024, 1000)).memory < 1.7e9
    True
    >>> forecast(11_173_962, 4, 5, "lean", (1024, 1000)).memory < 0.5e9
    True
    """
    dimension, every = rows
    row_bytes = 4 * dimension + 8 * modes + 72
    return Forecast(
        anchors=(1 + PLACES[mode]) * numbers * width,
        modes=(modes + HELD[mode]) * 4 * numbers if modes else 0,
        rows=2 * every * (row_bytes + 400),
        fixed=FIXED,
        disk_once=numbers * width,
        disk_per_10_000_steps=10_000 * row_bytes,
    )


def row_kept(step: int) -> bool:
    """Whether the row of an update is written: all up to 10^5, then about 35,000 for every doubling."""
    return step <= ALL_ROWS or step % (step // (ALL_ROWS // 2)) == 0


def sketch_kept(step: int) -> bool:
    """Whether the sketch of an update is kept for good."""
    return step % max(SPARSE, step // (ALL_SKETCHES // SPARSE)) == 0


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
