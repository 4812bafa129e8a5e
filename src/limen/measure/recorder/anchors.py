"""Exact displacements ‖θ_{birth+lag} − θ_birth‖² from a few kept copies of the weights.

Births are 0 (the reference, kept for good) and 64, 128, 256, … updates; when the places are used up the oldest birth
after 0 makes room. Lags are the whole numbers nearest to 10^{i/10}, from birth 0 (whose displacement every row holds
anyway) to 10^{i/20}. Some 60 readings between T and 2T updates, whatever T is, each of about three passes over memory:
a thousand updates pay for some 100 of them, 10^5 for 500.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from limen.measure.recorder.flat import Array, FlatParameters
from limen.records.trajectory import Displacements, Floats

FIRST_BIRTH = 64
PLACES = {"full": 7, "lean": 2}
"""Copies kept beside the reference."""
BLOCK = 1 << 16


def on_grid(lag: int, per_decade: int = 10) -> bool:
    """Whether displacements are taken at a lag.

    >>> [lag for lag in range(1, 30) if on_grid(lag)]
    [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25]
    """
    if lag < 1:
        return False
    nearest = round(per_decade * math.log10(lag))
    return any(round(10 ** (i / per_decade)) == lag for i in (nearest - 1, nearest, nearest + 1))


@dataclass(slots=True)
class _Anchor:
    birth: int
    weights: list[Array]
    sketch: Floats
    """S(θ_birth − θ_ref)."""


class Anchors:
    """The kept copies and what they said so far."""

    def __init__(self, weights: FlatParameters, reference: list[Array], places: int, dimension: int) -> None:
        self._weights = weights
        self._anchors = [_Anchor(0, reference, np.zeros(dimension))]
        self._places = places
        self._scratch = np.empty(BLOCK, dtype=reference[0].dtype)
        self.rows: list[tuple[int, int, float]] = []
        """(birth, lag, squared displacement)"""

    def look(self, step: int, sketched: Floats, offset_norm2: float) -> list[tuple[float, float]]:
        """Take what is due after update `step`: pairs (exact, from the sketch) of squared displacements.

        `offset_norm2` is ‖θ_k − θ_ref‖², which the row holds.
        """
        pairs = []
        for anchor in self._anchors:
            lag = step - anchor.birth
            if on_grid(lag, 20 if anchor.birth == 0 else 10):
                exact = self.displacement(anchor.weights) if anchor.birth else offset_norm2
                self.rows.append((anchor.birth, lag, exact))
                pairs.append((exact, float(np.sum((sketched - anchor.sketch) ** 2))))
        if self._places and step >= FIRST_BIRTH and step & (step - 1) == 0:
            self._born(step, sketched)
        return pairs

    def _born(self, step: int, sketched: Floats) -> None:
        """A copy of the weights, in the place of the oldest one where all are used."""
        if len(self._anchors) > self._places:
            oldest = self._anchors.pop(1)
            for kept, now in zip(oldest.weights, self._weights.kept("after", self._weights.parameters), strict=True):
                kept[:] = now
            self._anchors.append(_Anchor(step, oldest.weights, sketched.copy()))
        else:
            self._anchors.append(_Anchor(step, self._weights.copy(), sketched.copy()))

    def displacement(self, weights: list[Array]) -> float:
        """‖θ − weights‖² at the weights as they are: differences in the weights' precision, sums in float64."""
        total = 0.0
        for now, then in zip(self._weights.kept("after", self._weights.parameters), weights, strict=True):
            for start in range(0, now.size, BLOCK):
                part = slice(start, min(start + BLOCK, now.size))
                apart = np.subtract(now[part], then[part], out=self._scratch[: part.stop - start])
                total += float(apart.dot(apart))
        return total


def displacements(rows: list[tuple[int, int, float]]) -> Displacements:
    """Rows as columns."""
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    return Displacements(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2])
