"""The validation studies in miniature: coverage, sandwich, widths, and that a killed run goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.data.worlds.population import Population

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is no part of the package

from benchmarks.validation import (  # noqa: E402
    cells,
    comparison,
    finite,
    least_squares,
    midpoint,
    path,
    row_ball,
    sandwich,
    settings,
    tables,
    worlds,
)
from benchmarks.validation.__main__ import STUDIES, main  # noqa: E402
from benchmarks.validation.page import with_tables  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def repeated(study, count, **how):
    """Columns of `count` repetitions."""
    rows = [study.repetition(cells.seed(how, k), **how) for k in range(count)]
    return {key: np.array([row[key] for row in rows], dtype=float) for key in rows[0]}


def test_certified_sides_of_a_finite_class_cover_and_are_ordered():
    for n in (50, 400):
        found = repeated(finite, 400, n=n)
        for name in finite.BOUNDS:
            assert not tables.below_nominal(int(found[name].sum()), 400, 0.95)
        assert found["least"].mean() <= found["floor"][0] + 0.005
        assert (found["floor"] <= found["chosen"]).all()
        exact, kl, hoeffding = (found[f"{name} width"].mean() for name in finite.BOUNDS)
        assert exact < kl < hoeffding


def test_sandwich_and_the_penalised_training_loss():
    few, many = (repeated(sandwich, 6, n=n) for n in (100, 1600))
    for row in (few, many):
        error = row["train"].std(ddof=1) / np.sqrt(6)
        assert row["train"].mean() <= row["floor"][0] + 3 * error
        assert (row["population"] >= row["floor"] - 1e-5).all()
        assert (row["certified"] <= row["train"]).all()
        assert (row["penalised_certified"] <= row["train"] + 1e-9).all()
    assert few["train"].mean() < many["train"].mean()  # E min L̂ rises with n
    # training loss of a penalised fit is no floor, and gets worse with n: the certificate at the same adapter is one
    assert many["penalised_train"].mean() > many["floor"][0] + 0.005
    assert many["penalised_certified"].mean() < many["floor"][0]


@pytest.fixture(scope="module")
def small():
    world = gaussian_classes(4, 8, 4000, separation=1.0, seed=61)
    return {factor: settings.setting(world, factor) for factor in (0.5, 1.5)}


def measured(at, n, seed):
    drawn = settings.sample(at, n, np.random.default_rng(seed))
    return midpoint.measured(at, settings.record(drawn), at.truth.population_loss(drawn.final.weights))


def test_the_midpoint_is_nearer_than_either_side_and_covers(small):
    rows = [measured(small[0.5], 10 * small[0.5].parameters, seed) for seed in range(12)]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    assert mean["train"] < 0 < mean["population"]
    assert abs(mean["bias"]) < min(-mean["train"], mean["population"])
    assert sum(row["covered"] for row in rows) >= 9  # nominal 95 %: fewer with probability 0.2 %
    assert sum(row["low_side"] for row in rows) >= 10
    assert np.median([row["relative"] for row in rows]) < 1  # 0.2 to 0.5 where p is larger: the study


def test_the_drift_widens_where_the_plain_midpoint_is_biased(small):
    rows = [measured(small[1.5], 2 * small[1.5].parameters, seed) for seed in range(12)]
    assert sum(row["plain"] for row in rows) < sum(row["covered"] for row in rows)
    assert sum(row["covered"] for row in rows) >= 9


def test_a_close_fit_is_not_identified(small):
    """Training loss near 0, more rows than parameters or fewer: the drift alone lets some of these through."""
    close = settings.at_radius(small[0.5].truth, small[0.5].phi, 200.0)
    rows = [measured(close, 40, seed) for seed in range(6)]
    assert np.median([row["closeness"] for row in rows]) < 0.1
    assert not any(row["identified"] for row in rows)


def test_whole_groups_are_drawn_and_held_out_together():
    at = settings.known("clustered", 0.5)
    rows = settings.draw_rows(at, 41, np.random.default_rng(0))
    assert len(rows) == 42
    assert (rows.reshape(-1, 3) // 3 == rows[::3, None] // 3).all()
    drawn = settings.taken(at, rows)
    assert not set(drawn.prepared.fit_groups) & set(drawn.prepared.holdout_groups)
    assert len(drawn.prepared.holdout) % 3 == 0


def test_encoders_without_a_difference_have_one_floor_and_spoiled_ones_a_higher_one():
    same, spoiled = comparison.encoders(0.0), comparison.encoders(1.0)
    assert same[0].floor == pytest.approx(same[1].floor, abs=2e-5)
    assert spoiled[1].floor > spoiled[0].floor + 0.05
    found = repeated(comparison, 6, spoil=1.0, n=800)
    assert found["separable"].sum() >= 5
    assert not found["wrong_way"].any()
    assert not repeated(comparison, 6, spoil=0.0, n=200)["separable"].all()


def test_the_row_ball_has_a_smaller_range_a_higher_floor_and_a_higher_certified_end():
    found = repeated(row_ball, 4, world="digits", ratio=10.0)
    assert (found["low"] * found["high"] == 1).all()
    assert (found["floor"] >= found["ball_floor"] - 1e-4).all()
    assert (found["below"] < found["ball_below"]).all()


def test_the_path_holds_at_every_radius_where_it_holds_at_all():
    found = repeated(path, 4, world="imbalance", ratio=10.0)
    assert (found["all"] == (found["worst"] == 4)).all()
    assert found["all"].sum() >= 3


def test_least_squares_has_the_biases_of_its_closed_forms():
    found = repeated(least_squares, 400, ratio=4.0)
    error = {key: found[key].std(ddof=1) / 20 for key in found}
    assert found["train"].mean() == pytest.approx(-1 / 4, abs=4 * error["train"])
    assert found["population"].mean() == pytest.approx(20 / 59, abs=4 * error["population"])
    assert found["formula"].mean() == pytest.approx(0.0, abs=4 * error["formula"])
    assert found["bias"].mean() > 0


def test_every_world_is_as_described():
    for name, world in worlds.WORLDS.items():
        population = world.population()
        assert isinstance(population, Population), name
        assert len(population) % world.group == 0
    counts = np.bincount(worlds.WORLDS["imbalance"].population().labels)
    assert 6 < counts[0] / counts[-1] < 10  # 8 in the law


# ---------------------------------------------------------------- cells


def some(count=6, **more):
    return cells.chunks("finite", {"n": 30, **more}, count, cost=1.0, longest=2.0)


def test_a_cell_is_named_by_its_content(monkeypatch):
    names = [cell.name for cell in (*some(), *some(7), *some(n=31))]
    assert len(set(names)) == 7  # 3 + 1 new tail of one repetition + 3
    before = some()[0].name
    monkeypatch.setattr(cells, "VERSION", cells.VERSION + 1)
    assert some()[0].name != before


def test_finished_cells_are_not_computed_again_and_partial_ones_are(tmp_path, capsys):
    assert cells.run(some(), tmp_path, 1, sys.stderr) == 0
    written = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert len(written) == 3
    lost = tmp_path / f"{some()[1].name}.json"
    lost.rename(tmp_path / f".{some()[1].name}.4194305")  # above every process number: as a killed worker leaves it
    assert cells.run(some(), tmp_path, 1, sys.stderr) == 2
    after = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert [name for name in written if written[name] != after[name]] == [lost.name]
    assert "[3/3]" in capsys.readouterr().err
    (found,) = cells.collect(some(), tmp_path)
    assert (len(found), found.foreign) == (6, 0)
    whole = repeated(finite, 6, n=30)
    assert found.columns["least"] == whole["least"].tolist()  # chunks do not change the numbers


def test_a_cell_that_fails_is_named_and_ends_the_run(tmp_path):
    bad = [cells.Cell("finite", {"n": -1}, 0, 1, 1.0), *some(400)]
    with pytest.raises(ValueError) as caught:
        cells.run(bad, tmp_path, 1, sys.stderr)
    assert caught.value.__notes__ == ["in the cell finite -1 [0, 1)"]
    assert len(list(tmp_path.glob("*.json"))) < 20  # 200 were waiting


def test_cells_of_other_sources_are_counted(tmp_path, monkeypatch):
    cells.run(some(), tmp_path, 1, sys.stderr)
    monkeypatch.setattr(cells, "sources", lambda: "other")
    assert cells.collect(some(), tmp_path)[0].foreign == 3


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """SIGKILL to the command after its first cells: their files stay, the rest is done by the same command."""
    command = [sys.executable, "-m", "benchmarks.validation", "--only", "least_squares", "--workers", "1",
               "--folder", str(tmp_path / "kept"), "--output", str(tmp_path / "out.md"), "--quick"]  # fmt: skip
    slow = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    process = subprocess.Popen(command, cwd=ROOT, env=slow, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "kept").glob("*.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # its worker ends by itself
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").glob("*.json")}
    assert kept
    again = subprocess.run(command, cwd=ROOT, env=slow, capture_output=True, text=True, check=True)
    assert f"{len(kept)} cells done" in again.stderr
    assert all(file.stat().st_mtime_ns == moment for file, moment in kept.items())
    assert "## Least squares in the linear-Gaussian world" in (tmp_path / "out.md").read_text()


def test_the_command_names_an_unknown_study(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
    assert "unknown study nothing" in capsys.readouterr().err


@cache
def titles():
    return [__import__(f"benchmarks.validation.{name}", fromlist=["TITLE"]).TITLE for name in STUDIES]


def test_every_study_of_the_folder_is_run():
    files = {file.stem for file in (ROOT / "benchmarks" / "validation").glob("*.py")}
    assert set(STUDIES) == files - {"__init__", "__main__", "cells", "page", "settings", "tables", "worlds"}
    assert len(set(titles())) == len(STUDIES)


def test_tables_are_put_at_their_places_and_nothing_else_changes():
    page = "a\n<!-- table: x -->\nold\n<!-- end -->\nb\n<!-- table: y -->\n<!-- end -->\n"
    assert with_tables(page, {"x": "new"}) == page.replace("old", "new")
    assert with_tables(with_tables(page, {"y": "1"}), {"y": "2"}) == page.replace("y -->\n", "y -->\n2\n")
    for wrong in ("z", "x|y"):
        with pytest.raises(ValueError, match="expected one place"):
            with_tables(page, {wrong: "new"})


def test_the_page_has_a_place_for_every_study():
    page = (ROOT / "docs" / "validation.md").read_text()
    assert with_tables(page, dict.fromkeys(STUDIES, "")).count("<!-- table:") == len(STUDIES)


def test_a_rate_is_marked_where_chance_does_not_explain_it():
    assert tables.covered((1850, 2000), 0.95).endswith("↓**")
    assert "↓" not in tables.covered((1890, 2000), 0.95)
    assert tables.covered((1990, 2000), 0.95, 0.97).endswith("↑")
    assert tables.covered((0, 0), 0.95) == "—"
