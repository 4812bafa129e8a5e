"""Features of a cell and labels of a table, put together row by row into the task that a fit sees."""

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
    raw = _input_classes(places)
    return Task(spec["task"], spec["encoder"], train, others, spec["same_population"], inputs=raw)


def labelled_rows(features: StageRecord, place: Mapping[str, Any], classes: tuple[str, ...] | None) -> LabelledFeatures:
    """The rows of one population; `classes` are those of the train rows, None for the train rows themselves."""
    data, label, group, identifier = place["data"], place["label"], place["group"], place["id"]
    slices: list[str] = place["slices"]
    names = dict.fromkeys(name for name in (label, group, identifier, *slices) if name is not None)
    columns = read_table(data, list(names)).columns
    matrix = features.arrays["features"]
    _check_unchanged(place, len(matrix), len(columns[label]))
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


def _input_classes(places: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray[np.int64]]:
    """Class of the raw input of every row of every population: equal bytes, equal number."""
    first: dict[bytes, int] = {}
    found = {}
    for name, place in places.items():
        digests = [_digest(value) for value in read_table(place["data"], [place["column"]]).columns[place["column"]]]
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
