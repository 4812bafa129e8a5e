"""Moments and closed-form fits of a record against the rows themselves: refits, plain sums, scikit-learn's spectrum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt import closed_forms as module
from limen.adapt import mapped_rows
from limen.adapt.ball import Rows
from limen.adapt.closed_forms import closed_forms, moments, ridge_fit
from limen.adapt.labels import label_counts
from limen.adapt.losses import one_hot, per_example_loss
from limen.adapt.prepare import prepare
from limen.adapt.ridge import ridge_grid, ridge_weights
from limen.adapt.split import subset_order
from limen.records.task import FitSpec, LabelledFeatures, Task


def task(n=400, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    x = rng.normal(size=(classes, d))[labels] * 1.5 + rng.normal(size=(n, d))
    return Task("blobs", "own", LabelledFeatures(x, labels, tuple("abcdef"[:classes])))


def prepared(d=5, **fields):
    spec = FitSpec(**{"labels": (20, 60, "all"), "seeds": 4, "radius": 4.0, **fields})
    found = prepare(task(d=d), spec)
    return found, label_counts(spec, 3, len(found.fit))


def squared(rows):
    return Rows(rows.features, rows.labels, rows.classes, "squared")


@pytest.mark.parametrize("d", [5, 40])  # 20 labels are fewer than 41 features: the kernel's case
def test_every_point_is_the_ridge_fit_of_its_rows(d):
    found, counts = prepared(d)
    data, arrays = closed_forms(found, counts, 1)
    facts = data["closed_forms"]
    points = facts["points"]
    expected = [(n, s) for n in counts[:-1] for s in range(module.SUBSETS)] + [(counts[-1], None)]
    assert [(p["n"], p["seed"]) for p in points] == expected
    for at, point in enumerate(points):
        order = subset_order(len(found.fit), 0, point["seed"] or 0)[: point["n"]]
        rows = squared(found.fit.take(order))
        weights = ridge_weights(rows, point["penalty"])
        held = per_example_loss(found.holdout.features @ weights, found.holdout.labels, "squared")
        np.testing.assert_allclose(arrays["closed.holdout_loss"][at], held, rtol=1e-7, atol=1e-9)
        grid = ridge_grid(rows, [len(rows)], np.array([point["penalty"]]))
        assert point["training_loss"] == pytest.approx(grid.training_loss[0, 0], rel=1e-7)
        assert point["gcv"] == pytest.approx(grid.gcv[0, 0], rel=1e-6)


def test_the_penalty_is_the_one_of_least_leave_one_out_loss_in_the_first_subset():
    found, counts = prepared()
    facts = closed_forms(found, counts, 1)[0]["closed_forms"]
    for entry in facts["grid"]:
        chosen = {p["penalty"] for p in facts["points"] if p["n"] == entry["n"]}
        assert chosen == {facts["penalties"][int(np.argmin(entry["leave_one_out_loss"]))]}
    assert len({p["penalty"] for p in facts["points"]}) > 1, "the world must make a choice"


@pytest.mark.parametrize("d", [5, 400])
def test_moments_rebuild_the_gram_matrix_and_what_the_labels_say_of_it(d):
    rows = squared(prepared(d)[0].fit)
    data, arrays = moments(rows)
    x, y, n = rows.features, one_hot(rows.labels, 3), len(rows)
    assert data["rows"] == n
    assert data["features"] == d + 1
    positive = np.linalg.eigvalsh(x.T @ x / n)
    np.testing.assert_allclose(arrays["closed.spectrum"].sum(), positive.sum(), rtol=1e-10)
    assert arrays["closed.spectrum"].size == min(n, d + 1)
    # Σ_j power_jc/s_j = ‖projection of y_c on the columns of x‖²/n
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(
        (arrays["closed.power"] / arrays["closed.spectrum"][:, None]).sum(axis=0), (fitted**2).mean(axis=0), rtol=1e-8
    )
    centred = x[:, :-1] - x[:, :-1].mean(axis=0)
    np.testing.assert_allclose(arrays["closed.centred_spectrum"].sum(), (centred**2).sum() / n, rtol=1e-10)


def test_least_squares_is_that_of_lstsq_and_absent_without_a_residual():
    found, counts = prepared()
    facts = closed_forms(found, counts, 1)[0]["closed_forms"]["least_squares"]
    weights = np.linalg.lstsq(found.fit.features, one_hot(found.fit.labels, 3), rcond=None)[0]
    train = per_example_loss(found.fit.features @ weights, found.fit.labels, "squared").mean()
    test = per_example_loss(found.holdout.features @ weights, found.holdout.labels, "squared").mean()
    assert facts["rank"] == 6
    assert facts["training_loss"] == pytest.approx(train, rel=1e-9)
    assert facts["holdout_loss"] == pytest.approx(test, rel=1e-9)
    wide, counts = prepared(400)
    assert closed_forms(wide, counts, 1)[0]["closed_forms"]["least_squares"] is None


def test_other_adapters_and_very_wide_features_leave_a_reason(monkeypatch):
    found, counts = prepared(method="knn")
    data, arrays = closed_forms(found, counts, 1)
    assert "linear probe" in data["closed_forms"]["reason"]
    assert not arrays
    monkeypatch.setattr(module, "MOST_FEATURES", 5)
    data, arrays = closed_forms(*prepared(), 1)
    assert "5 features" in data["closed_forms"]["reason"]
    assert not arrays


def test_more_rows_than_are_read_end_the_curve_there(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    found, counts = prepared()
    data, _ = closed_forms(found, counts, 1, source=np.tile(np.arange(len(found.fit))[:, None], 2))
    assert data["closed_forms"]["rows"] == 100
    assert {p["n"] for p in data["closed_forms"]["points"]} == {20, 60}


def test_the_loss_of_the_budget_and_threads_change_nothing():
    base = closed_forms(*prepared(), 1)
    for other in (closed_forms(*prepared(loss="squared"), 1), closed_forms(*prepared(), 3)):
        assert other[0] == base[0]
        assert all(np.array_equal(other[1][name], array) for name, array in base[1].items())


def test_source_probabilities_are_those_of_the_fit_rows():
    theta = np.random.default_rng(0).dirichlet(np.ones(4), 400)
    from limen.adapt.fit import fit_task

    plain = task()
    given = replace(plain, train=replace(plain.train, source=theta))
    record = fit_task(given, FitSpec(labels=(20, "all"), seeds=1, radius=4.0, rich_head=False))
    np.testing.assert_array_equal(record.arrays["closed.source"], theta[record.arrays["fit_rows"]])
    np.testing.assert_array_equal(record.arrays["closed.labels"], plain.train.labels[record.arrays["fit_rows"]])


def test_a_ridge_fit_needs_no_gram_matrix_of_few_rows():
    rows = squared(prepared(40)[0].fit.take(np.arange(20)))
    fit = ridge_fit(rows, None, 0.1)
    np.testing.assert_allclose(fit.weights, ridge_weights(rows, 0.1), rtol=1e-8, atol=1e-12)


def test_rows_that_are_not_held_give_the_same(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 60)
    held, arrays = closed_forms(*prepared(), 1)
    monkeypatch.setattr(mapped_rows, "HELD_BYTES", 70 * 6 * 8)
    found, counts = prepared()
    assert mapped_rows.in_blocks(found.fit.features) is not None
    data, in_blocks = closed_forms(found, counts, 1)
    assert data["closed_forms"]["points"] == held["closed_forms"]["points"]
    np.testing.assert_allclose(in_blocks["closed.holdout_loss"], arrays["closed.holdout_loss"], rtol=1e-12)
