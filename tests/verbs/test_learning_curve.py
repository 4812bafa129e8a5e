"""The learning curve is that of the budget: the same fits, the same floor, the same law."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import limen
from limen.records.errors import BadInput
from limen.records.learning_curve import LearningCurve

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 500)
X = RNG.normal(size=(500, 4)) + 1.5 * np.eye(3, 4)[Y]
ASKED = {"labels": [40, 80, 160, 300], "seeds": 2, "target": "loss=0.3", "confidence": 0.9}


@pytest.fixture(scope="module")
def curve() -> LearningCurve:
    return limen.learning_curve(X, Y, **ASKED)


def test_it_is_the_curve_of_the_budget(curve: LearningCurve) -> None:
    budget = limen.budget(X, Y, rich_head=False, **ASKED)
    assert curve.points == budget.curve
    assert curve.floor == budget.terms["minimal_adaptation_loss"]
    assert curve.extrapolation == budget.extrapolation
    assert (curve.n_holdout, curve.classes, curve.radius, curve.confidence) == (100, 3, budget.radius, 0.9)


def test_the_table_has_every_subset_and_losses_close_in(curve: LearningCurve) -> None:
    rows = curve.table()
    assert [(row["n"], row["seed"]) for row in rows] == [
        *((n, s) for n in ASKED["labels"] for s in (0, 1)),
        (375, None),
    ]
    assert list(rows[0]) == ["n", "seed", "train_loss", "heldout_loss", "error"]
    gaps = [row["heldout_loss"] - row["train_loss"] for row in rows]
    assert np.mean(gaps[:2]) > np.mean(gaps[-3:])


def test_the_document_is_plain(curve: LearningCurve) -> None:
    plain = json.loads(json.dumps(curve.to_json(), allow_nan=False))
    assert plain["schema"] == "limen.learning-curve/1"
    assert plain["points"] == curve.table()
    assert plain["floor"]["grade"] == curve.floor.grade
    assert plain["extrapolation"]["backtest"] == dict(curve.extrapolation.backtest)


def test_a_frame_is_the_table(curve: LearningCurve) -> None:
    pandas = pytest.importorskip("pandas")
    frame = curve.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["heldout_loss"].tolist() == [row["heldout_loss"] for row in curve.table()]


def test_without_pandas_the_frame_says_what_to_do(curve: LearningCurve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadInput, match=r"pip install pandas, or read \.table\(\)"):
        curve.to_frame()


def test_switches_change_it_and_adapters_without_a_floor_have_none(curve: LearningCurve) -> None:
    squared = limen.learning_curve(X, Y, labels=[40], seeds=1, loss="squared", radius=2.0)
    assert squared.loss == "squared"
    assert squared.radius == 2.0
    assert squared.points[-1].adaptation_loss != curve.points[-1].adaptation_loss
    nearest = limen.learning_curve(X, Y, labels=[40], seeds=1, method="knn")
    assert nearest.floor is None
    assert nearest.to_json()["floor"] is None


def test_bad_input_is_that_of_a_budget() -> None:
    with pytest.raises(BadInput, match="confidence"):
        limen.learning_curve(X, Y, confidence=1.5)
    with pytest.raises(BadInput, match="labels"):
        limen.learning_curve(X, Y, labels=[5000])
