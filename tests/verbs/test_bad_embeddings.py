"""Bad embeddings at the command line: what, where, what was kept, what to do; exit 2; nothing written or executed."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Refused = Callable[..., dict[str, Any]]


def with_at(x: Any, place: tuple[int, int], value: float) -> Any:
    changed = x.copy()
    changed[place] = value
    return changed


BAD: dict[str, tuple[Callable[[Any, Any], tuple[Any, Any]], tuple[str, ...]]] = {
    "nan": (lambda x, y: (with_at(x, (7, 1), np.nan), y), ("rows.npz: X", "NaN", "7")),
    "inf": (lambda x, y: (with_at(x, (9, 2), -np.inf), y), ("rows.npz: X", "inf", "9")),
    "all columns constant": (lambda x, y: (np.ones_like(x), y), ("rows.npz: X", "constant")),
    "one class": (lambda x, y: (x, np.full(len(y), "cat")), ("rows.npz: y", "two classes", "cat")),
    "lengths": (lambda x, y: (x, y[:-1]), ("rows.npz", "300", "299")),
    "features of strings": (lambda x, y: (x.astype(str), y), ("rows.npz: X", "<U")),
    "complex features": (lambda x, y: (x.astype(complex), y), ("rows.npz: X", "complex")),
    "continuous labels": (lambda x, y: (x, x[:, 0]), ("rows.npz: y", "continuous", "single-label")),
    "multi-label": (lambda x, y: (x, np.stack([y, y], 1)), ("rows.npz: y", "[300, 2]")),
    "one feature vector": (lambda x, y: (x[:, 0], y), ("rows.npz: X", "[300]")),
    "no rows": (lambda x, y: (x[:0], y[:0]), ("rows.npz: X", "at least one row", "[0, 3]")),
    "few rows": (lambda x, y: (x[:20], y[:20]), ("at least 40 rows", "20")),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays(refused: Refused, rows: tuple[Any, Any], tmp_path: Path, name: str) -> None:
    change, says = BAD[name]
    x, y = change(*rows)
    np.savez(tmp_path / "rows.npz", X=x, y=y)
    refused("budget", tmp_path / "rows.npz", says=says)


def test_every_problem_at_once(refused: Refused, rows: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = rows
    np.savez(tmp_path / "rows.npz", X=with_at(x, (0, 0), np.nan), y=y.astype("<U4")[:-1])
    assert len(refused("budget", tmp_path / "rows.npz", says=("NaN", "299"))["errors"]) == 2


def test_some_constant_columns_are_dropped_and_named(
    limen: Callable[..., Any], rows: tuple[Any, Any], tmp_path: Path
) -> None:
    x, y = rows
    np.savez(tmp_path / "rows.npz", X=np.column_stack([x, np.ones(300)]), y=y)
    ended = limen("budget", tmp_path / "rows.npz", "--labels", "64,128", "--seeds", 1)
    assert ended.code == 0
    assert "dropped (3)" in ended.out
    assert "constant feature column" in ended.out


def test_more_labels_than_rows(refused: Refused, rows: tuple[Any, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", X=rows[0], y=rows[1])
    refused("budget", tmp_path / "rows.npz", "--labels", "100,5000", says=("5,000", "fit part", "all"))


def test_recurring_rows(refused: Refused, rows: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = rows
    fresh = np.random.default_rng(1).normal(size=(100, 3))
    np.savez(tmp_path / "rows.npz", X=x, y=y)
    np.savez(tmp_path / "other.npz", X=np.vstack([fresh, x[:10]]), y=np.append(y[:100], y[:10]))
    refused(
        "budget",
        tmp_path / "rows.npz",
        "--test",
        tmp_path / "other.npz",
        says=("test", "10 of the 110 rows", "at most 1", "remove them"),
    )


def test_a_test_file_of_another_width_or_class(refused: Refused, rows: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = rows
    np.savez(tmp_path / "rows.npz", X=x, y=y)
    np.savez(tmp_path / "narrow.npz", X=x[:, :2], y=y)
    np.savez(tmp_path / "emu.npz", X=x + 1, y=np.where(y == "cat", "emu", y))
    refused(
        "budget", tmp_path / "rows.npz", "--test", tmp_path / "narrow.npz", says=("narrow.npz", "3 feature", "got 2")
    )
    refused("budget", tmp_path / "rows.npz", "--test", tmp_path / "emu.npz", says=("emu.npz", "emu", "train classes"))


class Canary:
    """Unpickling it writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.file, "executed")


def test_pickles_are_refused_unread(refused: Refused, rows: tuple[Any, Any], tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    with io.BytesIO() as stream:
        np.lib.format.write_array(stream, np.array([canary] * 300, dtype=object), allow_pickle=True)
        pickled = stream.getvalue()
    np.savez(tmp_path / "rows.npz", X=rows[0])
    with zipfile.ZipFile(tmp_path / "rows.npz", "a") as archive:
        archive.writestr("y.npy", pickled)
    refused("budget", tmp_path / "rows.npz", says=("rows.npz: y", "object array", "not opened", "astype(str)"))
    for suffix in (".pkl", ".pt", ".joblib", ".npy", ".npz"):
        file = tmp_path / f"plain{suffix}"
        file.write_bytes(pickle.dumps(canary))
        refused("budget", file, says=(file.name, "its name says" if suffix in (".npz", ".npy") else "never opened"))
        file.unlink()
    assert not canary.file.exists()


def test_the_canary_would_sing(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Canary(tmp_path / "canary")))
    assert (tmp_path / "canary").read_text() == "executed"


def test_missing_columns(refused: Refused, rows: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = rows
    np.savez(tmp_path / "rows.npz", features=x, labels=y)
    refused("budget", tmp_path / "rows.npz", says=("array X", "array y", "features", "labels"))
    pq.write_table(pa.table({"x0": x[:, 0], "x1": x[:, 1], "intent": y}), tmp_path / "rows.parquet")
    refused("budget", tmp_path / "rows.parquet", says=("rows.parquet", "intent"))
    refused("budget", tmp_path / "rows.parquet", "--label", "intnt", says=("intnt", "did you mean", "intent"))
    refused("budget", tmp_path / "rows.parquet", "--label", "intent", "--group", "who", says=("who", "x0"))


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv"])
def test_empty_files_and_files_that_are_not_what_their_name_says(refused: Refused, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rows{suffix}"
    file.write_bytes(b"")
    refused("budget", file, says=(str(file), "empty"))
    file.write_bytes(b"<!DOCTYPE html><html>404</html>" if suffix != ".csv" else b"PK\x03\x04rest of a zip")
    refused("budget", file, says=(str(file), "its name says", "its content is"))


def test_files_that_do_not_match_are_not_compared(refused: Refused, rows: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = rows
    np.savez(tmp_path / "a.npz", X=x, y=y)
    np.savez(tmp_path / "b.npz", X=x[::-1], y=y[::-1])
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    refused("compare", a, says=("two or more",))
    refused("compare", a, b, says=("b.npz", "labels differ", "--id"))
    refused("compare", a, b, "--id", "id", says=("id",))
    refused("compare", a, a, says=("more than once",))
    np.savez(b, X=x, y=y)
    refused("compare", a, b, "--test", a, says=("one test file per encoder",))


def test_label_counts_of_a_call_are_accepted_or_refused_by_name() -> None:
    from limen.records.errors import BadInput
    from limen.verbs.budget import budget

    y = np.repeat([0, 1], 40)
    X = np.stack([y + np.arange(80) / 80, np.cos(np.arange(80))], axis=1)
    assert {point.n for point in budget(X, y, labels="all").curve} == {60}
    for wrong in ("every", [0.5], [True]):
        with pytest.raises(BadInput, match="labels: error: expected whole numbers"):
            budget(X, y, labels=wrong)  # type: ignore[arg-type]
