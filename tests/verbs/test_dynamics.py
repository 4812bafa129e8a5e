"""From a training loop to the verdict: record, curvature, noise, attach, `limen dynamics`; on real minibatches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import limen
from limen.records.errors import BadInput

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

N, D, BATCH, STEPS = 1024, 5, 16, 4000


def squares(model: Any, batch: tuple[Any, Any], reduction: str = "mean") -> Any:
    x, y = batch
    losses = 0.5 * (model(x)[:, 0] - y) ** 2
    return losses.mean() if reduction == "mean" else losses


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Linear regression continued from its minimum with replacement: exactly quadratic, noise as the rows make it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) * np.geomspace(2, 0.7, D)
    y = x @ rng.normal(size=D) + rng.normal(size=N)
    data = (torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))
    model = torch.nn.Linear(D, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(np.linalg.lstsq(x, y, rcond=None)[0])[None])
    curvature = limen.curvature(model, squares, [data], modes=D)
    noise = limen.gradient_noise(model, squares, [data], curvature, batch_size=BATCH)
    folder = tmp_path_factory.mktemp("runs") / "regression"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.8)
    draws = np.random.default_rng(1)
    with limen.record(
        model, optimizer, folder, modes=curvature, batch_size=BATCH, sampling="replacement", examples=N
    ) as recording:
        for _ in range(STEPS):
            rows = draws.integers(N, size=BATCH)
            loss = squares(model, (data[0][rows], data[1][rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recording.step(loss)
    limen.attach(folder, curvature=curvature, noise=noise)
    return folder


def said(*words: object, code: int = 0) -> Any:
    command = [sys.executable, "-X", "importtime", "-m", "limen", "dynamics", *map(str, words), "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr[-2000:]
    assert not any(line.rstrip().endswith("| torch") for line in done.stderr.splitlines())
    return json.loads(done.stdout)


def test_measured_and_predicted_meet_on_real_minibatches(run: Path) -> None:
    found = said(run)
    assert found["schema"] == "limen.dynamics/1"
    assert found["steps"] == STEPS
    assert found["law"] == "discrete"
    assert found["stationary"]["verdict"] == "stationary"
    assert found["stationary"]["unequilibrated_modes"] == 0
    assert len(found["modes"]) == D
    for mode in found["modes"]:
        assert abs(mode["z"]) < 4.5
        assert abs(mode["virial"]["value"] - 1) < 0.2
    for name in "VX":
        assert abs(found["identities"][name]["z"]) < 4
    lags = {at["lag"]: at for at in found["displacement"]}
    for lag in (1, 8, 64):
        ratio = lags[lag]["measured"]["value"] / lags[lag]["predicted"]["discrete"]
        assert 0.8 < ratio < 1.35  # the noise that the fluctuation makes comes on top of that at the minimum
    assert len(found["answers"]) == 13


def test_the_verdict_of_python_is_that_of_the_command_line(run: Path) -> None:
    assert json.loads(json.dumps(limen.dynamics(run).to_json())) == said(run)


def test_pages_and_documents_are_written(run: Path, tmp_path: Path) -> None:
    said(run, "-o", tmp_path / "page.html")
    said(run, "-o", tmp_path / "verdict.json")
    assert json.loads((tmp_path / "verdict.json").read_text()) == said(run)
    assert "<svg" in (tmp_path / "page.html").read_text()
    refused = said(run, "-o", tmp_path / "page.pdf", code=2)
    assert ".html" in json.dumps(refused["errors"])


def test_a_person_reads_the_verdict_first(run: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "limen", "dynamics", str(run)], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[1].startswith("stationary")
    assert any("Is training stationary?" in line for line in lines)


def test_folders_without_a_recording_and_foreign_measurements_are_named(run: Path, tmp_path: Path) -> None:
    assert "expected the folder of a recording" in said(tmp_path / "none", code=2)["errors"][0]["what"]
    assert said(tmp_path, code=2)["errors"]
    with pytest.raises(BadInput, match="no folder"):
        limen.attach(tmp_path / "none")
    (run.parent / "copy").mkdir(exist_ok=True)
    for file in run.iterdir():
        (run.parent / "copy" / file.name).write_bytes(file.read_bytes())
    (run.parent / "copy" / "curvature.safetensors").write_bytes(b"not a curvature")
    assert "curvature" in said(run.parent / "copy", code=2)["errors"][0]["where"]
