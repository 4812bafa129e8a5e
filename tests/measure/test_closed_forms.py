"""Scores of a fit record against the functions that see the features; the measured curve against its losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.fit import fit_task
from limen.adapt.prepare import prepare
from limen.measure.closed_forms import SOURCES, measured_ridge, scores
from limen.measure.logme import logme
from limen.measure.transferability import h_score, leep, nce
from limen.records.estimate import Estimate
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, LabelledFeatures, Task


def task(n=300, d=5, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    x = rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    source = rng.dirichlet(np.ones(4), n)
    return Task("blobs", "own", LabelledFeatures(x, labels, tuple("abc"[:classes]), source=source))


SPEC = FitSpec(labels=(30, "all"), seeds=2, radius=4.0, rich_head=False)


@pytest.fixture(scope="module", params=[5, 400])  # more rows than features, fewer
def fitted(request):
    given = task(d=request.param)
    return given, fit_task(given, SPEC)


def test_scores_of_the_record_are_those_of_the_features(fitted):
    given, record = fitted
    rows = prepare(given, SPEC).fit
    theta, x = given.train.source[record.arrays["fit_rows"]], rows.features
    found = {name: score.value for name, score in scores(record).items()}
    assert list(found) == list(SOURCES)
    assert found.pop("logme") == pytest.approx(logme(x, rows.labels), rel=1e-7)
    assert found == pytest.approx(
        {
            "h_score": h_score(x[:, :-1], rows.labels),
            "h_score_shrunk": h_score(x[:, :-1], rows.labels, "ledoit-wolf"),
            "leep": leep(theta, rows.labels),
            "nce": nce(theta.argmax(axis=1), rows.labels),
        },
        rel=1e-8,
    )


def test_crowded_scores_say_so(fitted):
    given, record = fitted
    crowded = given.train.features.shape[1] > record.data["n_fit"]
    said = {name: " ".join(score.assumptions) for name, score in scores(record).items()}
    assert ("whatever the labels" in said["h_score"]) is crowded
    assert ("noise" in said["logme"]) is crowded
    assert all("higher is better" in words for words in said.values())


def test_scores_without_a_source_model_say_what_is_missing():
    given = task()
    record = fit_task(replace(given, train=replace(given.train, source=None)), SPEC)
    found = scores(record)
    assert found["leep"].value is None
    assert "source=P" in found["nce"].reason
    assert found["logme"].value is not None


def test_a_class_without_fit_rows_is_left_out():
    given = task(classes=3)
    labels = np.where(given.train.labels == 2, 0, given.train.labels)
    record = fit_task(replace(given, train=replace(given.train, labels=labels, source=None)), SPEC)
    rows = prepare(replace(given, train=replace(given.train, labels=labels)), SPEC).fit
    assert scores(record)["logme"].value == pytest.approx(logme(rows.features, rows.labels), rel=1e-7)


def test_features_that_explain_a_class_exactly_have_no_finite_evidence():
    record = fit_task(task(), SPEC)
    kept, n = record.arrays, record.data["n_fit"]
    explained = n * (kept["closed.power"] / kept["closed.spectrum"][:, None]).sum(axis=0)
    power = kept["closed.power"] * np.where(np.arange(3) == 0, kept["closed.class_counts"] / explained, 1.0)
    found = scores(replace(record, arrays={**kept, "closed.power": power}))["logme"]
    assert found.value is None
    assert "exactly" in found.reason


def test_white_features_shrink_to_nothing_and_say_so():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    white = np.linalg.qr(x - x.mean(axis=0))[0] * 20
    rows = LabelledFeatures(white, rng.integers(0, 2, 400), ("a", "b"))
    found = scores(fit_task(Task("noise", "white", rows), SPEC))
    assert found["h_score_shrunk"].value is None
    assert "whatever the labels" in found["h_score_shrunk"].reason
    assert found["h_score"].value is not None


def test_the_measured_curve_is_the_mean_of_its_subsets(fitted):
    _, record = fitted
    curve = measured_ridge(record, 0.9)
    assert [point.n for point in curve] == [30, record.data["n_fit"]]
    assert [len(point.subsets) for point in curve] == [2, 1]
    losses, points = record.arrays["closed.holdout_loss"], record.data["closed_forms"]["points"]
    for point in curve:
        at = [k for k, other in enumerate(points) if other["n"] == point.n]
        assert point.measured.value == pytest.approx(losses[at].mean())
        assert np.mean(point.subsets) == pytest.approx(point.measured.value)
        assert point.measured.low < point.measured.value < point.measured.high
        assert point.measured.confidence == 0.9
        assert point.gcv == pytest.approx(np.mean([points[k]["gcv"] for k in at]))
        assert any("subsets" in said for said in point.measured.assumptions)


def test_records_without_moments_have_neither():
    plain = StageRecord("fit", 1, {}, {})
    assert measured_ridge(plain, 0.95) == ()
    assert scores(plain) == {}
    assert all(isinstance(score, Estimate) for score in scores(fit_task(task(), SPEC)).values())
