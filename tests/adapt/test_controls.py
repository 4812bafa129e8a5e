"""Baselines without information: the class shares in closed form, shuffled labels at chance."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.controls import controls, prior_scores
from limen.adapt.prepare import Prepared, prepare
from limen.arrays.intervals import clopper_pearson_lower, clopper_pearson_upper
from limen.records.task import FitSpec, LabelledFeatures, Task

SHARES = (0.5, 0.3, 0.2)


def informative(**how: object) -> Prepared:
    draw = np.random.default_rng(3)
    labels = draw.choice(3, size=1200, p=SHARES)
    features = draw.normal(size=(1200, 4)) + 3.0 * np.eye(3, 4)[labels]
    rows = LabelledFeatures(features, labels.astype(np.int64), ("a", "b", "c"))
    return prepare(Task("t", "e", rows), FitSpec(**how))  # type: ignore[arg-type]


def test_prior_is_the_cross_entropy_with_the_fit_shares() -> None:
    prepared = informative()
    found = controls(prepared, 4.0)["prior"]
    held = np.bincount(prepared.holdout.labels, minlength=3) / len(prepared.holdout)
    fit = (np.bincount(prepared.fit.labels, minlength=3) + 0.5) / (len(prepared.fit) + 1.5)
    assert np.isclose(found.loss.mean(), -(held * np.log(fit)).sum())
    assert np.isclose((found.prediction != prepared.holdout.labels).mean(), 1 - held[fit.argmax()])


def test_a_class_without_a_fit_row_has_a_finite_loss() -> None:
    scores = prior_scores(np.array([0, 0, 2]), 4, "log")
    assert np.isfinite(scores).all()
    assert np.isclose(np.exp(scores).sum(), 1.0)


def test_prior_of_the_squared_loss_is_the_brier_score() -> None:
    prepared = informative(loss="squared")
    found, shares = controls(prepared, 2.0)["prior"], prior_scores(prepared.fit.labels, 3, "squared")
    assert np.allclose(found.loss, ((shares - np.eye(3)[prepared.holdout.labels]) ** 2).sum(axis=1))


@pytest.mark.parametrize("method", ["linear-probe", "mean-classifier", "lda", "knn"])
def test_shuffled_labels_know_nothing(method: str) -> None:
    """Predictions are independent of the labels given: 0-1 agreement is that of independent draws."""
    prepared = informative(method=method)
    found = controls(prepared, 4.0 if method == "linear-probe" else None)["shuffled_labels"]
    right, m = int((found.prediction == prepared.holdout.labels).sum()), len(prepared.holdout)
    guess = np.bincount(found.prediction, minlength=3) / m
    chance = float(guess @ (np.bincount(prepared.holdout.labels, minlength=3) / m))
    assert clopper_pearson_lower(right, m, 1e-4) <= chance <= clopper_pearson_upper(right, m, 1e-4)
    assert found.rows == min(2000, len(prepared.fit))


def test_another_split_seed_shuffles_differently() -> None:
    one, other = (controls(informative(split_seed=s), 4.0)["shuffled_labels"].loss for s in (0, 1))
    assert not np.array_equal(one, other)
