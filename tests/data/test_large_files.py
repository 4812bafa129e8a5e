"""Files read in blocks give the rows that reading them whole gives, and the same errors with the same row numbers."""

from __future__ import annotations

import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limen.arrays.row_blocks import in_file
from limen.data import checks, large_parquet, npy
from limen.data.arrays import from_arrays
from limen.data.embeddings import read_embeddings, read_population
from limen.records.errors import BadInput
from limen.verbs.budget import budget

RNG = np.random.default_rng(0)
N, D = 20_000, 4
X = RNG.normal(size=(N, D)).astype(np.float32)
Y = RNG.integers(0, 3, N)


@pytest.fixture(params=["held", "in blocks"])
def size(request, monkeypatch):
    """Both ways of reading; the second with a limit that every file of this module exceeds."""
    if request.param == "in blocks":
        for module in (checks, large_parquet, npy):
            monkeypatch.setattr(module, "LARGE_BYTES", 1000)
    return request.param


def saved(folder, x, y=Y):
    np.save(folder / "X.npy", x)
    np.save(folder / "y.npy", y)
    return folder / "X.npy"


def says(*fragments, read):
    with pytest.raises(BadInput) as caught:
        read()
    for fragment in fragments:
        assert fragment in str(caught.value), str(caught.value)


FORMS = {
    "float32": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "int8": lambda x: (20 * x).astype(np.int8),
    "column after column": np.asfortranarray,
    "a constant column": lambda x: np.column_stack([x[:, :1], np.ones(len(x), np.float32), x]),
}


@pytest.mark.parametrize("form", FORMS)
def test_npy_features_are_those_of_arrays(form, size, tmp_path):
    x = FORMS[form](X)
    rows, arrays = read_embeddings(saved(tmp_path, x), label=str(tmp_path / "y.npy")), from_arrays(x, Y)
    assert in_file(rows.features) == (size == "in blocks")
    assert rows.features.dtype == arrays.features.dtype
    assert np.array_equal(rows.features, arrays.features)
    assert rows.features.flags.c_contiguous
    assert np.array_equal(rows.labels, arrays.labels)
    assert rows.dropped_columns == arrays.dropped_columns
    assert [note.split()[1:] for note in rows.notes] == [note.split()[1:] for note in arrays.notes]


def test_labels_groups_and_ids_lie_beside_the_features(size, tmp_path):
    path = saved(tmp_path, X, np.array(["b", "a"])[Y % 2])
    np.save(tmp_path / "g.npy", Y)
    np.save(tmp_path / "i.npy", np.arange(N))
    rows = read_embeddings(path, label="y.npy", group="g.npy", id_column="i.npy")  # found beside X.npy
    assert rows.classes == ("a", "b")
    assert np.array_equal(rows.groups, Y)
    assert rows.ids[:2] == ("0", "1")


def test_npy_mistakes_have_a_name(size, tmp_path):
    path, label = saved(tmp_path, X), str(tmp_path / "y.npy")
    says("labels", "--label y.npy", read=lambda: read_embeddings(path))
    says("label", "expected a .npy file", read=lambda: read_embeddings(path, label="y"))
    says("z.npy", "no such file", read=lambda: read_embeddings(path, label=str(tmp_path / "z.npy")))
    train = read_embeddings(path, label=label)
    says("further population", ".npz", read=lambda: read_population(path, train, label=label))
    says("slice", read=lambda: read_embeddings(path, label=label, slices=["who"]))
    np.save(tmp_path / "y.npy", Y[:-1])
    says("20,000 rows", "19,999", read=lambda: read_embeddings(path, label=label))
    np.save(tmp_path / "y.npy", Y + 0.5)
    says("continuous", read=lambda: read_embeddings(path, label=label))
    saved(tmp_path, X.astype(np.complex64))
    says("complex64", "float32", read=lambda: read_embeddings(path, label=label))
    saved(tmp_path, X.ravel())
    says("[n, d]", read=lambda: read_embeddings(path, label=label))
    saved(tmp_path, np.array([object()] * 200_000, dtype=object), Y)
    says("object array", "not opened", read=lambda: read_embeddings(path, label=label))
    whole = saved(tmp_path, X).read_bytes()
    path.write_bytes(whole[:-5])
    says("sound .npy file", "truncated", read=lambda: read_embeddings(path, label=label))
    path.write_bytes(b"PAR1" + whole)
    says("its name says .npy", read=lambda: read_embeddings(path, label=label))
    path.write_bytes(b"")
    says("empty", read=lambda: read_embeddings(path, label=label))


@pytest.mark.parametrize("kind", ["npy", "list column", "numeric columns"])
def test_nan_is_named_with_its_row(kind, size, tmp_path):
    x = X.copy()
    x[[3, 15_007], [1, 2]] = np.nan, np.inf
    path = saved(tmp_path, x) if kind == "npy" else parquet(tmp_path, x, kind)
    label = str(tmp_path / "y.npy") if kind == "npy" else None
    says("2 NaN or infinite values in 2 rows (rows 3, 15007)", read=lambda: read_embeddings(path, label=label))


def parquet(folder, x, kind, **more):
    if kind == "numeric columns":
        columns = {f"f{k}": x[:, k] for k in range(x.shape[1])}
    else:
        columns = {"X": x if isinstance(x, pa.Array) else pa.FixedSizeListArray.from_arrays(x.ravel(), x.shape[1])}
    table = pa.table({"row": np.arange(N), "words": ["w"] * N, **columns, "label": Y, **more})
    pq.write_table(table, folder / "x.parquet", row_group_size=3000)
    return folder / "x.parquet"


@pytest.mark.parametrize("kind", ["list column", "numeric columns"])
def test_parquet_features_are_those_of_arrays(kind, size, tmp_path):
    group = RNG.integers(0, 500, N)
    path = parquet(tmp_path, X, kind, who=["x", "y"] * (N // 2), group=group)
    rows = read_embeddings(path, slices=["who"])
    assert in_file(rows.features) == (size == "in blocks")
    assert np.array_equal(rows.features, X)
    assert np.array_equal(rows.labels, Y)
    assert np.array_equal(rows.groups, np.unique(group, return_inverse=True)[1])
    assert rows.slices["who"][:3] == ("x", "y", "x")
    assert any("words" in note for note in rows.notes)
    assert (kind == "numeric columns") == any("numbers the rows" in note for note in rows.notes)


def test_parquet_mistakes_have_a_name(size, tmp_path):
    lists = X.tolist()
    lists[12_345] = [1.0]
    path = parquet(tmp_path, pa.array(lists), "list column")
    says("12345", read=lambda: read_embeddings(path))
    lists[12_345] = None
    says(
        "missing in 1 row (row 12345)", read=lambda: read_embeddings(parquet(tmp_path, pa.array(lists), "list column"))
    )
    other = [[1.0] if row >= 16_384 else value for row, value in enumerate(X.tolist())]  # from a block on
    says("other lengths" if size == "held" else "16,384",
         read=lambda: read_embeddings(parquet(tmp_path, pa.array(other), "list column")))  # fmt: skip
    says("no column who", read=lambda: read_embeddings(path, slices=["who"]))
    says("no column target", read=lambda: read_embeddings(path, label="target"))


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "LARGE_BYTES", 1000)
    monkeypatch.setattr(npy, "LARGE_BYTES", 1000)
    path = saved(tmp_path, X.astype(np.float16))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        says("TMPDIR", "refused", read=lambda: read_embeddings(path, label=str(tmp_path / "y.npy")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_budget_takes_labels_beside_a_npy_file(size, tmp_path):
    x = X[:400] + 2 * Y[:400, None]
    path = saved(tmp_path, x, Y[:400])
    asked = {"loss": "squared", "labels": [100, "all"], "seeds": 1, "rich_head": False}
    arrays = budget(x, Y[:400], **asked).terms
    for y in (Y[:400], tmp_path / "y.npy", "y.npy"):
        assert budget(path, y, **asked).terms["adaptation_loss"].value == arrays["adaptation_loss"].value
    assert budget(path, label="y.npy", **asked).terms["error"].value == arrays["error"].value
