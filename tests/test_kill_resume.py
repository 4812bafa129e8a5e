"""The comparison behind docs/validation-studies.md notices what it is there to notice."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "kill_resume.py"
    spec = importlib.util.spec_from_file_location("kill_resume", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_resume"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_arrays_that_differ_in_one_bit_or_are_missing_count(benchmark: ModuleType, tmp_path: Path) -> None:
    values = np.linspace(0, 1, 5)
    for side in ("a", "b"):
        (tmp_path / side / "key").mkdir(parents=True)
        np.save(tmp_path / side / "key" / "loss.npy", values)
        (tmp_path / side / "key" / "w.safetensors").write_bytes(b"weights")
        (tmp_path / side / "key" / "record.json").write_text(side)
    left, right = tmp_path / "a", tmp_path / "b"
    assert benchmark.compare_arrays(left, right) == (2, 0)
    changed = values.copy()
    changed[3] = np.nextafter(changed[3], 1)
    np.save(right / "key" / "loss.npy", changed)
    assert benchmark.compare_arrays(left, right) == (2, 1)
    (right / "key" / "w.safetensors").unlink()
    assert benchmark.compare_arrays(left, right) == (2, 2)


def test_numbers_are_compared_exactly_and_times_are_not(benchmark: ModuleType) -> None:
    one = {"terms": [{"value": 0.1, "low": None}], "seconds": 3.0}
    assert benchmark.compare_numbers(one, {"terms": [{"value": 0.1, "low": None}], "seconds": 9.0}) == (2, 0)
    assert benchmark.compare_numbers(one, {"terms": [{"value": 0.1 + 1e-18, "low": None}]}) == (2, 0)
    assert benchmark.compare_numbers(one, {"terms": [{"value": np.nextafter(0.1, 1), "low": None}]})[1] == 1
    assert benchmark.compare_numbers(one, {"terms": [{"value": 0.1}]})[1] == 1
    assert benchmark.compare_numbers(one, {"terms": []})[1] == 1
    assert benchmark.compare_numbers({"a": None}, {"a": 0})[1] == 1
