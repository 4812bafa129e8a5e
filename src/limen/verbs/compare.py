"""`limen compare`: several encoders' embeddings of the same rows, compared pair by pair."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limen.adapt.fit import fit_task
from limen.adapt.split import blocks
from limen.data.duplicates import identical_rows
from limen.data.embeddings import read_embeddings, read_population
from limen.records.errors import BadInput, Problem
from limen.records.report import Report
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, Integers, LabelledFeatures, Task
from limen.verbs.ask import Target, question_of
from limen.verbs.ask_fit import threads_of
from limen.verdict import compare_fits, conclude, note_selection, rankings


def compare(
    files: Sequence[str | Path],
    *,
    test: Sequence[str | Path] | None = None,
    id: str | None = None,  # noqa: A002  the name of the column
    label: str | None = None,
    spec: FitSpec | None = None,
    target: Target = None,
    margin: float = 0.01,
    confidence: float = 0.95,
    threads: int | None = None,
) -> Report:
    """Budgets of every file and paired comparisons of error, loss and floor: rows aligned by order, or by `id`.

    `test` holds one file per encoder, in the same order. Returns a Report (budgets, comparisons).
    Raises BadInput for fewer than two files, rows that do not match, ids that differ.
    """
    question = question_of(target, margin, confidence)
    encoders = _read(files, id, label)
    tests = _tests(list(encoders.values()), test, label) if test else [None] * len(encoders)
    encoders = dict(zip(encoders, _one_grouping(list(encoders.values())), strict=True))
    together = _together(list(encoders.values()))
    name = Path(os.path.abspath(files[0])).parent.name or "embeddings"
    fits: list[StageRecord] = []
    for (encoder, rows), other in zip(encoders.items(), tests, strict=True):
        task = Task(name, encoder, rows, {} if other is None else {"test": other}, together=together)
        fits.append(fit_task(task, spec or FitSpec(), threads_of(threads)))
    budgets = note_selection([conclude(fit, question) for fit in fits], fits, question)
    return Report(name, budgets, compare_fits(fits, confidence), rankings=rankings(budgets))


def _read(files: Sequence[str | Path], id_column: str | None, label: str | None) -> Mapping[str, LabelledFeatures]:
    if len(files) < 2:
        what = f"expected two or more embeddings files, got {len(files)}"
        raise BadInput(Problem("files", what, fix="limen compare A B …; limen budget FILE measures one"))
    rows = [read_embeddings(path, label=label, id_column=id_column) for path in files]
    if id_column is not None:
        rows = _align(files, rows)
    problems = []
    for path, other in zip(files[1:], rows[1:], strict=True):
        if other.classes != rows[0].classes or not np.array_equal(other.labels, rows[0].labels):
            what = f"its labels differ from those of {files[0]} ({len(other)} and {len(rows[0])} rows)"
            cause = "other rows, or the same rows in another order"
            problems.append(Problem(str(path), what, cause=cause, fix="give --id COLUMN to align rows by their id"))
    if problems:
        raise BadInput(problems)
    return dict(zip(_names(files), rows, strict=True))


def _names(files: Sequence[str | Path]) -> list[str]:
    """File stems, with the folder in front where stems repeat."""
    stems = [Path(path).stem for path in files]
    if len(set(stems)) == len(stems):
        return stems
    names = [f"{Path(os.path.abspath(path)).parent.name}/{Path(path).stem}" for path in files]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise BadInput(Problem("files", f"{', '.join(repeated)} given more than once", fix="give each file once"))
    return names


def _align(files: Sequence[str | Path], rows: list[LabelledFeatures]) -> list[LabelledFeatures]:
    """Every file's rows in the order of the first file's ids."""
    problems = [
        Problem(str(path), "has no id column", fix="leave --id out to align rows by order")
        for path, one in zip(files, rows, strict=True)
        if one.ids is None
    ]
    if problems:
        raise BadInput(problems)
    first = rows[0].ids or ()
    aligned = []
    for path, one in zip(files, rows, strict=True):
        position = {key: i for i, key in enumerate(one.ids or ())}
        missing = [key for key in first if key not in position]
        if missing or len(position) != len(first):
            what = f"its ids differ from those of {files[0]}: {len(missing)} missing (first: {missing[:3]})"
            problems.append(Problem(str(path), what, fix="export the same rows for every encoder"))
            continue
        order = np.array([position[key] for key in first])
        aligned.append(_in_order(one, order, first))
    if problems:
        raise BadInput(problems)
    return aligned


def _in_order(rows: LabelledFeatures, order: Integers, ids: tuple[str, ...]) -> LabelledFeatures:
    return replace(
        rows,
        features=rows.features[order],
        labels=rows.labels[order],
        groups=None if rows.groups is None else rows.groups[order],
        slices={name: tuple(values[i] for i in order) for name, values in rows.slices.items()},
        ids=ids,
    )


def _tests(
    trains: list[LabelledFeatures], test: Sequence[str | Path], label: str | None
) -> list[LabelledFeatures | None]:
    if len(test) != len(trains):
        what = f"expected one test file per encoder ({len(trains)}), got {len(test)}"
        raise BadInput(Problem("test", what, fix="repeat --test in the order of the encoders"))
    rows = [read_population(path, train, label=label) for path, train in zip(test, trains, strict=True)]
    same = all(np.array_equal(one.labels, rows[0].labels) for one in rows)
    return list(_one_grouping(rows) if same else rows)


def _one_grouping(rows: list[LabelledFeatures]) -> list[LabelledFeatures]:
    """The same groups for every file: rows that are in one group of any file are one unit in all."""
    given = [one.groups for one in rows if one.groups is not None]
    if not given:
        return rows
    merged = given[0]
    for other in given[1:]:
        merged = blocks(merged, other)
    return [replace(one, groups=merged) for one in rows]


def _together(rows: list[LabelledFeatures]) -> Integers:
    """Rows identical in any encoder stay together in all, so that all have one split."""
    merged = identical_rows(rows[0].features)
    for other in rows[1:]:
        merged = blocks(merged, identical_rows(other.features))
    return merged
