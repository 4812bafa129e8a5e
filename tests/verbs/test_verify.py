"""Laws of `verify`: a sound study passes, and one changed number, byte or file is named, however it is hidden."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import limen
from limen.records.stage import StageRecord
from limen.study.run import Opened, Options, open_study
from limen.verbs.recompute import differences

STUDY = """
name = "small"
[encoder.own]
source = "embeddings"
[task.rows]
train = "rows.npz"
test = "test.npz"
input = "features"
[adapt]
methods = ["linear-probe", "mean-classifier", "knn"]
labels = [64, 128]
seeds = 1
[adapt.linear-probe]
rich_head = false
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    rng = np.random.default_rng(0)
    for name, n in (("rows", 400), ("test", 100)):
        y = rng.integers(0, 2, n)
        np.savez(folder / f"{name}.npz", X=rng.normal(size=(n, 3)) + y[:, None], y=np.array(["cat", "dog"])[y])
    (folder / "study.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMEN_CACHE", str(folder / "cache"))
        assert limen.run(folder / "study.toml").exit_code == 0
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy" / "study.toml"


def test_a_sound_study_passes_and_says_what_was_done(study: Path) -> None:
    found = limen.verify(study)
    assert found.problems == ()
    assert (found.results, found.files, found.fits, found.budgets) == (5, 2, 3, 3)
    assert found.to_json()["fits"] == 3
    assert "3 fits" in found.text()


def test_a_file_written_in_place_is_found_although_its_hash_is_remembered(study: Path) -> None:
    data = study.with_name("rows.npz")
    old = data.stat().st_mtime_ns - 10**10
    os.utime(data, ns=(old, old))
    assert limen.verify(study).problems == ()  # the hash is remembered now
    size = data.stat().st_size
    with np.load(data) as old_rows:
        np.savez(data, X=old_rows["X"] + 1, y=old_rows["y"])
    assert data.stat().st_size == size
    os.utime(data, ns=(old, old))
    found = limen.verify(study)
    assert [Path(problem.where).name for problem in found.problems] == ["rows.npz"]
    assert (found.fits, found.budgets) == (0, 0)


def opened_of(study: Path) -> Opened:
    return open_study(study, Options(yes=True))


def changed(record: StageRecord, name: str, change: Callable[[Any], Any]) -> StageRecord:
    if name in record.arrays:
        values = np.array(record.arrays[name])
        values.ravel()[-1] = change(values.ravel()[-1])
        return replace(record, arrays={**record.arrays, name: values})
    return replace(
        record, data={**record.data, "final": {**record.data["final"], name: change(record.data["final"][name])}}
    )


@pytest.mark.parametrize("method", ["linear-probe", "mean-classifier", "knn"])
@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("fit_loss", lambda x: x + 1e-6, "losses of 1 fit rows"),
        ("curve_holdout_loss", lambda x: x - 1e-6, "losses of 1 holdout rows"),
        ("curve_holdout_prediction", lambda x: 1 - x, "predictions of 1 holdout rows"),
        ("population.test.loss", lambda x: x + 1e-6, "losses of 1 test rows"),
        ("population.test.prediction", lambda x: 1 - x, "predictions of 1 test rows"),
        ("fit_rows", lambda x: x + 1, "fit_rows: the rows are split otherwise"),
        ("holdout_labels", lambda x: 1 - x, "holdout_labels"),
        ("weights", lambda x: x + 1e-3, "follows from its weights"),
        ("loss", lambda x: x + 1e-6, "loss of the final probe"),
        ("gap", lambda x: x / 2 + 1e-6, "gap of the final probe"),
    ],
)
def test_one_changed_number_of_a_fit_is_named(
    made: Path, method: str, name: str, change: Callable[[Any], Any], says: str
) -> None:
    opened = opened_of(made / "study.toml")
    cell = next(c for c in opened.plan.cells.values() if c.label.endswith(method))
    if name in ("weights", "loss", "gap") and method != "linear-probe":
        assert "weights" not in opened.store.load(cell.key).arrays
        return
    assert differences(cell, opened.store.load) == []

    def load(key: str) -> StageRecord:
        record = opened.store.load(key)
        return changed(record, name, change) if key == cell.key else record

    found = differences(cell, load)
    assert found
    assert all(problem.where == cell.label for problem in found)
    assert says in "\n".join(problem.what for problem in found)


def test_changed_features_are_found_in_every_fit_on_them(made: Path) -> None:
    opened = opened_of(made / "study.toml")
    fits = [c for c in opened.plan.cells.values() if c.stage == "fit"]

    def load(key: str) -> StageRecord:
        record = opened.store.load(key)
        return (
            replace(record, arrays={"features": record.arrays["features"][::-1]})
            if record.kind == "features"
            else record
        )

    for cell in fits:
        assert differences(cell, load), cell.label
