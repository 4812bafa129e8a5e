"""Slice columns: beside the features, never among them; every bad one gets its named error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from limen.data.embeddings import read_embeddings, read_population
from limen.data.slices import without
from limen.records.errors import BadInput
from limen.verbs.budget import budget

X = np.random.default_rng(0).normal(size=(60, 2))
Y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
AGE = np.arange(60) % 3
WHO = np.array(["ann", "bo", "cy"])[AGE]


def saved(folder: Path, suffix: str, **columns: object) -> Path:
    path = folder / f"rows{suffix}"
    if suffix == ".npz":
        np.savez(path, X=X, y=Y, **columns)  # type: ignore[arg-type]
        return path
    features = {"X": X.tolist()} if suffix == ".parquet" else {"a": X[:, 0], "b": X[:, 1]}
    table = pa.table({**features, "y": Y, **columns})
    if suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv"])
def test_categories_are_read_and_are_no_features(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path, suffix, who=WHO, age=AGE)
    rows = read_embeddings(path, slices=("who", "age"))
    assert rows.features.shape == (60, 2)
    assert rows.slices == {"who": tuple(WHO), "age": tuple(str(a) for a in AGE)}
    assert read_population(path, rows, slices=("who", "age")).slices == rows.slices
    if suffix == ".csv":  # the switch: an unnamed numeric column is a feature
        assert read_embeddings(path).features.shape == (60, 3)


def test_a_column_may_be_slice_and_group_or_label(tmp_path: Path) -> None:
    path = saved(tmp_path, ".csv", group=AGE)
    rows = read_embeddings(path, slices=("group", "y"))
    assert rows.groups is not None
    assert set(rows.slices) == {"group", "y"}
    table = pa.table({"y": [1], "label": [2], "age": [3]})
    assert without(table, ("y", "age"), ("label", None, None)).column_names == ["label"]


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv"])
def test_a_missing_column_is_named(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(BadInput, match="whoo"):
        read_embeddings(saved(tmp_path, suffix, who=WHO), slices=("whoo",))


def test_missing_values_and_wrong_lengths_are_named(tmp_path: Path) -> None:
    holes = [None, *WHO[1:]]
    with pytest.raises(BadInput, match="values are missing in 1 row"):
        read_embeddings(saved(tmp_path, ".parquet", who=holes), slices=("who",))
    with pytest.raises(BadInput, match="one category for each of 60 rows"):
        read_embeddings(saved(tmp_path, ".npz", who=WHO[:-1]), slices=("who",))


def test_budget_of_arrays_and_of_a_file_agree(tmp_path: Path) -> None:
    path = saved(tmp_path, ".npz", who=WHO)
    how = {"labels": ["all"], "seeds": 1, "radius": 2.0, "threads": 1, "rich_head": False}
    ours = budget(X, Y, slices={"who": WHO}, **how)  # type: ignore[arg-type]
    theirs = budget(path, slices=("who",), **how)  # type: ignore[arg-type]
    assert ours.slices == theirs.slices
    assert sum(part.n for part in ours.slices["who"].values()) == ours.n_holdout
    assert budget(path, **how).slices == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slices", "more"),
    [
        (("who",), {}),
        ({"who": WHO[:-1]}, {}),
        ({"who": WHO}, {"test": (X, Y), "same_population": True}),
    ],
)
def test_slices_that_do_not_fit_the_arrays(slices: object, more: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"slices|who"):
        budget(X, Y, slices=slices, **more)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="names of columns"):
        budget("rows.npz", slices={"who": WHO})


def test_a_test_file_needs_its_slice_columns_only_as_holdout(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    files = []
    for name, kept in (
        ("train", ["a", "b", "age", "y"]),
        ("with", ["a", "b", "age", "y"]),
        ("without", ["a", "b", "y"]),
    ):
        columns = {"a": draw.normal(size=80), "b": draw.normal(size=80), "age": np.arange(80) % 3}
        table = pa.table({**columns, "y": np.arange(80) % 2})
        pyarrow.csv.write_csv(table.select(kept), tmp_path / f"{name}.csv")
        files.append(tmp_path / f"{name}.csv")
    train, has, lacks = files
    how = {"labels": ["all"], "seeds": 1, "radius": 2.0, "slices": ("age",), "rich_head": False}
    for other in (has, lacks):
        assert set(budget(train, test=other, **how).slices["age"]) == {"0", "1", "2"}  # type: ignore[arg-type]
    held = budget(train, test=has, same_population=True, **how)  # type: ignore[arg-type]
    assert sum(part.n for part in held.slices["age"].values()) == held.n_holdout == 80
    with pytest.raises(BadInput, match="age"):
        budget(train, test=lacks, same_population=True, **how)  # type: ignore[arg-type]
