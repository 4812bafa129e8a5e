"""All pairs of comparable fits; the pairs of one task are one family, whatever their methods and radii.

Of k pairs each floor's interval is at 1 − α/k (Bonferroni), so that all k hold together and `separable` is true by
mistake for any of them with probability at most α. The k values of p are corrected by Holm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from limen.arrays.intervals import holm
from limen.measure.comparison import compare
from limen.records.comparison import Comparison
from limen.records.stage import StageRecord

Pair = tuple[StageRecord, StageRecord]


def compare_fits(fits: Sequence[StageRecord], confidence: float = 0.95) -> tuple[Comparison, ...]:
    """Comparisons of every pair of one task, loss and set of classes, in the order given."""
    same: dict[tuple[str, str, int], list[StageRecord]] = {}
    for fit in fits:
        same.setdefault((fit.data["task"], fit.data["loss"], fit.data["classes"]), []).append(fit)
    return compare_pairs([pair for mine in same.values() for pair in combinations(mine, 2)], confidence)


def compare_pairs(pairs: Sequence[Pair], confidence: float = 0.95) -> tuple[Comparison, ...]:
    """Comparisons of these pairs in the order given; those of one task hold together."""
    tasks = [str(a.data["task"]) for a, _ in pairs]
    sizes = Counter(tasks)
    found = [compare(a, b, confidence, sizes[task]) for (a, b), task in zip(pairs, tasks, strict=True)]
    corrected: dict[int, float] = {}
    for task in sizes:
        mine = [at for at, other in enumerate(tasks) if other == task]
        corrected |= dict(zip(mine, map(float, holm([found[at][1] for at in mine])), strict=True))
    return tuple(replace(one, p_holm=corrected[at]) for at, (one, _) in enumerate(found))
