"""Which raw rows tune an encoder, which choose, and which only score: the parts of a fit cell, at one (n, seed)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limen.adapt.prepare import Prepared, _units, _without_recurring
from limen.adapt.split import split, stratified_subset, subset_order
from limen.records.errors import BadInput, Problem
from limen.records.task import Integers, Task


@dataclass(frozen=True, slots=True)
class RawRows:
    """Raw inputs (texts, images, clips) and their labels [n]."""

    inputs: Any
    labels: Integers

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Integers) -> RawRows:
        """Some of the rows.

        >>> RawRows(["a", "b"], np.array([0, 1])).take(np.array([1])).inputs
        ['b']
        """
        chosen = self.inputs[rows] if isinstance(self.inputs, np.ndarray) else [self.inputs[row] for row in rows]
        return RawRows(chosen, self.labels[rows])


@dataclass(frozen=True, slots=True)
class TuneRows:
    """Train rows move weights, design rows choose the epoch, holdout and populations are scored once at the end."""

    train: RawRows
    design: RawRows
    holdout: RawRows
    classes: int
    populations: Mapping[str, RawRows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = []
        named = {"train": self.train, "design": self.design, "holdout": self.holdout, **self.populations}
        for name, rows in named.items():
            if len(rows.inputs) != len(rows.labels):
                what = f"expected one label an input, got {len(rows.inputs)} inputs and {len(rows.labels)} labels"
                problems.append(Problem(name, what))
            if not len(rows):
                problems.append(Problem(name, "expected rows, got none"))
            elif rows.labels.min() < 0 or rows.labels.max() >= self.classes:
                what = f"expected labels from 0 to {self.classes - 1}, got {rows.labels.min()} to {rows.labels.max()}"
                problems.append(Problem(name, what))
        if self.classes < 2 or (len(self.train) and len(np.unique(self.train.labels)) < 2):
            problems.append(Problem("train", "expected train rows of at least 2 classes"))
        if problems:
            raise BadInput(problems)


@dataclass(frozen=True, slots=True)
class Raw:
    """Every raw row of a task: the train file and its further populations by name."""

    train: RawRows
    populations: Mapping[str, RawRows] = field(default_factory=dict)


def tune_rows(task: Task, prepared: Prepared, raw: Raw, n: int, seed: int) -> TuneRows:
    """The raw rows of a fit cell's parts: the first n of seed's permutation, and what every cell of the task shares.

    `prepared` is that of the same task (its features are the frozen encoder's). Raises BadInput for n beyond the fit
    rows, and where n stratified rows leave a class empty.
    """
    fit = prepared.rows["fit"]
    if not 2 <= n <= len(fit):
        raise BadInput(Problem("labels", f"expected a label count between 2 and the {len(fit):,} fit rows, got {n:,}"))
    holdout = raw.populations["test"] if task.same_population else raw.train
    scored = {name: raw.populations[name].take(rows) for name, rows in population_rows(task, prepared).items()}
    return TuneRows(
        train=raw.train.take(fit[subset_of(prepared, n, seed)]),
        design=raw.train.take(design_rows(task, prepared)),
        holdout=holdout.take(prepared.rows["holdout"]),
        classes=prepared.classes,
        populations=scored,
    )


def subset_of(prepared: Prepared, n: int, seed: int) -> Integers:
    """Positions within the fit part of the n rows of one seed: the subsets of every other method."""
    order = subset_order(len(prepared.fit), prepared.spec.split_seed, seed)
    if n == len(prepared.fit):
        return np.arange(n)
    if prepared.spec.subsets == "uniform":
        return order[:n]
    try:
        return stratified_subset(prepared.fit.labels, order, n, prepared.classes)
    except ValueError as error:
        raise BadInput(Problem("labels", str(error), fix='raise it, or use subsets = "uniform"')) from error


def design_rows(task: Task, prepared: Prepared) -> Integers:
    """File row numbers of the design part."""
    mine = _units(task, "train", _without_recurring(task, []), [])
    parts = split(mine.block, prepared.spec.split_seed, holdout=not task.same_population)
    return mine.rows[parts.design]


def population_rows(task: Task, prepared: Prepared) -> dict[str, Integers]:
    """File row numbers of every population that is scored."""
    return {name: _units(task, name, np.arange(len(task.populations[name])), []).rows for name in prepared.populations}
