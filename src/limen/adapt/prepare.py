"""From a task to rows that can be fitted: parts, duplicates, feature map, and what was noticed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.adapt.ball import Rows
from limen.adapt.feature_map import FeatureMap, design_map
from limen.adapt.mapped_rows import mapped_rows
from limen.adapt.split import HOLDOUT_SHARE, LEAST_ROWS, Parts, blocks, row_groups, split
from limen.adapt.two_sample import two_sample
from limen.arrays.random import stream
from limen.arrays.row_blocks import taken
from limen.data.duplicates import identical_rows
from limen.records.budget import PopulationCheck
from limen.records.errors import BadInput, Problem
from limen.records.task import FitSpec, Floats, Integers, LabelledFeatures, Task
from limen.records.units import counted

RECURRING_LIMIT = 0.01
LEAST_UNITS = 4
"""Units of a population that the two-sample test needs: two to train it on and two to score it on."""

TWO_SAMPLE_ROWS = 50_000
"""Most units of a population that the two-sample test of features sees; labels are compared over all of them."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything the fits need; row indices refer to the train file."""

    spec: FitSpec
    classes: int
    phi: FeatureMap
    design: Rows
    fit: Rows
    holdout: Rows
    fit_blocks: Integers
    """Block (identical features or one group) of each fit row."""
    holdout_blocks: Integers
    holdout_groups: Integers | None
    """Group of each holdout row where the user gave groups: the independent units."""
    pool_groups: Integers
    """Jackknife group of the fit rows, then of the holdout rows."""
    populations: Mapping[str, Rows]
    checks: tuple[PopulationCheck, ...]
    rows: Mapping[str, Integers] = field(default_factory=dict)
    """File row numbers of fit and holdout."""
    fit_groups: Integers | None = None
    """Group of each fit row where the user gave groups."""
    population_groups: Mapping[str, Integers] = field(default_factory=dict)
    """Group of each row of the scored populations that have groups."""
    holdout_slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → category of each holdout row."""


def prepare(task: Task, spec: FitSpec) -> Prepared:
    """Split, drop what recurs, fix the feature map on design, map every row.

    Raises BadInput for too few rows, one class in a part, more recurring rows than 1 % of a population.
    """
    train = task.train
    if len(train) < LEAST_ROWS:
        what = f"expected at least {LEAST_ROWS} rows to split into design, fit and holdout, got {len(train)}"
        raise BadInput(Problem(task.name, what, fix="label more rows, or pool small tasks"))
    checks: list[PopulationCheck] = []
    mine = _units(task, "train", _without_recurring(task, checks), checks)
    kept, block = mine.rows, mine.block
    units = {name: _units(task, name, np.arange(len(rows)), checks) for name, rows in task.populations.items()}
    theirs = units.get("test") if task.same_population else None
    parts = split(block, spec.split_seed, holdout=theirs is None)
    _check_parts(task, train.labels[kept], parts, block, theirs)
    try:
        phi = design_map(taken(train.features, kept[parts.design]))
    except ValueError as error:
        raise BadInput(Problem(task.name, str(error))) from error
    inside = _mapper(phi, spec, len(train.classes))
    fit = inside(train, kept[parts.fit])
    if theirs is None:
        source, rows, holdout_blocks, grouped = train, kept[parts.holdout], block[parts.holdout], mine.grouped
    else:
        source, rows, grouped = task.populations["test"], theirs.rows, theirs.grouped
        holdout_blocks = theirs.block + int(block.max()) + 1
    holdout = inside(source, rows)
    checks += [*_clipping(phi, train, kept[parts.fit]), *_class_counts(holdout, train.classes)]
    checks += [_same_population(task, name, mine, found) for name, found in units.items()]
    scored = {name: found for name, found in units.items() if found is not theirs}
    both = np.concatenate([block[parts.fit], holdout_blocks])
    return Prepared(
        spec=spec,
        classes=len(train.classes),
        phi=phi,
        design=inside(train, kept[parts.design]),
        fit=fit,
        holdout=holdout,
        fit_blocks=block[parts.fit],
        holdout_blocks=holdout_blocks,
        holdout_groups=holdout_blocks if grouped else None,
        pool_groups=row_groups(np.unique(both, return_inverse=True)[1].astype(np.int64), spec.split_seed),
        populations={name: inside(task.populations[name], found.rows) for name, found in scored.items()},
        checks=(*_dropped(train), *checks),
        rows={"fit": kept[parts.fit], "holdout": rows},
        fit_groups=block[parts.fit] if mine.grouped else None,
        population_groups={name: found.block for name, found in scored.items() if found.grouped},
        holdout_slices={name: tuple(values[row] for row in rows) for name, values in source.slices.items()},
    )


def _mapper(phi: FeatureMap, spec: FitSpec, classes: int) -> Any:
    def mapped(rows: LabelledFeatures, chosen: Integers) -> Rows:
        return Rows(mapped_rows(phi, rows.features, chosen), rows.labels[chosen], classes, spec.loss)

    return mapped


@dataclass(frozen=True, slots=True)
class _Units:
    """Rows that stay, their blocks, and whether blocks (not rows) are the independent units."""

    rows: Integers
    block: Integers
    grouped: bool

    def one_each(self) -> Integers:
        """One row of every independent unit, in the order of the file; a row of a block is drawn at random."""
        if not self.grouped:
            return self.rows
        drawn = stream("one-row-per-unit", len(self.rows)).permutation(len(self.rows))
        chosen = drawn[np.unique(self.block[drawn], return_index=True)[1]]
        return np.sort(self.rows[chosen])


def _units(task: Task, population: str, rows: Integers, checks: list[PopulationCheck]) -> _Units:
    """Each input once where few recur within the file (every row is then a unit), whole blocks as units elsewhere."""
    source = task.train if population == "train" else task.populations[population]
    block = blocks(_identical(task, population, rows), None)
    if task.together is not None and population == "train":
        block = blocks(block, task.together[rows])
    first = np.sort(np.unique(block, return_index=True)[1])
    repeated = len(rows) - len(first)
    where = "" if population == "train" else f" of {population!r}"
    if source.groups is not None:
        block = blocks(block, source.groups[rows])
        checks.append(_groups_check(block, population, where))
        return _Units(rows, block, grouped=True)
    if not repeated:
        return _Units(rows, block, grouped=False)
    one = repeated == 1
    have, repeat, were = ("has", "repeats", "was") if one else ("have", "repeat", "were")
    shared = f"{have} the features" if task.inputs is None else f"{repeat} the input"
    rows_said = f"{counted(repeated, 'row')}{where} {shared} of an earlier row"
    if repeated <= RECURRING_LIMIT * len(rows):
        finding = f"{rows_said} and {were} dropped: every input counts once"
        checks.append(PopulationCheck("duplicates", finding, "noted", {"rows": repeated}))
        return _Units(rows[first], blocks(block[first], None), grouped=False)
    stay = "stay in one part and count" if population == "train" else "count"
    finding = f"{rows_said}: rows with one input {stay} as one unit, so nothing here is certified"
    checks.append(PopulationCheck("duplicates", finding, "rejected", {"rows": repeated}))
    return _Units(rows, block, grouped=True)


def _groups_check(block: Integers, population: str, where: str) -> PopulationCheck:
    """How many groups there are and the largest one's share of the rows; noted where it exceeds that of a holdout."""
    sizes = np.bincount(block)
    share = float(sizes.max() / len(block))
    stays = "stays in one part of every split and " if population == "train" else ""
    finding = (
        f"{len(sizes)} groups of rows{where}, the largest with {share:.1%} of them: a group {stays}counts as one unit"
    )
    large = share > HOLDOUT_SHARE
    if large and population == "train":
        finding += "; the part that holds the largest is mostly that group"
    numbers = {"groups": len(sizes), "largest_share": share}
    return PopulationCheck("groups", finding, "noted" if large else "ok", numbers)


def _identical(task: Task, population: str, chosen: Integers) -> Integers:
    """Class of each chosen row among identical ones: by raw input where it is known, else by features."""
    if task.inputs is not None:
        return task.inputs[population][chosen]
    rows = task.train if population == "train" else task.populations[population]
    return identical_rows(rows.features, rows=chosen)


def _shared(task: Task, name: str) -> tuple[NDArray[np.bool_], int]:
    """Which train rows recur in a population, and how many rows of that population recur in train."""
    if task.inputs is not None:
        train, other = task.inputs["train"], task.inputs[name]
        return np.isin(train, other), int(np.isin(other, train).sum())
    features = task.populations[name].features
    recurring = identical_rows(task.train.features, features) >= 0
    return recurring, int((identical_rows(features, task.train.features) >= 0).sum())


def _without_recurring(task: Task, checks: list[PopulationCheck]) -> Integers:
    """Train rows that do not recur in a scored population; dropped rows are counted and named."""
    kept = np.ones(len(task.train), dtype=bool)
    problems = []
    for name, population in task.populations.items():
        recurring, seen = _shared(task, name)
        if not seen:
            continue
        share = seen / len(population)
        named = ", ".join(str(row) for row in np.flatnonzero(recurring)[:5])
        if share > RECURRING_LIMIT:
            what = (
                f"{seen} of the {len(population)} rows of {name!r} ({share:.1%}) are also in the train file, "
                f"expected at most {RECURRING_LIMIT:.0%} (train rows {named}, …)"
            )
            fix = "remove them from one of the files: a row seen in training is not held out"
            problems.append(Problem(task.name, what, cause="overlapping files, or the same file twice", fix=fix))
        kept &= ~recurring
        finding = f"{int(recurring.sum())} train rows recur in {name!r} and were dropped (rows {named})"
        numbers = {"dropped": int(recurring.sum()), "recurring": seen}
        checks.append(PopulationCheck("recurring-rows", finding, "noted", numbers))
    if problems:
        raise BadInput(problems)
    return np.flatnonzero(kept).astype(np.int64)


def _check_parts(task: Task, labels: Integers, parts: Parts, block: Integers, outer: _Units | None) -> None:
    problems = []
    for name, rows in (("fit", parts.fit), ("holdout", parts.holdout)):
        if len(rows) and len(np.unique(labels[rows])) < 2:
            what = f"the {name} part of {len(rows)} rows has one class only, expected at least two"
            problems.append(Problem(task.name, what, cause="very few rows of all other classes, or few large groups"))
        if outer is None or name == "fit":
            problems += _few_units(task, name, block[rows])
    if outer is not None:
        problems += _few_units(task, "test", outer.block)
    if problems:
        raise BadInput(problems)


def _few_units(task: Task, name: str, block: Integers) -> list[Problem]:
    units = len(np.unique(block))
    if units >= 2:
        return []
    what = f"the {name} part holds {units} independent units (groups, or rows of different input), expected at least 2"
    return [Problem(task.name, what, cause="few large groups", fix="more groups: no error can be told from one")]


def _dropped(train: LabelledFeatures) -> list[PopulationCheck]:
    """What the reader left out or converted; constant columns have their own line."""
    said = [note for note in train.notes if "constant column" not in note]
    read = [PopulationCheck("reading", note, "noted") for note in said]
    return [*read, *_constant(train)]


def _constant(train: LabelledFeatures) -> list[PopulationCheck]:
    if not train.dropped_columns:
        return []
    columns = train.dropped_columns
    shown = ", ".join(str(c) for c in columns[:8]) + (", …" if len(columns) > 8 else "")
    said = "1 constant feature column was" if len(columns) == 1 else f"{len(columns)} constant feature columns were"
    finding = f"{said} dropped ({shown})"
    return [PopulationCheck("constant-columns", finding, "noted", {"columns": len(columns)})]


def _some_features(rows: LabelledFeatures, units: Integers) -> Floats:
    """Features of the units, or of so many of them, drawn at random, as the two-sample test is given."""
    drawn = stream("two-sample-rows", len(units)).permutation(len(units))[:TWO_SAMPLE_ROWS]
    return taken(rows.features, units[np.sort(drawn)])


def _clipping(phi: FeatureMap, train: LabelledFeatures, rows: Integers) -> list[PopulationCheck]:
    share = phi.clipped_share(train.features, rows)
    finding = f"{share:.2%} of the fit rows lie outside the design's bound and are clipped to it"
    return [PopulationCheck("clipped-features", finding, "ok" if share < 0.05 else "noted", {"share": share})]


def _class_counts(holdout: Rows, classes: tuple[str, ...]) -> list[PopulationCheck]:
    """Classes with fewer than two held-out rows: what is said of each class alone rests on nothing or on one row."""
    counts = np.bincount(holdout.labels, minlength=len(classes))
    few = np.flatnonzero(counts < 2)
    if not len(few):
        return []
    shown = ", ".join(repr(classes[label]) for label in few[:5]) + (", …" if len(few) > 5 else "")
    have = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
    finding = f"{have} fewer than 2 held-out rows ({shown}): the balanced error says little about them"
    numbers = {"classes": len(few), "empty": int((counts == 0).sum())}
    return [PopulationCheck("held-out-classes", finding, "noted", numbers)]


def _same_population(task: Task, name: str, mine: _Units, theirs: _Units) -> PopulationCheck:
    """Both tests on one row of every unit: copies and rows of one group are no further evidence."""
    train, population = task.train, task.populations[name]
    here, there = mine.one_each(), theirs.one_each()
    if min(len(here), len(there)) < LEAST_UNITS:
        fewest = f"{len(there)} independent units" if len(there) < LEAST_UNITS else f"a train file of {len(here)} units"
        finding = f"{name!r} cannot be compared with the train file: {fewest}, expected at least {LEAST_UNITS}"
        return PopulationCheck("two-sample", finding, "noted", {"population": name, "units": len(there)})
    test = two_sample(
        (_some_features(train, here), train.labels[here]),
        (_some_features(population, there), population.labels[there]),
        len(train.classes),
    )
    rejected = test.rejected()
    finding = (
        f"{name!r} {'differs from' if rejected else 'cannot be told from'} the train file: "
        f"labels p = {test.label_p:.2g} (total variation {test.label_total_variation:.2f}), "
        f"features p = {test.feature_p:.2g} "
        f"(AUC {test.feature_auc:.2f})"
    )
    if rejected and task.same_population and name == "test":
        finding += "; it is used as the holdout because you said it is the same population"
    numbers = {
        "label_p": test.label_p,
        "label_total_variation": test.label_total_variation,
        "feature_p": test.feature_p,
        "feature_auc": test.feature_auc,
    }
    return PopulationCheck("two-sample", finding, "rejected" if rejected else "ok", {"population": name, **numbers})
