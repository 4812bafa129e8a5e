"""The report of a study judges every recorded run as `limen dynamics` does, and says so where it cannot."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import limen
from limen.records.errors import BadInput
from limen.study.judged import judge_record, recorded
from limen.study.recording import FOLDER
from limen.study.run import Options, open_study
from limen.verbs.report import render, report

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STUDY = """
name = "recorded"
[encoder.settled]
source = "pretrain"
input = "image"
data = "digits:train"
objective = "supervised"
loss = "squared"
architecture = { name = "linear" }
steps = 300
batch_size = 32
seeds = 2
optimizer = { name = "sgd", learning_rate = 0.02, momentum = 0.5 }
checkpoints = [300]
record = "dynamics"
[task.digits]
train = "digits:test"
input = "image"
[adapt]
methods = ["mean-classifier"]
labels = [64]
seeds = 1
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judged") / "study.toml"
    path.write_text(STUDY)
    assert limen.run(path, quiet=True).exit_code == 0
    return path


def test_a_report_has_every_recorded_run_with_the_verdict_of_the_verb(ran: Path) -> None:
    found = report(ran)
    assert [run.encoder for run in found.recorded] == ["settled", "settled#1"]
    for run in found.recorded:
        assert run.dynamics is not None
        alone = limen.dynamics(f"{ran}::{run.encoder}")
        assert run.dynamics.to_json() == {**alone.to_json(), "run": f"study.toml::{run.encoder}"}
        assert run.dynamics.law == "epoch"
        assert run.dynamics.lags
    assert found.recorded[0].dynamics != found.recorded[1].dynamics


def test_the_command_on_the_page_is_one_that_the_verb_knows(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = html.unescape(render(report(ran), ".html"))
    (name,) = set(re.findall(r"limen dynamics '?(study.toml::settled#1)'?", page))
    monkeypatch.chdir(ran.parent)
    assert limen.dynamics(name).run == name


def test_a_report_with_recordings_needs_no_torch(ran: Path) -> None:
    code = (
        "import sys\nfrom limen.verbs.report import report, render\n"
        f"found = report({str(ran)!r})\nrender(found, '.html')\n"
        "print(len(found.recorded), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def test_a_recording_that_cannot_be_read_is_named_and_hides_nothing_else(ran: Path) -> None:
    opened = open_study(ran, Options(yes=True))
    key = next(key for at, key in opened.plan.pretrained.items() if at.name == "settled")
    record = opened.store.load(key)
    bare = replace(record, arrays={name: at for name, at in record.arrays.items() if name != f"{FOLDER}run.json"})
    with pytest.raises(BadInput, match=r"no run\.json"):
        judge_record("study.toml::settled", bare)
    found = recorded("settled", "study.toml::settled", bare)
    assert found.dynamics is None
    assert "no run.json" in found.reason
    plain = json.loads(render(replace(report(ran), recorded=(found,)), ".json"))["recorded"]
    assert plain == [{"encoder": "settled", "dynamics": {"state": "not_identified", "reason": found.reason}}]
