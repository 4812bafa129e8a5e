"""The validation study in miniature: coverage, sandwich, the penalised training loss, and what the drift widens."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from limen.data.worlds.gaussian_classes import gaussian_classes

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "validation.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("validation_study", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["validation_study"] = module
    spec.loader.exec_module(module)
    return module


def test_certified_sides_of_a_finite_class_cover_and_are_ordered(study):
    lines = study.finite_class_study((50, 400), 400).splitlines()[2:]
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert "below nominal" not in line
        floor, least, chosen = map(float, cells[1:4])
        assert least <= floor + 0.005
        assert floor <= chosen
        exact, kl, hoeffding = map(float, cells[7:10])
        assert exact < kl < hoeffding


def test_sandwich_and_the_penalised_training_loss(study):
    _, found = study.sandwich_study((100, 1600), 8)
    for row in found:
        assert row["train"] <= row["floor"] + 3 * row["error"]
        assert row["population"] >= row["floor"] - 1e-5
        assert row["certified"] <= row["train"]
        assert row["penalised_certified"] <= row["train"] + 1e-9
    assert found[0]["train"] < found[1]["train"]  # E min L̂ rises with n
    # training loss of a penalised fit is no floor, and gets worse with n: the certificate at the same adapter is one
    assert found[1]["penalised_train"] > found[1]["floor"] + 0.005
    assert found[1]["penalised_certified"] < found[1]["floor"]


@pytest.fixture(scope="module")
def small(study):
    world = gaussian_classes(4, 8, 4000, separation=1.0, seed=61)
    return {factor: study.setting(world, factor) for factor in (0.5, 1.5)}


def test_the_midpoint_is_nearer_than_either_side_and_covers(study, small):
    rows = [study.one_repetition(small[0.5], 10 * small[0.5].parameters, seed) for seed in range(12)]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    assert mean["train"] < 0 < mean["population"]
    assert abs(mean["bias"]) < min(-mean["train"], mean["population"])
    assert sum(row["covered"] for row in rows) >= 9  # nominal 95 %: fewer with probability 0.2 %
    assert sum(row["low_side"] for row in rows) >= 10
    assert all(row["certified_low"] and row["certified_high"] for row in rows)
    assert np.median([row["width"] / row["bracket"] for row in rows]) < 1  # 0.2 to 0.5 where p is larger: the study


def test_the_drift_widens_where_the_plain_midpoint_is_biased(study, small):
    rows = [study.one_repetition(small[1.5], 2 * small[1.5].parameters, seed) for seed in range(12)]
    assert sum(row["plain"] for row in rows) < sum(row["covered"] for row in rows)
    assert sum(row["covered"] for row in rows) >= 9


def test_a_close_fit_is_not_identified(study, small):
    """Training loss near 0, more rows than parameters or fewer: the drift alone lets some of these through."""
    close = study.at_radius(small[0.5].truth, small[0.5].phi, 200.0)
    rows = [study.one_repetition(close, 40, seed) for seed in range(6)]
    assert np.median([row["closeness"] for row in rows]) < 0.1
    assert not any(row["identified"] for row in rows)


@pytest.mark.slow
def test_the_quick_study_prints_its_tables(study, capsys):
    assert study.main(["--quick", "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    for title in ("Finite class", "Sandwich", "Midpoint", "Few rows a parameter"):
        assert f"### {title}" in printed
    assert "below nominal" not in printed
