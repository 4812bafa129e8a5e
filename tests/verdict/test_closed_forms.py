"""Predictions against what they predict: on a world that meets their assumptions, and where they cannot be made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.fit import fit_task
from limen.records.budget import Budget
from limen.records.closed_forms import ClosedForms, Prediction
from limen.records.estimate import Estimate, not_identified
from limen.records.task import FitSpec, LabelledFeatures, Question, Task
from limen.verdict import conclude, rankings
from limen.verdict.closed_forms import set_beside


def task(n=3000, d=20, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    x = 0.8 * rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d))
    return Task("blobs", "own", LabelledFeatures(x, labels, tuple("abc"[:classes])))


SPEC = FitSpec(labels=(60, 300, 1000, "all"), seeds=3, radius=2.0, rich_head=False)


@pytest.fixture(scope="module")
def forms() -> ClosedForms:
    found = conclude(fit_task(task(), SPEC), Question()).closed_forms
    assert found is not None
    return found


def test_the_curve_is_foretold_within_two_hundredths(forms):
    # one-hot noise depends on x, so the spectrum is not exact; GCV is
    for point in forms.curve[1:]:
        for name, agreement in point.predicted.items():
            assert agreement.value == pytest.approx(point.measured.value, abs=0.02), (point.n, name)
    assert forms.curve[0].predicted["spectrum"].value > forms.curve[-1].predicted["spectrum"].value
    assert forms.predictors["gcv"].value == forms.curve[-1].predicted["gcv"].value


def test_the_forecast_falls_below_the_curve_to_the_floors(forms):
    last = forms.curve[-1]
    values = [last.predicted["spectrum"].value, *forms.forecast.values()]
    assert list(forms.forecast) == [2 * last.n, 4 * last.n]
    assert values == sorted(values, reverse=True)
    assert forms.floors["training"].value < values[-1]
    assert forms.floors["both"].value == pytest.approx(forms.floors["training"].value, abs=0.03)


def test_scores_stand_beside_the_measured_loss_of_the_budget():
    budget = conclude(fit_task(task(400), replace(SPEC, labels=(60, "all"))), Question())
    assert budget.closed_forms is not None
    assert budget.closed_forms.measured_loss == budget.terms["adaptation_loss"]
    assert set(budget.closed_forms.scores) == {"logme", "h_score", "h_score_shrunk", "leep", "nce"}
    assert Budget.from_json(budget.to_json()) == budget


def test_without_more_rows_than_features_the_spectrum_says_why_and_gcv_still_speaks():
    found = conclude(fit_task(task(200, 300), replace(SPEC, labels=(60, "all"))), Question()).closed_forms
    assert found is not None
    assert "more rows than features" in found.predictors["spectrum"].reason
    assert all(point.predicted["spectrum"].outcome == "unknown" for point in found.curve)
    assert all(point.predicted["gcv"].value is not None for point in found.curve)
    assert not found.forecast
    assert not found.floors


def test_other_adapters_say_why_there_are_none():
    found = conclude(fit_task(task(200), replace(SPEC, labels=(60, "all"), method="knn")), Question()).closed_forms
    assert found is not None
    assert "linear probe" in found.reason
    assert not found.scores
    assert not found.curve


@pytest.mark.parametrize(("value", "outcome"), [(0.4, "inside"), (0.39, "below"), (0.61, "above"), (None, "unknown")])
def test_where_a_prediction_lies(value, outcome):
    measured = Estimate(0.5, 0.4, 0.6, confidence=0.95)
    found = set_beside(value, measured)
    assert found.outcome == outcome
    assert found.difference == (None if value is None else pytest.approx(value - 0.5))
    assert set_beside(0.4, Estimate(0.5)).outcome == "unknown"


def test_a_prediction_is_a_value_or_a_reason():
    with pytest.raises(ValueError, match="needs a reason"):
        Prediction(None, "theory")
    with pytest.raises(ValueError, match="only then"):
        Prediction(1.0, "theory", reason="unknown")


def named(encoder: str, loss: float, **scores: float | None) -> Budget:
    measured = Estimate(loss, grade="statistical")
    found = {name: not_identified("none") if v is None else Estimate(v) for name, v in scores.items()}
    return Budget(
        encoder, "blobs", "linear-probe", "log", 10, 5, 2, 0.95, 1.0, {"adaptation_loss": measured}, None, None,
        closed_forms=ClosedForms(measured, found),
    )  # fmt: skip


def test_rankings_are_kendalls_tau_of_score_and_loss():
    budgets = [named("a", 0.1, logme=3.0), named("b", 0.2, logme=2.0), named("c", 0.3, logme=2.5)]
    (found,) = rankings(budgets)
    assert found.by_score == ("a", "c", "b")
    assert found.by_loss == ("a", "b", "c")
    assert found.tau.value == pytest.approx(1 / 3)  # two pairs agree, one does not
    assert found.tau.grade == "point"
    assert found.tau.n == 3
    assert found.to_json()["tau"]["value"] == found.tau.value


def test_rankings_need_two_encoders_with_the_score_and_no_ties_throughout():
    one = [named("a", 0.1, logme=3.0, nce=-1.0), named("b", 0.2, logme=3.0, nce=None)]
    (found,) = rankings(one)
    assert found.score == "logme"
    assert found.tau.value is None
    assert "same" in found.tau.reason
    assert rankings(one[:1]) == ()
    assert rankings([named("a", 0.1, logme=1.0), named("a", 0.2, logme=2.0)]) == (), "one encoder, two radii"


def test_another_method_of_an_encoder_does_not_take_the_place_of_its_probe():
    probes = [named("a", 0.1, logme=3.0), named("b", 0.2, logme=2.0)]
    nearest = [replace(one, method="knn", closed_forms=ClosedForms(Estimate(0.5), reason="no probe")) for one in probes]
    (found,) = rankings([*probes, *nearest])
    assert found.tau.value == pytest.approx(1.0)
    assert found.by_loss == ("a", "b")


def test_tasks_are_ranked_apart():
    other = [replace(named("a", 0.3, logme=1.0), task="other"), replace(named("b", 0.1, logme=2.0), task="other")]
    found = rankings([named("a", 0.1, logme=3.0), named("b", 0.2, logme=2.0), *other])
    assert [(one.task, one.by_loss) for one in found] == [("blobs", ("a", "b")), ("other", ("b", "a"))]
