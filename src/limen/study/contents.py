"""Whether the rows of a study's tables can be fitted: labels, ids, groups, and features that are in the data already.

What a fit would refuse hours later is found before anything runs, by the very function that reads rows for a fit
(`limen.study.rows`). Features that an encoder has yet to compute are stood in for by the row numbers, which no check
of features refuses; vectors of a table are checked as they are: finite, of one width, not all constant. No encoder
takes empty texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from limen.data.on_bad import OnBad
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord
from limen.study.encoders import Encoder, Pretrain
from limen.study.files import Files
from limen.study.plan import column_of, pairs, place_of, populations
from limen.study.positions import Path as KeyPath
from limen.study.source import Finding
from limen.study.spec import Study, Task

if TYPE_CHECKING:
    from limen.records.task import LabelledFeatures


def unusable_rows(name: str, task: Task, encoders: Iterable[Encoder], files: Files) -> list[Finding]:
    """Everything that keeps the rows of one task from being fitted; its tables and columns must be there."""
    given = dict.fromkeys(_vectors(task, encoder, files) for encoder in encoders)
    found = [finding for column in given for finding in _populations(name, task, column, files)]
    return list(dict.fromkeys(found))  # labels are looked at once with every column of vectors


def empty_texts(study: Study, files: Files) -> Iterator[Finding]:
    """Texts that hold nothing, in every column of text that an encoder of the study reads.

    Tables and columns that are not there are the matter of `limen.study.check`.
    """
    places: dict[tuple[str, str, OnBad], KeyPath] = {}
    for task_name, task, name, encoder in pairs(study):
        if encoder.input != "text":
            continue
        if isinstance(encoder, Pretrain):
            for key, table in (("data", encoder.data), ("heldout", encoder.heldout)):
                if isinstance(table, str):
                    places.setdefault((table, encoder.column or "text", encoder.on_bad), ("encoder", name, key))
        for population, table in populations(task).items():
            column = column_of(task, encoder, files.describe(table).columns)
            places.setdefault((table, column, task.on_bad), key_of(task_name, population))
    for (table, column, on_bad), path in places.items():
        if files.describe(table).columns.get(column) == "text":
            yield from _empty(table, column, on_bad, path, files)


def _empty(table: str, column: str, on_bad: OnBad, key: KeyPath, files: Files) -> Iterator[Finding]:
    from limen.data.inputs import usable_inputs

    try:
        usable_inputs(files.table(table), column, "text", on_bad)
    except BadInput as error:
        yield from (_finding(key, table, {"data": files.table(table)}, problem) for problem in error.problems)


def key_of(task: str, population: str) -> KeyPath:
    """Where the study names the table of a population."""
    return ("task", task, population) if population in ("train", "test") else ("task", task, "shift", population)


def _vectors(task: Task, encoder: Encoder, files: Files) -> str | None:
    """The column of vectors that an encoder reads; None where it computes its features from something else."""
    return column_of(task, encoder, files.describe(task.train).columns) if task.input == "features" else None


def _populations(name: str, task: Task, column: str | None, files: Files) -> Iterator[Finding]:
    from limen.data.embeddings import match_population  # pyarrow costs a second: only when rows are looked at

    train: LabelledFeatures | None = None
    for population, table in populations(task).items():
        key = key_of(name, population)
        place = place_of(task, table, files)
        try:
            rows = _rows(place, column, None if train is None else train.classes)
            if train is not None:
                match_population(rows, train, table)
        except BadInput as error:
            yield from (_finding(key, table, place, problem) for problem in error.problems)
            if train is None:
                return  # the classes of the other populations are those of the train rows
            continue
        train = rows if train is None else train


def _rows(place: dict[str, Any], column: str | None, classes: tuple[str, ...] | None) -> LabelledFeatures:
    import numpy as np

    from limen.data.inputs import usable_inputs
    from limen.data.tables import read_table
    from limen.study.rows import labelled_rows

    skipped: tuple[tuple[int, str], ...] = ()
    if column is not None:
        found = usable_inputs(place["data"], column, "features", place["on_bad"])
        features, skipped = found.values, found.skipped
    else:
        count = len(read_table(place["data"], [place["label"]]).columns[place["label"]])
        features = np.arange(count, dtype=np.float64)[:, None]
    return labelled_rows(StageRecord("features", 0, {"skipped": skipped}, {"features": features}), place, classes)


def _finding(key: KeyPath, table: str, place: dict[str, Any], problem: Problem) -> Finding:
    where = problem.where.replace(place["data"], table)
    cause = f" ({problem.cause})" if problem.cause else ""
    return Finding((key,), f"{where}: {problem.what}{cause}", problem.fix)
