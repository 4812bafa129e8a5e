"""Features of a cell and labels of a table, put together row by row into the task that a fit sees.

Rows whose input was left out have no features: they leave labels, groups, ids and categories with it, in every
population, and are told among what was read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.data.arrays import from_arrays
from limen.data.embeddings import match_population
from limen.data.inputs import skipped_note
from limen.data.tables import read_table
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord
from limen.records.task import LabelledFeatures, Task


def task_of(spec: Mapping[str, Any], inputs: Mapping[str, StageRecord]) -> Task:
    """The task of a fit cell: `inputs` are the features of each population of `spec["populations"]`.

    Raises BadInput with every problem of the train rows, or of the first population that has any.
    """
    places: Mapping[str, Mapping[str, Any]] = spec["populations"]
    train = labelled_rows(inputs["train"], places["train"], None)
    others = {
        name: match_population(labelled_rows(inputs[name], place, train.classes), train, place["data"])
        for name, place in places.items()
        if name != "train"
    }
    said = [note for name in places for note in reading_notes(inputs[name].data, name)]
    train = replace(train, notes=(*train.notes, *said))
    raw = _input_classes(places, inputs)
    return Task(spec["task"], spec["encoder"], train, others, spec["same_population"], inputs=raw)


def reading_notes(features: Mapping[str, Any], population: str) -> tuple[str, ...]:
    """What happened when the inputs of a population were read, by the data of their features.

    >>> reading_notes({"rows": 9, "skipped": [[3, "empty"]]}, "test")
    ('test: 1 of 10 rows skipped: 1 row (row 3), empty',)
    """
    skipped = [(int(row), str(reason)) for row, reason in features.get("skipped", [])]
    note = skipped_note(skipped, features.get("rows", 0) + len(skipped), population)
    return (*([note] if note else []), *(f"{population}: {told}" for told in features.get("notes", [])))


def labelled_rows(features: StageRecord, place: Mapping[str, Any], classes: tuple[str, ...] | None) -> LabelledFeatures:
    """The rows of one population; `classes` are those of the train rows, None for the train rows themselves."""
    data, label, group, identifier = place["data"], place["label"], place["group"], place["id"]
    slices: list[str] = place["slices"]
    names = dict.fromkeys(name for name in (label, group, identifier, *slices) if name is not None)
    columns = read_table(data, list(names)).columns
    matrix, left = features.arrays["features"], _skipped(features)
    _check_unchanged(place, len(matrix) + len(left), len(columns[label]))
    columns = {name: _without(values, left) for name, values in columns.items()}
    try:
        rows = from_arrays(
            np.asarray(matrix), columns[label], group=_text(columns, group), id=_text(columns, identifier),
            classes=classes,
        )  # fmt: skip
    except BadInput as error:
        called = {"X": place.get("column") or "X", "y": label, "group": group, "id": identifier}
        raise BadInput(_named(problem, data, called) for problem in error.problems) from None
    return replace(rows, slices={name: tuple(str(value) for value in columns[name]) for name in slices})


def _check_unchanged(place: Mapping[str, Any], rows: int, labels: int) -> None:
    """Raise BadInput where the inputs of the table have become others than those that the features are of.

    Columns of one file that differ in length are no change: they are refused as they are in any other file.
    """
    if rows == labels or "column" not in place:
        return
    if len(read_table(place["data"], [place["column"]]).columns[place["column"]]) != rows:
        what = f"expected the {rows:,} rows that the features are of, got another number"
        raise BadInput(Problem(place["data"], what, "the file changed while the study ran", "run it again"))


def _named(problem: Problem, data: str, called: Mapping[str, str | None]) -> Problem:
    """A problem of X, y, group or id in the names that the columns have in the file."""
    names = {key: name for key, name in called.items() if name}

    def own(text: str) -> str:
        return re.sub(r"\b[Xy]\b", lambda found: names[found[0]], text)

    where = f"{data}: {names.get(problem.where, problem.where)}"
    return replace(problem, where=where, what=own(problem.what), fix=own(problem.fix))


def _skipped(features: StageRecord) -> list[int]:
    """Rows of the table that have no features, because nothing could be made of their input."""
    return [int(row) for row, _ in features.data.get("skipped", [])]


def _without(values: NDArray[Any], rows: list[int]) -> NDArray[Any]:
    return np.delete(values, rows, axis=0) if rows else values


def _input_classes(
    places: Mapping[str, Mapping[str, Any]], features: Mapping[str, StageRecord]
) -> dict[str, NDArray[np.int64]]:
    """Class of the raw input of every row of every population that has features: equal bytes, equal number."""
    first: dict[bytes, int] = {}
    found = {}
    for name, place in places.items():
        values = read_table(place["data"], [place["column"]]).columns[place["column"]]
        digests = [_digest(value) for value in _without(values, _skipped(features[name]))]
        found[name] = np.array([first.setdefault(digest, len(first)) for digest in digests], dtype=np.int64)
    return found


def _digest(value: Any) -> bytes:
    """128 bits of a text, of the bytes of a file, or of numbers; −0.0 counts as 0.0."""
    content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if not isinstance(content, bytes):
        content = (np.asarray(content) + 0).tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _text(columns: Mapping[str, NDArray[Any]], name: str | None) -> NDArray[Any] | None:
    return None if name is None else np.array([str(value) for value in columns[name]])
