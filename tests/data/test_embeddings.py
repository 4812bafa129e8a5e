"""Laws of the readers: what was saved is what is read, and every bad input gets its own error."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limen.data.arrays import from_arrays
from limen.data.embeddings import read_embeddings, read_population
from limen.records.errors import BadInput

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.array(["cat", "dog", "emu"] * 4)


def save_npz(path: Path, x: Any, y: Any, **more: Any) -> Path:
    np.savez(path, X=x, y=y, **more)
    return path


def save_parquet(path: Path, x: Any, y: Any, **more: Any) -> Path:
    table = {"X": pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(x)), x.shape[1]), "label": list(y), **more}
    pq.write_table(pa.table(table), path)
    return path


def save_csv(path: Path, x: Any, y: Any, **more: Any) -> Path:
    table = {f"x{k}": x[:, k] for k in range(x.shape[1])} | {"y": list(y), **more}
    pyarrow.csv.write_csv(pa.table(table), path)
    return path


SAVERS = {".npz": save_npz, ".parquet": save_parquet, ".csv": save_csv}


def save(folder: Path, suffix: str, x: Any = X, y: Any = Y, **more: Any) -> Path:
    return SAVERS[suffix](folder / f"rows{suffix}", x, y, **more)


def says(path: Path, *fragments: str, **options: Any) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_embeddings(path, **options)
    for fragment in fragments:
        assert fragment in str(caught.value), str(caught.value)
    return caught.value


@pytest.mark.parametrize("suffix", SAVERS)
def test_what_was_saved_is_read(tmp_path: Path, suffix: str) -> None:
    rows = read_embeddings(save(tmp_path, suffix))
    assert np.array_equal(rows.features, X)
    assert rows.features.dtype == np.float64
    assert [rows.classes[k] for k in rows.labels] == Y.tolist()
    assert rows.classes == ("cat", "dog", "emu")
    assert rows.dropped_columns == rows.notes == ()
    assert rows.groups is None
    assert rows.ids is None


@pytest.mark.parametrize("suffix", SAVERS)
def test_groups_and_ids_are_read_by_their_usual_names_and_by_others(tmp_path: Path, suffix: str) -> None:
    ids, speakers = [f"r{i}" for i in range(12)], ["ann", "bob"] * 6
    rows = read_embeddings(save(tmp_path, suffix, id=ids, group=speakers))
    assert rows.ids == tuple(ids)
    assert rows.groups is not None
    assert rows.groups.tolist() == [0, 1] * 6
    other = read_embeddings(save(tmp_path, suffix, key=ids, who=speakers), id_column="key", group="who")
    assert (other.ids, other.groups.tolist()) == (rows.ids, rows.groups.tolist())  # type: ignore[union-attr]
    assert other.features.shape == (12, 3)


@pytest.mark.parametrize(("stored", "kept"), [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), (">f4", "f4")])
def test_float_widths(tmp_path: Path, stored: str, kept: str) -> None:
    x = X.astype(stored)
    rows = read_embeddings(save(tmp_path, ".npz", x=x))
    assert rows.features.dtype == np.dtype(kept)
    assert np.array_equal(rows.features, x.astype(kept))


@pytest.mark.parametrize(("stored", "kept"), [("i8", "f8"), ("u1", "f4"), ("?", "f4"), ("i4", "f8")])
def test_integer_features_are_converted_and_it_is_noted(tmp_path: Path, stored: str, kept: str) -> None:
    x = (np.arange(36).reshape(12, 3) % 5 % 2).astype(stored)
    rows = read_embeddings(save(tmp_path, ".npz", x=x))
    assert rows.features.dtype == np.dtype(kept)
    assert np.array_equal(rows.features, x.astype(kept))
    assert any("converted to float" in note for note in rows.notes)


@pytest.mark.parametrize("suffix", SAVERS)
def test_integer_classes_sort_by_value_and_boolean_ones_by_name(tmp_path: Path, suffix: str) -> None:
    assert read_embeddings(save(tmp_path, suffix, y=np.array([10, 9, 100] * 4))).classes == ("9", "10", "100")
    rows = read_embeddings(save(tmp_path, suffix, y=np.array([True, False] * 6)))
    assert [name.lower() for name in rows.classes] == ["false", "true"]
    assert rows.labels.tolist() == [1, 0] * 6


def test_float_labels_that_are_integers_are_classes() -> None:
    assert from_arrays(X, np.array([1.0, 0.0] * 6)).classes == ("0", "1")


def test_constant_columns_are_dropped_and_kept_in_mind(tmp_path: Path) -> None:
    x = np.column_stack([np.ones(12), X, np.zeros(12)])
    train = read_embeddings(save(tmp_path, ".npz", x=x))
    assert train.dropped_columns == (0, 4)
    assert np.array_equal(train.features, X)
    assert any("0, 4" in note for note in train.notes)
    shifted = np.column_stack([np.arange(12), X + 1, np.arange(12)])
    test = read_population(save(tmp_path, ".npz", x=shifted), train)
    assert np.array_equal(test.features, X + 1)
    assert test.dropped_columns == (0, 4)


def test_a_population_keeps_the_columns_and_classes_of_train(tmp_path: Path) -> None:
    train = read_embeddings(save(tmp_path, ".npz"))
    one = save(tmp_path, ".npz", x=np.ones((3, 3)), y=np.array(["emu"] * 3))
    test = read_population(one, train)
    assert test.classes == train.classes
    assert test.labels.tolist() == [2, 2, 2]
    assert test.features.shape == (3, 3)
    says(save(tmp_path, ".npz", y=np.array(["cat", "owl", "yak"] * 4)), "owl, yak", "8 rows", classes=train.classes)
    with pytest.raises(BadInput, match="expected 3 feature columns as in the train rows, got 2"):
        read_population(save(tmp_path, ".npz", x=X[:, :2]), train)


@pytest.mark.parametrize("suffix", SAVERS)
def test_non_finite_features_are_counted_and_located(tmp_path: Path, suffix: str) -> None:
    x = X.copy()
    x[4, 0] = x[4, 1] = np.nan
    x[7, 2] = -np.inf
    says(save(tmp_path, suffix, x=x), "3 NaN or infinite values", "rows 4, 7")


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    x = X.copy()
    x[1, 1] = np.nan
    error = says(save(tmp_path, ".npz", x=x, y=np.linspace(0, 1, 11), id=np.arange(12) // 2))
    text = str(error)
    assert len(error.problems) == 4
    for fragment in ("row 1", "continuous values", "got 11", "6 ids recur"):
        assert fragment in text


BAD_ARRAYS: list[tuple[Any, Any, str]] = [
    (np.ones((12, 3)), Y, "all 3 columns are constant"),
    (X, np.array(["cat"] * 12), "at least two classes, got one: cat"),
    (X, Y[:5], "got 5"),
    (X, np.linspace(0, 1, 12), "continuous values"),
    (X, np.full(12, np.nan), "labels are missing in 12 rows"),
    (X, np.eye(12), "multi-label"),
    (X, np.arange(12), "a class of its own"),
    (X, np.array(["cat", ""] * 6), "labels are missing in 6 rows"),
    (X, Y.astype("S").view("V3"), "expected integer or string labels"),
    (X[:, 0], Y, "shape [12]"),
    (X.reshape(12, 3, 1), Y, "shape [12, 3, 1]"),
    (X[:0], Y[:0], "at least one row"),
    (X[:, :0], Y, "at least one row and one column"),
    (X + 1j, Y, "got complex128"),
    (X.astype(np.longdouble), Y, "expected features of type"),
    (X.astype(str), Y, "expected features of type"),
    (X.astype("datetime64[s]"), Y, "expected features of type"),
]


@pytest.mark.parametrize(("x", "y", "message"), BAD_ARRAYS, ids=[m for _, _, m in BAD_ARRAYS])
def test_bad_arrays_are_refused_in_files_and_in_memory(tmp_path: Path, x: Any, y: Any, message: str) -> None:
    says(save_npz(tmp_path / "rows.npz", x, y), message, str(tmp_path / "rows.npz"))
    with pytest.raises(BadInput) as caught:
        from_arrays(x, y)
    assert message in str(caught.value)


class Canary:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload = np.array([Canary(canary)] * 2, dtype=object)
    says(save(tmp_path, ".npz", x=payload), "X", "object array", "not opened", "numpy.savez")
    says(save(tmp_path, ".npz", y=payload), "y", "object array")
    says(save(tmp_path, ".npz", group=payload), "group", "object array")
    for suffix in (".npz", ".csv", ".parquet"):
        file = tmp_path / f"pickle{suffix}"
        file.write_bytes(pickle.dumps(Canary(canary)))
        says(file, "pickle", "not opened")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Canary(canary)))
    says(tmp_path / "x.pkl", "got .pkl", "never opened")
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))  # the canary does sing
    assert canary.exists()


@pytest.mark.parametrize("suffix", SAVERS)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, suffix: str) -> None:
    for other in SAVERS:
        if other != suffix:
            wrong = tmp_path / f"wrong{suffix}"
            wrong.write_bytes(save(tmp_path, other).read_bytes())
            says(wrong, f"its name says {suffix}", "its content is")


@pytest.mark.parametrize("suffix", SAVERS)
def test_empty_missing_and_odd_paths(tmp_path: Path, suffix: str) -> None:
    empty = tmp_path / f"empty{suffix}"
    empty.touch()
    says(empty, "empty file")
    says(tmp_path / f"emtpy{suffix}", "no such file", f"did you mean empty{suffix}?")
    says(tmp_path / f"{'x' * 400}{suffix}", "error")
    says(tmp_path / f"a\0b{suffix}", "error")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    says(folder, "got a directory")
    says(tmp_path / "none" / f"x{suffix}", "no such file")
    unknown = tmp_path / "rows.npzz"
    unknown.touch()
    says(unknown, "got .npzz", "did you mean .npz?")


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    whole = save(tmp_path, suffix).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for length in range(1, len(whole), max(1, len(whole) // 40)):
        cut.write_bytes(whole[:length])
        says(cut)
    cut.write_bytes(whole[:-10])
    says(cut, "truncated")


def test_a_flipped_bit_in_an_npz_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path, ".npz")
    whole = bytearray(path.read_bytes())
    whole[whole.find(X[3].tobytes())] ^= 1
    path.write_bytes(whole)
    says(path, "CRC")


def test_a_header_that_promises_more_than_the_archive_holds(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**4)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("X.npy", buffer.getvalue())
        archive.writestr("y.npy", buffer.getvalue())
    says(tmp_path / "bomb.npz", "the header promises")


def test_arrays_larger_than_the_free_memory_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, ".npz")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=X.nbytes))
    says(path, "GB of memory", "fewer rows")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=X.nbytes + Y.nbytes))
    assert len(read_embeddings(path)) == 12


def test_missing_arrays_and_columns_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=X, labels=Y)
    error = says(tmp_path / "a.npz", "an array X", "an array y", "features, labels")
    assert len(error.problems) == 2
    says(save(tmp_path, ".npz", labels=Y), "did you mean labels?", label="lables")
    pq.write_table(pa.table({"X": X.tolist(), "lable": Y.tolist()}), tmp_path / "a.parquet")
    says(tmp_path / "a.parquet", "X, lable", "did you mean lable?")
    says(tmp_path / "a.parquet", "no column speaker", label="lable", group="speaker")
    pq.write_table(pa.table({"text": Y.tolist(), "label": Y.tolist()}), tmp_path / "b.parquet")
    says(tmp_path / "b.parquet", "text (string)", "numeric columns")


def test_tables_that_hold_the_wrong_things(tmp_path: Path) -> None:
    ragged = pa.table({"X": [[1.0, 2.0], [1.0], [1.0, 4.0], None], "y": [0, 1, 0, 1]})
    pq.write_table(ragged, tmp_path / "r.parquet")
    says(tmp_path / "r.parquet", "lists of 2 numbers", "row 1", "missing in 1 row (row 3)")
    pq.write_table(pa.table({"X": [["a"], ["b"]], "y": [0, 1]}), tmp_path / "r.parquet")
    says(tmp_path / "r.parquet", "lists of numbers")
    pq.write_table(pa.table({"X": [[1.0], [2.0]], "y": ["a", None]}), tmp_path / "r.parquet")
    says(tmp_path / "r.parquet", "labels are missing in 1 row (row 1)")
    pq.write_table(pa.table({"X": [[1.0], [None]], "y": ["a", "b"]}), tmp_path / "r.parquet")
    says(tmp_path / "r.parquet", "1 NaN or infinite")
    pq.write_table(pa.table({"X": [[1.0]], "y": ["a"]}).slice(0, 0), tmp_path / "r.parquet")
    says(tmp_path / "r.parquet", "without any")


def test_csv_without_header_with_torn_lines_and_with_words_among_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("0.1,0.2,1\n0.3,0.4,2\n")
    says(file, "header line is missing")
    file.write_text("a,b,y\n0.1,0.2,1\n0.3,0.4\n")
    says(file, "lines of different length")
    file.write_text("a,b,y\n0.1,0.2,u\n0.3,0.4,v\noops,0.5,u\n")
    says(file, "'oops' in 1 row (row 2)")
    file.write_bytes(b"a,b,y\n0.1,\xff\xfe\xfa,1\n")
    says(file)
    file.write_text("a,b,b,y\n0.1,1,2,u\n0.3,3,4,v\n")
    says(file, "more than once")


def test_columns_that_are_not_used_are_noted(tmp_path: Path) -> None:
    rows = read_embeddings(save(tmp_path, ".csv", text=["some words"] * 12))
    assert rows.notes == ("columns not used: text",)


@pytest.mark.parametrize("suffix", SAVERS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_bytes_never_do_anything_but_BadInput(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    start = {".npz": b"PK\x03\x04", ".parquet": b"PAR1", ".csv": b"a,y\n"}[suffix]
    file = tmp_path / f"random{suffix}"
    file.write_bytes(data.draw(st.sampled_from([b"", start])) + data.draw(st.binary(max_size=300)))
    try:
        read_embeddings(file)
    except BadInput as error:
        assert error.problems  # noqa: PT017


@pytest.mark.parametrize("suffix", SAVERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_never_do_anything_but_BadInput(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    whole = bytearray(save(tmp_path, suffix).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / f"damaged{suffix}"
    file.write_bytes(whole)
    try:
        rows = read_embeddings(file)
    except BadInput as error:
        assert error.problems  # noqa: PT017
    else:
        assert np.isfinite(rows.features).all()


def test_real_embeddings(shared_data: Path) -> None:
    train = read_embeddings(shared_data / "banking77" / "minilm-train.npz")
    test = read_population(shared_data / "banking77" / "minilm-test.npz", train)
    assert train.features.shape == (10003, 384)
    assert test.features.shape == (3080, 384)
    assert len(train.classes) == 77
    assert np.bincount(test.labels).tolist() == [40] * 77


def test_an_archive_without_arrays_is_not_an_npz(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("document.xml", "<x/>")
    says(tmp_path / "a.npz", "without arrays", "document.xml")
    with zipfile.ZipFile(tmp_path / "a.npz", "w"):
        pass
    says(tmp_path / "a.npz", "without arrays", "none")


def test_reading_embeddings_needs_neither_torch_nor_scikit_learn(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom limen.data.embeddings import read_embeddings\n"
        "import limen.data.tables, limen.data.fingerprint\n"
        f"read_embeddings({str(save(tmp_path, '.npz'))!r})\n"
        "assert not {'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__", "index", "level_0"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_index_of_a_data_frame_is_no_feature(tmp_path: Path, name: str, suffix: str) -> None:
    table = pa.table({name: [7.5, *range(11)], "x0": X[:, 0], "x1": X[:, 1], "y": list(Y)})
    file = tmp_path / f"a{suffix}"
    pyarrow.csv.write_csv(table, file) if suffix == ".csv" else pq.write_table(table, file)
    rows = read_embeddings(file)
    np.testing.assert_array_equal(rows.features, X[:, :2])
    assert any(repr(name) in note and "not used as a feature" in note for note in rows.notes)


@pytest.mark.parametrize("first", [0, 1, 500])
def test_consecutive_numbers_of_rows_are_no_feature(tmp_path: Path, first: int) -> None:
    order = first + np.random.default_rng(1).permutation(12)
    rows = read_embeddings(save(tmp_path, ".csv", row=order))
    np.testing.assert_allclose(rows.features, X)
    assert any("'row'" in note and "numbers the rows" in note for note in rows.notes)
    twice = order.copy()
    twice[0] = twice[1]
    for feature in (order + 0.5, 2 * order, twice):
        rows = read_embeddings(save(tmp_path, ".csv", row=feature))
        np.testing.assert_allclose(rows.features, np.column_stack([X, feature]))
        assert rows.notes == ()


def test_row_numbers_alone_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    pyarrow.csv.write_csv(pa.table({"Unnamed: 0": list(range(12)), "row": list(range(12)), "y": list(Y)}), file)
    with pytest.raises(BadInput, match=r"row numbers only.*'Unnamed: 0'.*'row'"):
        read_embeddings(file)


def test_damaged_parquet_never_ends_the_process(tmp_path: Path) -> None:
    """Arrow aborts where a damaged footer's column chunks are looked at: two in some hundred of these files did."""
    whole = save(tmp_path, ".parquet")
    code = f"""
import random
from pathlib import Path
from limen.data.embeddings import read_embeddings
from limen.records.errors import BadInput
whole, file = Path({str(whole)!r}).read_bytes(), Path({str(tmp_path / "damaged.parquet")!r})
for seed in range(400):
    rng, damaged = random.Random(seed), bytearray(whole)
    for _ in range(rng.randint(1, 8)):
        damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 2, 128, 255, rng.randint(0, 255)])
    file.write_bytes(damaged)
    try:
        read_embeddings(file)
    except BadInput:
        pass
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-500:]
