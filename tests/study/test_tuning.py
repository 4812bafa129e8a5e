"""Methods that move weights through a study: a cell for each (n, seed), rows of every other method, swap bound."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from limen.records.errors import BadInput
from limen.study.files import Files
from limen.study.forecast import forecast
from limen.study.parse import read_study
from limen.study.plan import plan
from limen.study.run import Options, open_study, report_of, run_study
from limen.study.ways import tune_specs

pytest.importorskip("torch")
pytestmark = pytest.mark.torch
STUDY = """
name = "tuned"
[encoder.scratch]
source = "pretrain"
data = "digits:train"
heldout = 0.2
architecture = { name = "conv", width = 4 }
steps = 20
batch_size = 32
checkpoints = 2
evaluation = { draws = 1, training_batches = 2 }
[encoder.pixels]
source = "pixels"
[task.digits]
train = "digits:test"
test = "digits:train"
input = "image"
[adapt]
methods = ["linear-probe", "fine-tune", "lp-ft"]
labels = [64, "all"]
seeds = 2
[adapt.fine-tune]
epochs = 2
learning_rate = 1e-3
[adapt.lp-ft]
epochs = 1
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    path = folder / "s.toml"
    path.write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMEN_CACHE", str(folder / "cache"))
        result = run_study(path, Options(quiet=True))
    return path, result


def test_every_count_and_seed_is_a_cell_and_they_make_one_fit(ran):
    _, result = ran
    assert (result.failed, result.exit_code) == (0, 0)
    cells = [cell for cell in result.report.cells if cell.stage == "tune"]
    assert len(cells) == 2 * (2 + 1)  # two methods, two seeds of 64 labels and all labels once
    budgets = {(b.encoder, b.method): b for b in result.report.budgets}
    assert ("pixels", "fine-tune") not in budgets  # it has no weights
    assert ("scratch@0", "fine-tune") not in budgets  # early checkpoints are probed alone
    found = budgets["scratch", "fine-tune"]
    assert "minimal_adaptation_loss" not in found.terms
    assert [(point.n, point.seed) for point in found.curve] == [(64, 0), (64, 1), (338, None)]


def test_all_methods_of_a_task_hold_out_the_same_rows(ran):
    path, _ = ran
    opened = open_study(path)
    records = {(str(fit.encoder), fit.method): opened.store.load(fit.key) for fit in opened.plan.fits}
    rows = [record.arrays["holdout_rows"] for record in records.values()]
    assert all(np.array_equal(rows[0], other) for other in rows)
    tuned, probe = records["scratch", "fine-tune"], records["scratch", "linear-probe"]
    assert np.array_equal(tuned.arrays["fit_rows"], probe.arrays["fit_rows"])
    assert tuned.arrays["population.test.loss"].shape == (1347,)


def test_the_first_tuned_method_stands_beside_the_probe(ran):
    _, result = ran
    budgets = {(b.encoder, b.method): b for b in result.report.budgets}
    assert "the encoder tuned by fine-tune" in budgets["scratch", "linear-probe"].terms["class_gap"].method
    assert "Gaussian kernel features" in budgets["pixels", "linear-probe"].terms["class_gap"].method


def test_the_report_needs_no_torch(ran):
    path, _ = ran
    code = (
        "import sys; from limen.study.run import open_study, report_of\n"
        f"report_of(open_study({str(path)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_verify_sees_a_fit_that_is_not_what_its_cells_say(ran):
    from limen.verbs.recompute import differences

    path, _ = ran
    opened = open_study(path)
    key = next(fit.key for fit in opened.plan.fits if fit.method == "lp-ft")
    cell = opened.plan.cells[key]
    assert differences(cell, opened.store.load) == []

    def changed(wanted):
        record = opened.store.load(wanted)
        if wanted != key:
            return record
        losses = record.arrays["curve_holdout_loss"] + 1e-6
        return replace(record, arrays={**record.arrays, "curve_holdout_loss": losses})

    assert "curve_holdout_loss" in differences(cell, changed)[0].what


def test_every_option_of_a_method_changes_its_cells(tmp_path):
    def keys(text):
        path = tmp_path / "s.toml"
        path.write_text(text)
        study, _ = read_study(path)
        return {key for key, cell in plan(study, Files(tmp_path)).cells.items() if cell.stage == "tune"}

    base = keys(STUDY)
    for line in (
        "epochs = 3",
        "batch_size = 8",
        "weight_decay = 0.1",
        'decay = "linear"',
        "warmup = 0.0",
        "patience = 1",
    ):
        section, key = "[adapt.lp-ft]\n", line.split(" ")[0]
        text = STUDY.replace("epochs = 1\n", "") if key == "epochs" else STUDY
        other = keys(text.replace(section, f"{section}{line}\n"))
        assert len(base & other) == 3, line  # those of fine-tune
    assert not base & keys(STUDY.replace('name = "tuned"', 'name = "tuned"\nseed = 1'))
    assert base == keys(STUDY.replace('name = "tuned"', 'name = "other"\nconfidence = 0.9'))


def test_seeds_are_numbered_and_all_labels_are_tuned_once(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(STUDY)
    study, _ = read_study(path)
    assert [(n, seed, options.get("seed", 0)) for n, seed, options in tune_specs(study.adapt, "fine-tune")] == [
        (64, 0, 0), (64, 1, 1), ("all", 0, 0),
    ]  # fmt: skip
    found = forecast(study, Files(tmp_path))
    assert found.cells == len(plan(study, Files(tmp_path)).cells)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('labels = [64, "all"]\n', ""), '"fine-tune" needs label counts'),
        (("seeds = 2", 'seeds = 2\nloss = "squared"'), '"lp-ft" begins with a logistic probe'),
        (('"fine-tune", "lp-ft"]', '"fine-tune", "lp-ft", "partial"]'), '"partial" needs the layers'),
        (("[adapt.fine-tune]", "[adapt.lora]\nrank = 2\n[adapt.fine-tune]"), '"lora" is not among the methods'),
        (("epochs = 2\n", "epochs = -1\n"), "adapt.fine-tune.epochs"),
        (("epochs = 2\n", "epoch = 2\n"), 'did you mean "epochs"'),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path, change, message):
    assert change[0] in STUDY
    path = tmp_path / "s.toml"
    path.write_text(STUDY.replace(*change))
    with pytest.raises(BadInput) as caught:
        read_study(path)
    assert message in str(caught.value)


def test_an_interrupted_report_says_what_is_there(ran):
    path, result = ran
    again = report_of(open_study(path))
    assert {(b.encoder, b.method) for b in again.budgets} == {(b.encoder, b.method) for b in result.report.budgets}
