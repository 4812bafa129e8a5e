"""From fit records of one task to what robustness and selection ask for: counts and losses on every population.

Rows in distribution are the held-out rows that all fits have in common; a shifted population's rows are the same for
all fits of a task. Each fit is taken at its largest label count.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from limen.measure.model_selection import Candidates
from limen.records.errors import BadInput, Problem
from limen.records.robustness import Accuracies
from limen.records.stage import StageRecord

IDENTITY = ("task", "loss", "classes")


def accuracies(
    fits: Mapping[str, StageRecord], population: str, runs: Mapping[str, str] | None = None
) -> tuple[Accuracies, ...]:
    """Rows that every fit (name → record) gets right, held out and in a shifted population of its task.

    `runs` maps a name to its run where several fits are of one; others are runs of their own. Different tasks may be
    mixed as long as each has the population. Raises BadInput for a population that a fit has not.
    """
    _has(fits, population)
    found = []
    for name, fit in fits.items():
        right = fit.arrays["curve_holdout_prediction"][-1] == fit.arrays["holdout_labels"]
        there = fit.arrays[f"population.{population}.prediction"] == fit.arrays[f"population.{population}.labels"]
        run = (runs or {}).get(name, name)
        found.append(Accuracies(name, run, int(right.sum()), right.size, int(there.sum()), there.size))
    return tuple(found)


def candidates(fits: Mapping[str, StageRecord]) -> Candidates:
    """Losses of all fits (name → record) of one task, on their common held-out rows and on every shifted population.

    Raises BadInput for fits of different task, loss or classes, without common rows, or without a common population.
    """
    _one_task(fits)
    records = list(fits.values())
    common = reduce(np.intersect1d, [fit.arrays["holdout_rows"] for fit in records])
    shared = [name for name in records[0].data["populations"] if all(name in r.data["populations"] for r in records)]
    problems = []
    if len(common) == 0:
        problems.append(Problem("fits", "no row is held out by all", "other split seeds, or other rows"))
    if not shared:
        problems.append(Problem("fits", "no shifted population is scored by all", fix="name one under task.X.shift"))
    if problems:
        raise BadInput(problems)
    units = {name: records[0].arrays[f"population.{name}.groups"] for name in shared if _grouped(records[0], name)}
    return Candidates(
        models=tuple(fits),
        in_distribution=np.stack([_held(fit, common) for fit in records]),
        shifted={name: np.stack([fit.arrays[f"population.{name}.loss"] for fit in records]) for name in shared},
        units=units or None,
    )


def _held(fit: StageRecord, common: NDArray[np.int64]) -> NDArray[np.float64]:
    """Losses on the common held-out rows, in their order."""
    rows = fit.arrays["holdout_rows"]
    order = np.argsort(rows)
    at = order[np.searchsorted(rows[order], common)]
    losses: NDArray[np.float64] = fit.arrays["curve_holdout_loss"][-1][at]
    return losses


def _grouped(fit: StageRecord, population: str) -> bool:
    return f"population.{population}.groups" in fit.arrays


def _has(fits: Mapping[str, StageRecord], population: str) -> None:
    without = [name for name, fit in fits.items() if population not in fit.data["populations"]]
    if without:
        what = f"{len(without)} fits have not scored {population!r} (first: {without[0]})"
        raise BadInput(Problem("population", what, fix="name it under task.X.shift"))


def _one_task(fits: Mapping[str, StageRecord]) -> None:
    if not fits:
        raise BadInput(Problem("fits", "expected at least one, got none"))
    first = next(iter(fits.values()))
    problems = [
        Problem("fits", f"{name}: expected {key} {first.data[key]}, got {fit.data[key]}")
        for name, fit in fits.items()
        for key in IDENTITY
        if fit.data[key] != first.data[key]
    ]
    if problems:
        raise BadInput(problems)
