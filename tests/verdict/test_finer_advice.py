"""richer-adapter fires on rings and not where a linear head is right; the best of several says so, with bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.fit import fit_task
from limen.arrays.intervals import clopper_pearson_upper
from limen.records.budget import Budget, FloorPoint
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, LabelledFeatures, Question, Task
from limen.verdict import compare_fits, conclude, note_selection
from limen.verdict.advice import advise

ASKED = Question()
DRAW = np.random.default_rng(0)
RINGS = DRAW.normal(size=(800, 2))
LABELS = (np.linalg.norm(RINGS, axis=1) > 1.18).astype(np.int64)


def fitted(features: np.ndarray, labels: np.ndarray, name: str = "e", groups: np.ndarray | None = None) -> StageRecord:
    rows = LabelledFeatures(features, labels, ("no", "yes"), groups)
    return fit_task(Task("t", name, rows), FitSpec(labels=("all",), seeds=1, radius=4.0))


@pytest.fixture(scope="module")
def rings() -> StageRecord:
    return fitted(RINGS, LABELS)


@pytest.fixture(scope="module")
def line() -> StageRecord:
    """A logistic law of slope 3 within the radius: a linear head is right."""
    noise = np.random.default_rng(1).logistic(size=800)
    return fitted(RINGS, (3 * RINGS[:, 0] + noise > 0).astype(np.int64))


def rules(budget: Budget) -> list[str]:
    return [advice.rule for advice in budget.advice]


def test_richer_adapter_only_where_it_surely_wins(rings: StageRecord, line: StageRecord) -> None:
    assert "richer-adapter" in rules(conclude(rings, ASKED))
    assert "richer-adapter" not in rules(conclude(line, ASKED))


def test_margin_and_larger_radius_come_first(rings: StageRecord) -> None:
    budget = conclude(rings, ASKED)
    gap = budget.terms["class_gap"].low
    assert gap is not None
    assert "richer-adapter" not in [a.rule for a in advise(budget, Question(margin=gap))]
    # a larger radius that surely wins is tried first: part of the gap is its, not the class's
    wider = replace(budget, floor_path=(*budget.floor_path, FloorPoint(64.0, 0.01, 0.02)))
    found = [a.rule for a in advise(wider, ASKED)]
    assert "larger-radius" in found
    assert "richer-adapter" not in found


def test_the_best_of_several_carries_a_corrected_bound(rings: StageRecord, line: StageRecord) -> None:
    fits = [rings, line, rings]
    budgets = [conclude(fit, ASKED) for fit in fits]
    noted = note_selection(budgets, fits, ASKED)
    assert noted[0] == budgets[0]
    assert noted[2] == budgets[2]
    (check,) = [c for c in noted[1].population_checks if c.name == "selection"]
    wrong = line.arrays["curve_holdout_prediction"][-1] != line.arrays["holdout_labels"]
    assert check.numbers["candidates"] == 3
    upper = clopper_pearson_upper(int(wrong.sum()), len(wrong), 0.05 / 3 / 2)
    assert check.numbers["error_high"] == pytest.approx(upper, rel=1e-12)
    uncorrected = budgets[1].terms["error"].high
    assert uncorrected is not None
    assert float(check.numbers["error_high"] or 0) > uncorrected


def test_the_best_of_several_is_advised_on_the_corrected_end(rings: StageRecord, line: StageRecord) -> None:
    """A target between the two ends: met by the interval of one fit, not by that of the best of three."""
    fits = [rings, line, rings]
    alone = conclude(line, ASKED)
    check = note_selection([conclude(fit, ASKED) for fit in fits], fits, ASKED)[1].population_checks[-1]
    high, corrected = alone.terms["adaptation_loss"].high, float(check.numbers["loss_high"] or 0)
    assert high is not None
    assert high < corrected
    asked = Question(target_loss=(high + corrected) / 2)
    budgets = [conclude(fit, asked) for fit in fits]
    assert rules(budgets[1])[0] == "target-met"
    noted = note_selection(budgets, fits, asked)[1]
    assert rules(noted) == ["hold-out-more", *rules(budgets[1])[1:]]
    assert f"up to {corrected:.4g} is not excluded" in noted.advice[0].action


def test_a_lone_budget_was_not_chosen(rings: StageRecord) -> None:
    budget = conclude(rings, ASKED)
    assert note_selection([budget], [rings], ASKED) == (budget,)


def test_comparisons_of_groups_use_cluster_errors() -> None:
    """Copies in groups carry no more evidence than one of each: p and width are those of the groups."""
    draw = np.random.default_rng(3)
    base = draw.normal(size=(240, 3))
    labels = (base[:, 0] + base[:, 1] + 0.5 * draw.normal(size=240) > 0).astype(np.int64)
    many = np.repeat(base, 3, axis=0) + 1e-7 * draw.normal(size=(720, 3))
    groups = np.repeat(np.arange(240), 3)
    pair = [fitted(many[:, keep], np.repeat(labels, 3), name, groups) for name, keep in (("ab", [0, 1]), ("b", [1, 2]))]
    (clustered,) = compare_fits(pair)
    blind = [replace(f, arrays={k: v for k, v in f.arrays.items() if not k.endswith("_groups")}) for f in pair]
    (rowwise,) = compare_fits(blind)
    assert clustered.error_difference.value == rowwise.error_difference.value
    assert clustered.p_holm > rowwise.p_holm
    for name in ("error_difference", "loss_difference"):
        a, b = getattr(clustered, name), getattr(rowwise, name)
        # skewness widens the intervals of groups, and moves those of rows
        assert 0.98 <= (a.high - a.low) / (b.high - b.low) / np.sqrt(3) <= 1.1
        assert b.n == 3 * a.n
