"""All pairs of comparable fits, p values corrected over the pairs of a task (Holm)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from limen.arrays.intervals import holm
from limen.measure.comparison import compare
from limen.records.comparison import Comparison
from limen.records.stage import StageRecord


def compare_fits(fits: Sequence[StageRecord], confidence: float = 0.95) -> tuple[Comparison, ...]:
    """Comparisons of every pair of one task, loss and set of classes, in the order given."""
    found: list[Comparison] = []
    tasks = dict.fromkeys((fit.data["task"], fit.data["loss"], fit.data["classes"]) for fit in fits)
    for identity in tasks:
        mine = [f for f in fits if (f.data["task"], f.data["loss"], f.data["classes"]) == identity]
        pairs = [compare(a, b, confidence) for a, b in combinations(mine, 2)]
        if pairs:
            corrected = holm([p for _, p in pairs])
            found += [replace(pair, p_holm=float(p)) for (pair, _), p in zip(pairs, corrected, strict=True)]
    return tuple(found)
