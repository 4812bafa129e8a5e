"""Embeddings with labels from one file: the reader of `limen budget FILE` and of `source = "embeddings"`.

.npz      arrays X [n, d] and y [n] (optional: group, id); never unpickled
.npy      features [n, d] alone; labels (and group, id) in .npy files of their own, named by `label`
.parquet  one list column X, embedding or embeddings, or numeric columns; label column y or label
.csv      numeric columns and a label column y or label

Features of more than 0.5 GB as float64 in a .npy or .parquet file are not read into memory: they stay in the file (or
in a temporary one, where the file does not hold plain rows) and are read in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limen.data.checks import labelled_features
from limen.data.columns import raw_rows
from limen.data.csv import read_csv
from limen.data.files import present_file
from limen.data.large_parquet import is_large, large_parquet_rows
from limen.data.npy import is_npy, read_npy
from limen.data.npz import read_npz
from limen.data.parquet import read_parquet
from limen.data.phrases import did_you_mean
from limen.data.raw import RawRows
from limen.data.slices import npz_slices, table_slices, without
from limen.records.errors import BadInput, Problem
from limen.records.task import LabelledFeatures

SUFFIXES = (".npz", ".npy", ".parquet", ".csv")


def read_embeddings(
    path: str | Path,
    *,
    label: str | None = None,
    id_column: str | None = None,
    group: str | None = None,
    slices: Sequence[str] = (),
    classes: Sequence[str] | None = None,
) -> LabelledFeatures:
    """Features [n, d] and labels [n] of one file, checked; see `limen.data.checks` for what is kept and dropped.

    `label`, `id_column` and `group` name arrays or columns other than y/label, id and group. With `classes` (those of
    the train rows) labels are coded by them and no column is dropped; `read_population` also matches the columns.
    `slices` names columns of categories; they are kept beside the features and are none.

    Raises BadInput with every problem found: a file that is missing, empty, damaged or not what its name says,
    pickles, missing columns, wrong types and shapes, NaN or infinite features, all columns constant, one class,
    unequal lengths, continuous or multi-label y, repeated ids, classes that the train rows do not have.

    >>> import tempfile; folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "rows.npz"); np.savez(file, X=np.eye(2), y=["b", "a"])
    >>> rows = read_embeddings(file)
    >>> rows.features.tolist(), rows.labels.tolist(), rows.classes
    ([[1.0, 0.0], [0.0, 1.0]], [1, 0], ('a', 'b'))
    >>> folder.cleanup()
    """
    raw, kept = _read(Path(path), (label, group, id_column), slices)
    return replace(labelled_features(raw, classes), slices=kept)


def read_population(
    path: str | Path,
    train: LabelledFeatures,
    *,
    label: str | None = None,
    id_column: str | None = None,
    group: str | None = None,
    slices: Sequence[str] = (),
) -> LabelledFeatures:
    """A further population (test, shift) of the task whose train rows are given: same classes, same columns.

    The columns that were constant in the train rows are dropped here as well, whatever they hold.
    Raises BadInput like `read_embeddings`, for another number of columns, and for a .npy file, whose labels would have
    to be named apart from those of the train rows.
    """
    if is_npy(str(path)):
        what = "expected labels in the file of a further population; a .npy file holds features alone"
        raise BadInput(Problem(str(path), what, fix="save X and y as .npz or .parquet, or pass arrays to limen.budget"))
    found = read_embeddings(path, label=label, id_column=id_column, group=group, slices=slices, classes=train.classes)
    return match_population(found, train, str(path))


def match_population(rows: LabelledFeatures, train: LabelledFeatures, where: str) -> LabelledFeatures:
    """The rows without the columns that were dropped from the train rows. Raises BadInput for another width."""
    width = train.features.shape[1] + len(train.dropped_columns)
    found = rows.features.shape[1]
    if found != width:
        raise BadInput(
            Problem(
                where,
                f"expected {width:,} feature columns as in the train rows, got {found:,}",
                cause="embeddings of another encoder, or other columns in one of the files",
                fix="compute both files with the same encoder",
            )
        )
    if not train.dropped_columns:
        return rows
    kept = np.delete(rows.features, train.dropped_columns, axis=1)
    return replace(rows, features=kept, dropped_columns=train.dropped_columns)


def _read(
    path: Path, named: tuple[str | None, str | None, str | None], slices: Sequence[str]
) -> tuple[RawRows, dict[str, tuple[str, ...]]]:
    """The rows and the categories of the slice columns; `named` = label, group and id columns asked for."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        present_file(path)
        got = suffix or "no suffix"
        near = did_you_mean(suffix, SUFFIXES)
        unread = "; it may be a pickle, which is never opened" if suffix in (".pt", ".pkl", ".joblib") else ""
        fix = f"{near} save X and y with numpy.savez(path, X=X, y=y)".strip()
        raise BadInput(Problem(str(path), f"expected a .npz, .npy, .parquet or .csv file, got {got}{unread}", fix=fix))
    if suffix == ".npz":
        rows = read_npz(path, *named)
        return rows, npz_slices(path, slices, len(rows.labels))
    if suffix == ".npy":
        if slices:
            what = "a .npy file has no columns to slice by"
            raise BadInput(Problem(str(path), what, fix="save .parquet or .csv, or give arrays to limen.budget"))
        return read_npy(path, *named), {}
    if suffix == ".parquet" and is_large(path):
        return large_parquet_rows(path, named, slices)
    table = read_parquet(path) if suffix == ".parquet" else read_csv(path)
    kept = table_slices(path, table, slices)
    return raw_rows(path, without(table, slices, named), *named), kept
