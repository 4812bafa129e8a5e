"""The recipe of adapters: cells are files, a run goes on where it stopped, the table reads them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # studies is no part of the package

from studies.banking77_adapters import TUNED, main


def test_a_run_goes_on_where_it_stopped(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--data", str(shared_data), "--output", str(tmp_path), "--labels", "154"]
    main([*asked, "--methods", "mean-classifier"])
    first = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")}
    assert sorted(first) == ["mean-classifier-154-0.json", "mean-classifier-154-1.json"]
    (tmp_path / "knn-154-0.part").write_text('{"error": 0.0')  # what a kill leaves
    main([*asked, "--methods", "mean-classifier", "knn"])
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in first} == first
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "knn-154-0.json").read_text())
    assert 0.2 < found["error"] < 1
    assert f"{found['error']:.3f}" in said.rpartition("| 154 | knn |")[2]


def test_every_tuned_method_is_told_apart() -> None:
    assert {spec.method for spec in TUNED.values()} == {"fine-tune", "lp-ft", "lora"}
    assert TUNED["probe"].epochs == 0
