"""`limen budget`: one command on the user's own embeddings. Where the loss comes from, how sure that is, what helps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike

from limen.adapt.fit import fit_task
from limen.data.arrays import from_arrays
from limen.data.embeddings import match_population, read_embeddings, read_population
from limen.data.npy import is_npy, npy_matrix, npy_vector
from limen.data.slices import slice_values
from limen.data.source import source_probabilities
from limen.data.tables import describe
from limen.records.errors import BadInput, Problem
from limen.records.task import LabelledFeatures, Loss, Method, Task
from limen.verbs.ask import Target, question_of
from limen.verbs.ask_fit import fit_of, threads_of
from limen.verbs.shown import ShownBudget
from limen.verdict import conclude

Population = tuple[ArrayLike, ArrayLike] | str | Path


def budget(
    X: ArrayLike | str | Path,
    y: ArrayLike | None = None,
    *,
    test: Population | None = None,
    shift: Mapping[str, Population] | None = None,
    same_population: bool = False,
    group: ArrayLike | str | None = None,
    slices: Mapping[str, ArrayLike] | Sequence[str] = (),
    source: ArrayLike | None = None,
    label: str | None = None,
    labels: Sequence[int | Literal["all"]] | int | Literal["all"] | None = None,
    seeds: int = 5,
    method: Method = "linear-probe",
    loss: Loss = "log",
    radius: float | Literal["auto"] = "auto",
    rich_head: bool = True,
    target: Target = None,
    margin: float = 0.01,
    confidence: float = 0.95,
    name: str = "embeddings",
    threads: int | None = None,
) -> ShownBudget:
    """The error budget of adapting on features X [n, d] with labels y [n], or on one .npz, .parquet or .csv file.

    A .npy file holds features alone: give their labels as `y`, an array or another .npy file.

    Terms satisfy adaptation_loss = minimal_adaptation_loss − optimism + optimization_gap + generalization_gap exactly,
    in nats (loss="log") or squared units; see docs/how-sure.md for each interval and its grade.
    `slices` are columns of categories (names for a file, name → values for arrays): loss and error of each value.
    `source` are class probabilities [n, Z] (or labels [n]) that the model behind the encoder gives the rows: LEEP, NCE.
    `rich_head` sets a kernel head beside a probe: the low end of `class_gap`, what a richer adapter would gain.
    `test` and `shift` are scored, never trained on; with `same_population` the test rows are the holdout.
    `target` is {"loss": 0.3} or {"error": 0.05} (or "loss=0.3"); `threads` defaults to the usable processors.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 400)
    >>> found = budget(rng.normal(size=(400, 3)) + 2 * y[:, None], y, labels=[64, 128], seeds=2)
    >>> found.identity_residual < 1e-9, found.terms["error"].grade
    (True, 'certified')

    Raises BadInput with every problem of the input found, never a partial result.
    """
    spec, processors = fit_of(method, loss, labels, seeds, radius, rich_head), threads_of(threads)
    asked = question_of(target, margin, confidence)
    if same_population and isinstance(slices, Mapping) and slices:
        what = "slices are of the train rows, but with same_population the test rows are the holdout"
        raise BadInput(Problem("slices", what, fix="give files, and name columns that both of them have"))
    train = _with_slices(_rows(X, y, label, group, slices), slices)
    if source is not None:
        train = replace(train, source=source_probabilities(source, len(train)))
    columns = (label, group if isinstance(group, str) else None, () if isinstance(slices, Mapping) else tuple(slices))
    populations = {
        key: _population(value, train, columns, key, needed=same_population and key == "test")
        for key, value in {**({} if test is None else {"test": test}), **(shift or {})}.items()
    }
    encoder = Path(X).stem if isinstance(X, str | Path) else name
    task = Task(
        _task_name(X, name), encoder, train, populations, same_population=_has_test(same_population, populations)
    )
    with _placed(task.name, X):
        record = fit_task(task, spec, processors)
    return ShownBudget.of(conclude(record, asked))


def _rows(
    X: ArrayLike | str | Path, y: ArrayLike | None, label: str | None, group: Any, slices: Any
) -> LabelledFeatures:
    if isinstance(X, str | Path):
        if y is not None and is_npy(str(X)):
            return _beside_npy(Path(X), y, group)
        if y is not None:
            raise BadInput(Problem("y", f"expected no y beside the file {X}", fix="leave y out: the file holds it"))
        if group is not None and not isinstance(group, str):
            raise BadInput(Problem("group", "expected the name of a column of the file, got an array"))
        if isinstance(slices, Mapping):
            raise BadInput(Problem("slices", "expected names of columns of the file, got arrays"))
        return read_embeddings(X, label=label, group=group, slices=tuple(slices))
    if y is None:
        raise BadInput(Problem("X", "expected labels y beside the features X, got none", fix="budget(X, y)"))
    return from_arrays(X, y, group=group)


def _beside_npy(path: Path, y: ArrayLike | str | Path, group: ArrayLike | str | None) -> LabelledFeatures:
    """Features of a .npy file, with labels and groups that are arrays or .npy files."""
    labels, groups = (npy_vector(str(each), path) if isinstance(each, str | Path) else each for each in (y, group))
    assert labels is not None
    return from_arrays(npy_matrix(path), labels, group=groups)


def _with_slices(rows: LabelledFeatures, slices: Any) -> LabelledFeatures:
    """Rows of arrays with the categories given beside them; rows of a file have theirs already."""
    if not isinstance(slices, Mapping):
        if slices and not rows.slices:
            raise BadInput(Problem("slices", "expected name → values beside arrays X and y, got names"))
        return rows
    return replace(rows, slices={name: slice_values("", name, values, len(rows)) for name, values in slices.items()})


def _population(
    value: Population,
    train: LabelledFeatures,
    columns: tuple[str | None, str | None, tuple[str, ...]],
    name: str,
    needed: bool,
) -> LabelledFeatures:
    """A further population; `columns` = label, group and slices, as far as they name columns of a file.

    Slice columns are never features; only where they are `needed` must the file have them.
    """
    if isinstance(value, str | Path):
        label, group, slices = columns
        slices = slices if needed else tuple(set(slices) & set(describe(value).columns)) if slices else ()
        return read_population(value, train, label=label, group=group, slices=slices)
    if not (isinstance(value, tuple) and len(value) == 2):
        raise BadInput(Problem(name, f"expected a file or a pair (X, y), got {type(value).__name__}"))
    return match_population(from_arrays(value[0], value[1], classes=train.classes), train, name)


def _task_name(X: ArrayLike | str | Path, name: str) -> str:
    return Path(os.path.abspath(X)).parent.name or name if isinstance(X, str | Path) else name


@contextmanager
def _placed(task: str, X: ArrayLike | str | Path) -> Iterator[None]:
    """Problems of the task as problems of the file or array that it was read from."""
    try:
        yield
    except BadInput as error:
        place = str(X) if isinstance(X, str | Path) else "X"
        raise BadInput(replace(p, where=place) if p.where == task else p for p in error.problems) from None


def _has_test(same_population: bool, populations: Mapping[str, LabelledFeatures]) -> bool:
    if same_population and "test" not in populations:
        what = "same_population says that the test rows are the holdout, but there is no test"
        raise BadInput(Problem("same_population", what, fix="give test=… (--test FILE), or leave it out"))
    return same_population
