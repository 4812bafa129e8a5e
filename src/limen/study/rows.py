"""Features of a cell and labels of a table, put together row by row into the task that a fit sees."""

from __future__ import annotations

import hashlib
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
    if len(matrix) != len(columns[label]):
        what = f"expected {len(matrix):,} labels, one for each row of features, got {len(columns[label]):,}"
        raise BadInput(Problem(f"{data}: {label}", what, "the file changed while the study ran", "run it again"))
    try:
        rows = from_arrays(
            np.asarray(matrix), columns[label], group=_text(columns, group), id=_text(columns, identifier),
            classes=classes,
        )  # fmt: skip
    except BadInput as error:
        called = {"y": label, "group": group, "id": identifier}
        raise BadInput(
            replace(problem, where=f"{data}: {called.get(problem.where, problem.where)}") for problem in error.problems
        ) from None
    return replace(rows, slices={name: tuple(str(value) for value in columns[name]) for name in slices})


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
