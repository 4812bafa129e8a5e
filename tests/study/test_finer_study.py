"""A study over layers with slices and a shift set, end to end: comparisons of layers, selection, shift, switches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from limen.data.digits import digits
from limen.pages.markdown import render_markdown
from limen.records.report import Report
from limen.study.run import Options, open_study, report_of, run_study

QUIET = Options(quiet=True)
PLAIN: dict[str, Any] = {
    "name": "layers",
    "encoder": {
        "pixels": {"source": "pixels"},
        "own": {"source": "pretrain", "data": "digits:train", "steps": 10, "batch_size": 32, "checkpoints": [0, 10]},
    },
    "task": {
        "digits": {
            "train": "train.npz", "input": "image", "encoders": ["own:stem", "own@10", "pixels"], "slices": ["pen"],
            "shift": {"noisy": "noisy.npz", "same": "same.npz"},
        },
    },
    "adapt": {"labels": [100, "all"], "seeds": 1, "linear-probe": {"radius": 8.0}},
}  # fmt: skip


def write(folder: Path, plain: dict[str, Any]) -> Path:
    draw = np.random.default_rng(0)
    images, labels = digits("digits")
    images, labels = images[:1000].astype(np.float32), labels[:1000]
    pen = draw.choice(["fine", "broad"], 1000)
    noise = draw.normal(scale=1.5 * images.std(), size=images.shape).astype(np.float32)
    noisy = np.clip(images + noise, 0, 1)
    for name, rows, values in (("train", slice(0, 600), images), ("noisy", slice(600, 1000), noisy),
                               ("same", slice(600, 1000), images)):  # fmt: skip
        np.savez(folder / f"{name}.npz", image=values[rows], label=labels[rows], pen=pen[rows])
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps(plain), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Report:
    path = write(tmp_path_factory.mktemp("layers"), PLAIN)
    result = run_study(path, QUIET)
    assert result.exit_code == 0, result.line()
    return report_of(open_study(path))


def test_layers_are_compared_pair_by_pair(found: Report) -> None:
    assert {budget.encoder for budget in found.budgets} == {"own:stem", "own", "pixels"}
    assert {frozenset((c.a, c.b)) for c in found.comparisons} == {
        frozenset(pair) for pair in (("own:stem", "own"), ("own:stem", "pixels"), ("own", "pixels"))
    }


def test_the_best_says_among_how_many_it_was_chosen(found: Report) -> None:
    best = min(found.budgets, key=lambda budget: budget.terms["adaptation_loss"].value or 0.0)
    for budget in found.budgets:
        checks = [check for check in budget.population_checks if check.name == "selection"]
        assert len(checks) == (budget is best)
        assert all(check.numbers["candidates"] == 3 for check in checks)
    assert "Best of 3, chosen on the same held-out rows" in render_markdown(found)


def test_noise_is_a_shift_and_the_same_rows_are_none(found: Report) -> None:
    pixels = next(budget for budget in found.budgets if budget.encoder == "pixels")
    noisy, same = pixels.shift["noisy"]["shift_gap"], pixels.shift["same"]["shift_gap"]
    assert noisy.low is not None
    assert noisy.low > 0
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high
    difference = pixels.shift["noisy"]["adaptation_loss"].value or 0.0
    assert noisy.value == pytest.approx(difference - (pixels.terms["adaptation_loss"].value or 0.0))
    (fix,) = [advice for advice in pixels.advice if advice.rule == "fix-shift"]
    assert "noisy" in fix.action


def test_slices_and_baselines_reach_every_budget_and_the_report(found: Report) -> None:
    for budget in found.budgets:
        assert set(budget.slices["pen"]) == {"fine", "broad"}
        assert set(budget.controls) == {"prior", "shuffled_labels"}
        assert "class_gap" in budget.terms
    text = render_markdown(found)
    assert "Worst pen:" in text
    assert "class shares alone" in text


def test_switching_the_richer_head_off_changes_cells_and_terms(tmp_path: Path) -> None:
    plain = json.loads(json.dumps(PLAIN))
    plain["encoder"] = {"pixels": {"source": "pixels"}}
    plain["task"]["digits"]["encoders"] = ["pixels"]
    plain["adapt"]["linear-probe"]["rich_head"] = False
    path = write(tmp_path, plain)
    assert run_study(path, QUIET).exit_code == 0
    (budget,) = report_of(open_study(path)).budgets
    assert "class_gap" not in budget.terms
