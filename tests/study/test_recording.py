"""`record = "dynamics"` in a study: the same weights, a recording in the store, `limen dynamics STUDY::ENCODER`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import limen
from limen.records.errors import BadInput
from limen.study.recording import FOLDER, observers_of, unpack_recording
from limen.study.run import Options, open_study

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STUDY = """
name = "recorded"
[encoder.net]
source = "pretrain"
input = "image"
data = "digits:train"
objective = "{objective}"
{label}architecture = {{ name = "{architecture}" }}
steps = 300
batch_size = 32
sampling = "iid"
optimizer = {{ name = "sgd", learning_rate = 0.02, momentum = 0.5 }}
checkpoints = [0, 300]
{record}
[task.digits]
train = "digits:test"
input = "image"
[adapt]
methods = ["mean-classifier"]
labels = [64]
seeds = 1
"""


def study(
    folder: Path, name: str, objective: str = "supervised", architecture: str = "linear", record: bool = True
) -> Path:
    path = folder / f"{name}.toml"
    label = 'loss = "squared"\n' if objective == "supervised" else ""
    path.write_text(STUDY.format(objective=objective, architecture=architecture, label=label,
                                 record='record = "dynamics"' if record else ""))  # fmt: skip
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = study(tmp_path_factory.mktemp("recorded"), "linear")
    assert limen.run(path, quiet=True).exit_code == 0
    return path


def test_a_study_is_recorded_and_judged_by_the_name_of_its_encoder(ran: Path) -> None:
    found = limen.dynamics(f"{ran}::net")
    assert found.steps == 300
    assert found.sampling == "iid"
    assert len(found.modes) == 10
    assert all(mode.curvature > 0 for mode in found.modes)
    assert all(mode.noise is not None and mode.noise > 0 for mode in found.modes)
    assert found.segments[0]["momentum"] == 0.5
    assert limen.dynamics(f"{ran}::net#0").modes[0].curvature == found.modes[0].curvature


def test_recording_changes_no_weight(ran: Path, tmp_path: Path) -> None:
    plain = study(tmp_path, "plain", record=False)
    assert limen.run(plain, quiet=True).exit_code == 0
    records = []
    for path in (ran, plain):
        opened = open_study(path, Options(yes=True))
        (key,) = opened.plan.pretrained.values()
        records.append(opened.store.load(key))
    weights = [{k: v for k, v in record.arrays.items() if not k.startswith(FOLDER)} for record in records]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(name.startswith(FOLDER) for name in records[0].arrays)
    assert not unpack_recording(records[1], tmp_path)


def test_a_loss_of_random_views_is_recorded_without_modes(tmp_path: Path) -> None:
    path = study(tmp_path, "views", objective="nt-xent", architecture="conv")
    path.write_text(path.read_text().replace("steps = 300", "steps = 20").replace("[0, 300]", "[0, 20]"))
    assert limen.run(path, quiet=True).exit_code == 0
    found = limen.dynamics(f"{path}::net")
    assert found.modes == ()
    assert found.verdict == "not_identified"
    assert "no eigenvectors were recorded" in found.reason


def test_encoders_that_are_not_there_not_recorded_or_not_run_are_named(ran: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected a recorded encoder of the study \(net\)"):
        limen.dynamics(f"{ran}::other")
    with pytest.raises(BadInput, match="expected NAME"):
        limen.dynamics(f"{ran}::No Name")
    with pytest.raises(BadInput, match="not published yet"):
        limen.dynamics(f"{study(tmp_path, 'waiting')}::net")
    with pytest.raises(BadInput, match=r"\(none\)"):
        limen.dynamics(f"{study(tmp_path, 'silent', record=False)}::net")
    with pytest.raises(BadInput, match="not available"):
        observers_of({"record": "everything"})


def test_a_run_of_few_batches_is_recorded_without_noise(tmp_path: Path) -> None:
    path = study(tmp_path, "few")
    text = path.read_text().replace("steps = 300", "steps = 30").replace("[0, 300]", "[0, 30]")
    path.write_text(text.replace("batch_size = 32", "batch_size = 250\nheldout = 0.4"))
    assert limen.run(path, quiet=True).exit_code == 0
    found = limen.dynamics(f"{path}::net")
    assert len(found.modes) == 10
    assert all(mode.noise is None for mode in found.modes)
    assert any("noise was not measured" in warning for warning in found.warnings)


def test_decoupled_decay_is_recorded_and_views_that_change_nothing_leave_the_loss_a_hessian(tmp_path: Path) -> None:
    path = study(tmp_path, "decoupled")
    text = path.read_text().replace("momentum = 0.5 }", "momentum = 0.5, weight_decay = 0.01, decoupled = true }")
    path.write_text(text.replace('loss = "squared"', 'loss = "squared"\naugmentation = "none"'))
    assert limen.run(path, quiet=True).exit_code == 0
    found = limen.dynamics(f"{path}::net")
    assert len(found.modes) == 10
    assert all(mode.noise is not None for mode in found.modes)
    assert found.segments[0]["weight_decay"] == 0.01
    assert "decoupled decay" in found.identities["X"].reason
    assert not any("own tests failed" in warning for warning in found.warnings)
    assert any(lag.predicted["discrete"] for lag in found.lags)
