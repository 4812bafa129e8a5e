"""Bad studies at the command line: every error with its place in the file, forecasts, weights and extras that lack."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SOUND = """\
name = "small"

[encoder.pixels]
source = "pixels"

[task.digits]
train = "digits:train"
input = "image"
label = "label"

[adapt]
methods = ["mean-classifier"]
labels = [64]
seeds = 2
"""

BAD = {
    "unknown key": (("seeds = 2", "seeds = 2\ncolour = 1"), ("study.toml:15:", "colour")),
    "misspelt key": (("labels =", "lables ="), ("study.toml:13:", "lables", "did you mean", "labels", "^")),
    "duplicate key": (("seeds = 2", "seeds = 2\nseeds = 3"), ("study.toml:15:", "seeds")),
    "wrong type": (("seeds = 2", 'seeds = "2"'), ("study.toml:14:", "adapt.seeds", "2")),
    "unknown method": (("mean-classifier", "mean-clasifier"), ("study.toml:12:", "mean-clasifier", "mean-classifier")),
    "a task without encoder": (('input = "image"', 'input = "text"'), ("study.toml:", "digits", "pixels")),
    "labels beyond the rows": (("[64]", "[64, 5000]"), ("study.toml:13:", "5,000", "1,010", "all")),
    "a table that is not there": (('"digits:train"', '"rows.parquet"'), ("study.toml:7:", "rows.parquet", "--data")),
    "a column that is not there": (('label = "label"', 'label = "lable"'), ("study.toml:9:", "lable", "label")),
    "no TOML": (("[adapt]", "[adapt"), ("study.toml:11:",)),
}


def study(folder: Path, *change: str) -> Path:
    path = folder / "study.toml"
    path.write_text(SOUND.replace(*change) if change else SOUND, encoding="utf-8")
    assert not change or path.read_text() != SOUND
    return path


@pytest.mark.parametrize("name", BAD)
def test_every_verb_refuses_and_check_says_the_same(
    refused: Callable[..., Any], limen: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    change, says = BAD[name]
    path = study(tmp_path, *change)
    for verb in ("run", "report", "status", "verify"):
        refused(verb, path, says=says)
    ended = limen("check", path)
    assert (ended.code, ended.out) == (2, "")
    assert all(fragment in ended.err for fragment in says)
    found = limen("check", path, "--json").document
    assert found["schema"] == "limen.check/1"
    assert found["errors"]
    assert found["cells"] is None
    assert not (tmp_path / "study.limen").exists()


def test_a_contradiction_shows_both_lines(refused: Callable[..., Any], tmp_path: Path) -> None:
    path = study(tmp_path, 'label = "label"', 'label = "label"\nsame_population = true')
    refused("run", path, says=("same_population", "test", "study.toml:10:"))


def test_all_errors_at_once(limen: Callable[..., Any], tmp_path: Path) -> None:
    path = study(tmp_path, "seeds = 2", 'seeds = "2"\ncolour = 1\nloss = "logg"')
    assert len(limen("check", path, "--json").document["errors"]) == 3


PRETRAIN = """\
[encoder.e{}]
source = "pretrain"
input = "image"
data = "digits:train"
heldout = 0.2
objective = "nt-xent"
architecture = {{ name = "conv", width = 16 }}
steps = 1000
batch_size = 32
optimizer = {{ name = "sgd", learning_rate = 0.1 }}
checkpoints = 10
seeds = 5000
"""
TASK = '[task.t{}]\ntrain = "digits:train"\ninput = "image"\nlabel = "label"\n'
METHODS = '[adapt]\nmethods = ["linear-probe", "mean-classifier"]\nlabels = [64]\n'
GRID = "".join([PRETRAIN.format(i) for i in range(10)] + [TASK.format(i) for i in range(10)]) + METHODS


def test_ten_million_cells_are_forecast_and_need_a_yes(
    refused: Callable[..., Any], limen: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f'name = "grid"\n{GRID}')
    begun = time.perf_counter()
    found = limen("check", path, "--json").document
    assert found["cells"] > 9_990_000
    assert found["minutes"]["low"] > 1000
    assert time.perf_counter() - begun < 20
    begun = time.perf_counter()
    ended = limen("run", path)
    assert time.perf_counter() - begun < 20
    assert ended.code == 2
    assert "--yes" in ended.err
    assert f"{found['cells']:,} cells" in ended.err
    assert not (tmp_path / "study.limen").exists()


REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
MINILM = '[encoder.minilm]\nsource = "sentence-transformers"\ninput = "text"\n'
HUB = f'{MINILM}path = "sentence-transformers/all-MiniLM-L6-v2"\nrevision = "{REVISION}"\n'
TEXT = '[task.notes]\ntrain = "notes.csv"\ninput = "text"\n'


def texts(folder: Path, encoder: str) -> Path:
    (folder / "notes.csv").write_text("text,label\n" + "".join(f"word{i},{i % 2}\n" for i in range(200)))
    path = folder / "study.toml"
    path.write_text(f'name = "texts"\n{encoder}{TEXT}[adapt]\nmethods = ["mean-classifier"]\nlabels = [32]\n')
    return path


def timed(command: list[str], output: Path, place: dict[str, str]) -> tuple[int, str, float]:
    """Exit code, output and own processor seconds: what the wall clock shows on a machine that is not busy."""
    with output.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, env=place) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, output.read_text("utf-8"), usage.ru_utime + usage.ru_stime


def test_missing_weights_offline_are_named_within_five_seconds(tmp_path: Path) -> None:
    path = texts(tmp_path, HUB)
    place = {**os.environ, "HF_HOME": str(tmp_path / "hub")}
    for verb in ("check", "run"):
        command = [sys.executable, "-m", "limen", verb, str(path)]
        code, said, seconds = timed(command, tmp_path / "said.txt", place)
        assert seconds < 5
        assert code == 2
        assert "study.toml:5:" in said
        assert f"sentence-transformers/all-MiniLM-L6-v2 --revision {REVISION}" in said
        assert "Traceback" not in said
    assert not (tmp_path / "study.limen").exists()


EMBEDDED = """\
name = "own"

[encoder.own]
source = "embeddings"
input = "features"

[task.rows]
train = "rows.npz"
input = "features"

[adapt]
methods = ["mean-classifier"]
labels = ["all"]
"""
SIDES = np.repeat([0, 1], 30)
ROWS = np.stack([SIDES + np.arange(60) / 60, np.cos(np.arange(60))], axis=1)


def embedded(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "rows.npz", **arrays)
    path = folder / "study.toml"
    path.write_text(EMBEDDED)
    return path


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"X": ROWS, "y": SIDES[:50]}, ("rows.npz: y", "expected one value for each of the 60 rows of X, got 50")),
        ({"X": ROWS.astype(object), "y": SIDES}, ("rows.npz: X", "Python pickle; it was not opened", "numpy.savez(")),
        ({"X": ROWS, "y": SIDES.astype(object)}, ("rows.npz: y", "Python pickle; it was not opened", "numpy.savez(")),
        ({"X": ROWS[25:35], "y": SIDES[25:35]}, ("rows.npz", "at least 40 rows", "got 10", "label more rows")),
    ],
    ids=["unequal lengths", "features that are a pickle", "labels that are a pickle", "ten rows"],
)
def test_a_study_says_of_bad_embeddings_what_a_budget_says(
    refused: Callable[..., Any],
    limen: Callable[..., Any],
    tmp_path: Path,
    arrays: dict[str, Any],
    says: tuple[str, ...],
) -> None:
    path = embedded(tmp_path, **arrays)
    refused("run", path, says=("study.toml:8:", *says))
    for verb, where in (("check", path), ("budget", tmp_path / "rows.npz")):
        ended = limen(verb, where)
        assert ended.code == 2
        assert all(part in ended.err for part in says)
        assert "while the study ran" not in ended.err
        assert "None" not in ended.err


def test_problems_of_options_and_rows_are_placed_where_they_were_written(
    limen: Callable[..., Any], tmp_path: Path
) -> None:
    embedded(tmp_path, X=ROWS, y=SIDES)
    rows = tmp_path / "rows.npz"
    for words, place in (
        (("--labels", "5000"), "--labels: error:"),
        (("--seeds", "0"), "--seeds: error:"),
        (("--target", "loss=-1"), "--target: error:"),
        (("--same-population",), "--same-population: error:"),
        (("--test", rows), f"{rows}: error:"),
    ):
        ended = limen("budget", rows, *words)
        assert (ended.code, place in ended.err) == (2, True), ended.err
    np.savez(rows, X=ROWS[:20], y=SIDES[20:40])
    assert f"{rows}: error: expected at least 40 rows" in limen("budget", rows).err


def test_a_hub_model_without_revision_is_said_without_python(limen: Callable[..., Any], tmp_path: Path) -> None:
    ended = limen("check", texts(tmp_path, f'{MINILM}path = "sentence-transformers/all-MiniLM-L6-v2"\n'))
    assert "pinned revision" in ended.err
    assert "None" not in ended.err


WITHOUT = """\
import sys
class Without:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {lacking} else self.finder.find_spec(name, path, target)
    def __getattr__(self, name): return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from limen.cli import main
main()
"""


def without(lacking: set[str], *words: object) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.replace("{lacking}", repr(lacking))
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    ended = without({"torch", "sentence_transformers"}, "run", texts(tmp_path, f'{MINILM}path = "."\n'))
    assert ended.returncode == 2
    assert "study.toml:3:" in ended.stderr
    assert "[hf]'" in ended.stderr
    ended = without({"torch"}, "demo", tmp_path / "demo")
    assert ended.returncode == 2
    assert "[torch]'" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "demo" / "study.limen").exists()


def test_everything_else_works_without_the_extras(tmp_path: Path) -> None:
    extras = {"torch", "transformers", "sentence_transformers", "tokenizers", "PIL", "ray"}
    ended = without(extras, "run", study(tmp_path), "--quiet")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "0 cached / 2 run\n"
