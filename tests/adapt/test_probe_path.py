"""The path against scikit-learn in float64, its certificate, its identities, and every bad input."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import limen
from limen.records.errors import LimenError

PENALTIES = [1.0, 1e-2, 1e-4]


def world(n=120, d=12, classes=4, seed=0, spread=1.5):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.7
    scores = features @ rng.normal(size=(d, classes)) * spread
    labels = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    labels[:classes] = np.arange(classes)
    return features, labels


def objective(probe, features, labels, penalty, weights=None, free=False):
    """F_λ written out."""
    scores = features @ probe.coef_.T + probe.intercept_
    top = scores.max(axis=1)
    losses = top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - scores[np.arange(len(labels)), labels]
    squared = (probe.coef_**2).sum() + (0 if free else (probe.intercept_**2).sum())
    return np.average(losses, weights=weights) + penalty / 2 * squared


def reference(features, labels, penalty, weights=None, free=False):
    """The least objective by scikit-learn in float64; a penalised intercept is a constant feature."""
    n, classes = len(labels), len(np.unique(labels))
    if not free:
        features = np.hstack([features, np.ones((n, 1))])
    total = n if weights is None else weights.sum()
    strength = (2 if classes == 2 else 1) / (penalty * total)
    model = LogisticRegression(C=strength, fit_intercept=free, tol=1e-10, max_iter=20_000, solver="lbfgs")
    model.fit(features, labels, sample_weight=weights)
    coef, intercept = model.coef_, model.intercept_ if free else np.zeros(classes)
    if classes == 2:
        coef, intercept = np.vstack([-coef, coef]) / 2, np.array([-intercept[0], intercept[0]]) / 2

    class Fit:
        coef_, intercept_ = coef, intercept

    if not free:
        Fit.intercept_ = np.zeros(classes)
    return objective(Fit, features, labels, penalty, weights, free=True)


@pytest.mark.parametrize("intercept", ["penalized", "free"])
@pytest.mark.parametrize(("n", "d", "classes"), [(120, 12, 2), (120, 12, 5), (30, 60, 2), (30, 60, 4)])
def test_every_fit_is_within_its_certificate_of_the_reference(n, d, classes, intercept):
    features, labels = world(n, d, classes)
    for tolerance in (1e-4, 1e-8):
        probes = limen.probe_path(features, labels, penalties=PENALTIES, intercept=intercept, tolerance=tolerance)
        for probe, penalty in zip(probes, PENALTIES, strict=True):
            least = reference(features, labels, penalty, free=intercept == "free")
            certificate = probe.certificate_
            assert certificate.converged
            assert certificate.gap <= tolerance
            assert certificate.minimum <= least + 1e-10
            assert least <= probe.objective_ + 1e-10 <= least + tolerance + 1e-9
            written_out = objective(probe, features, labels, penalty, free=intercept == "free")
            assert probe.objective_ == pytest.approx(written_out, rel=1e-12)
            assert probe.penalty_ == penalty


@pytest.mark.parametrize("intercept", ["penalized", "free"])
def test_integer_weights_are_repeated_rows(intercept):
    features, labels = world(60, 8, 3)
    weights = np.random.default_rng(1).integers(0, 4, size=60).astype(float)
    weights[:3] = 1
    times = weights.astype(int)
    asked = {"penalties": PENALTIES, "intercept": intercept, "tolerance": 1e-10}
    weighted = limen.probe_path(features, labels, sample_weight=weights, **asked)
    repeated = limen.probe_path(np.repeat(features, times, axis=0), np.repeat(labels, times), **asked)
    plain = limen.probe_path(features, labels, **asked)
    for a, b, c in zip(weighted, repeated, plain, strict=True):
        assert a.objective_ == pytest.approx(b.objective_, abs=1e-9)
        assert np.abs(a.coef_ - c.coef_).max() > 1e-3  # the weights do something


@pytest.mark.parametrize("intercept", ["penalized", "free"])
def test_a_radius_is_a_penalty_seen_from_the_other_side(intercept):
    features, labels = world(200, 10, 3)
    by_penalty = limen.probe_path(features, labels, penalties=PENALTIES, intercept=intercept, tolerance=1e-9)
    radii = [
        np.hypot(np.linalg.norm(p.coef_), (intercept != "free") * np.linalg.norm(p.intercept_)) for p in by_penalty
    ]
    assert [p.radius_ for p in by_penalty] == pytest.approx(radii)
    by_radius = limen.probe_path(features, labels, radii=radii, intercept=intercept, tolerance=1e-7)
    for a, b in zip(by_penalty, by_radius, strict=True):
        assert b.certificate_.converged
        assert b.objective_ == pytest.approx(a.certificate_.loss, abs=2e-7)
        assert b.penalty_ == pytest.approx(a.penalty_, rel=0.05)
        norm = np.hypot(np.linalg.norm(b.coef_), (intercept != "free") * np.linalg.norm(b.intercept_))
        assert norm <= b.radius_ * (1 + 1e-12)


def test_a_ball_that_does_not_bind_holds_the_unconstrained_minimum():
    features, labels = world(400, 4, 2, spread=0.5)
    wide = limen.probe_path(features, labels, radii=[1e3], intercept="free", tolerance=1e-6)[0]
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(features, labels)
    assert wide.certificate_.gap <= 1e-6
    assert wide.coef_[1] - wide.coef_[0] == pytest.approx(model.coef_[0], abs=5e-3)


def test_radii_agree_with_the_ball_solver():
    from limen.adapt.ball import Rows, minimise

    features, labels = world(150, 9, 3)
    rows = Rows(np.hstack([features, np.ones((150, 1))]), labels, 3)
    for radius, probe in zip(
        (1.0, 8.0), limen.probe_path(features, labels, radii=[1.0, 8.0], tolerance=1e-7), strict=True
    ):
        assert probe.objective_ == pytest.approx(minimise(rows, radius, tolerance=1e-8).loss, abs=2e-7)


def test_the_order_of_penalties_does_not_matter_and_shared_moves_of_all_classes_are_zero():
    features, labels = world()
    there = limen.probe_path(features, labels, penalties=PENALTIES)
    back = limen.probe_path(features, labels, penalties=PENALTIES[::-1])[::-1]
    for a, b in zip(there, back, strict=True):
        assert (a.coef_ == b.coef_).all()
        assert np.abs(a.coef_.sum(axis=0)).max() < 1e-6


def test_one_tolerance_a_fit():
    features, labels = world(300, 20, 4)
    loose, tight = limen.probe_path(features, labels, penalties=[1e-3, 1e-4], tolerance=[1e-1, 1e-9])
    assert 1e-9 < loose.certificate_.gap <= 1e-1
    assert tight.certificate_.gap <= 1e-9


def test_probes_predict():
    features, labels = world()
    probe = limen.probe_path(features, np.array(["a", "b", "c", "d"])[labels], penalties=[1e-3])[0]
    assert probe.score(features, np.array(["a", "b", "c", "d"])[labels]) > 0.6
    assert probe.predict_proba(features).sum(axis=1) == pytest.approx(1)


# ---------------------------------------------------------------- hard input


def test_separable_rows_with_a_tiny_penalty_have_a_finite_answer_and_an_honest_certificate():
    features, labels = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    for intercept in ("penalized", "free"):
        probe = limen.probe_path(features, labels, penalties=[1e-10], intercept=intercept)[0]
        assert np.isfinite(probe.coef_).all()
        assert 0 < probe.objective_ < 1e-6
        assert probe.certificate_.gap <= 1e-4
        assert probe.score(features, labels) == 1


def test_duplicate_rows_change_nothing():
    features, labels = world(50, 70, 3)
    once = limen.probe_path(features, labels, penalties=PENALTIES, tolerance=1e-10)
    twice = limen.probe_path(np.vstack([features] * 2), np.tile(labels, 2), penalties=PENALTIES, tolerance=1e-10)
    for a, b in zip(once, twice, strict=True):
        assert a.objective_ == pytest.approx(b.objective_, abs=1e-9)


@pytest.mark.parametrize("n", [20, 200])
def test_rank_deficient_features_are_the_same_as_their_span(n):
    thin, labels = world(n, 5, 3)
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 5)))
    wide = thin @ turned.T
    for a, b in zip(
        limen.probe_path(thin, labels, penalties=PENALTIES, tolerance=1e-10),
        limen.probe_path(wide, labels, penalties=PENALTIES, tolerance=1e-10),
        strict=True,
    ):
        assert a.objective_ == pytest.approx(b.objective_, abs=1e-9)
        assert b.certificate_.converged


def test_a_single_example_a_class():
    features = np.eye(3)
    probe = limen.probe_path(features, [0, 1, 2], penalties=[0.1], tolerance=1e-9)[0]
    assert probe.score(features, [0, 1, 2]) == 1
    assert probe.objective_ == pytest.approx(reference(features, np.arange(3), 0.1), abs=1e-8)


def test_a_subset_that_misses_a_class_knows_only_the_others():
    features, labels = world()
    kept = labels != 2
    probe = limen.probe_path(features[kept], labels[kept], penalties=[0.01])[0]
    assert probe.classes_.tolist() == [0, 1, 3]
    assert probe.coef_.shape == (3, features.shape[1])


def test_layout_and_type_of_the_features_do_not_matter():
    features, labels = world()
    features = features.astype(np.float16).astype(np.float64)
    wide = np.zeros((len(features), 2 * features.shape[1]))
    wide[:, ::2] = features
    expected = limen.probe_path(features, labels, penalties=[1e-3], tolerance=1e-9)[0].objective_
    for other in (features.astype(np.float16), np.asfortranarray(features), wide[:, ::2], features.astype(np.float32)):
        found = limen.probe_path(other, labels, penalties=[1e-3], tolerance=1e-9)[0]
        assert found.objective_ == pytest.approx(expected, abs=2e-9)


@pytest.mark.parametrize("size", [1e-150, 1e-9, 1e9, 1e150])
def test_units_of_the_features_do_not_matter(size):
    features, labels = world()
    plain = limen.probe_path(features, labels, penalties=[1e-3], intercept="free", tolerance=1e-8)[0]
    scaled = limen.probe_path(size * features, labels, penalties=[1e-3 * size**2], intercept="free", tolerance=1e-8)[0]
    assert scaled.objective_ == pytest.approx(plain.objective_, abs=2e-8)
    assert scaled.certificate_.converged


def test_all_rows_the_same():
    probe = limen.probe_path(np.ones((4, 2)), [0, 1, 1, 1], penalties=[1.0], intercept="free")[0]
    assert probe.coef_ == pytest.approx(0)
    assert probe.intercept_[1] - probe.intercept_[0] == pytest.approx(np.log(3))


FEATURES, LABELS = world(20, 3, 2)
BAD = {
    "neither": ({}, "exactly one"),
    "both": ({"penalties": [1.0], "radii": [1.0]}, "exactly one"),
    "zero": ({"penalties": [0.0]}, "positive"),
    "negative": ({"radii": [-1.0]}, "positive"),
    "empty": ({"penalties": []}, "positive"),
    "nan penalty": ({"penalties": [np.nan]}, "positive"),
    "tolerance": ({"penalties": [1.0, 2.0], "tolerance": [1e-3]}, "one a fit"),
    "intercept": ({"penalties": [1.0], "intercept": "none"}, "penalized"),
    "words for numbers": ({"penalties": "auto"}, "positive, finite numbers, got auto"),
    "word for a tolerance": ({"penalties": [1.0], "tolerance": "tight"}, "tight"),
    "word for weights": ({"penalties": [1.0], "sample_weight": "balanced"}, "sample_weight"),
    "no labels": ({"penalties": [1.0], "y": None}, "one label a row"),
    "nan": ({"penalties": [1.0], "X": np.where(np.eye(20, 3) > 0, np.nan, FEATURES)}, "row 0, column 0"),
    "too large": ({"penalties": [1.0], "X": FEATURES * 1e200}, "divide X"),
    "too small": ({"penalties": [1.0], "X": FEATURES * 1e-200}, "divide X"),
    "flat": ({"penalties": [1.0], "X": FEATURES[:, 0]}, "rows, features"),
    "text": ({"penalties": [1.0], "X": FEATURES.astype(str)}, "numbers"),
    "lengths": ({"penalties": [1.0], "y": LABELS[:-1]}, "one label a row"),
    "one class": ({"penalties": [1.0], "y": np.zeros(20)}, "two classes"),
    "continuous": ({"penalties": [1.0], "y": np.linspace(0, 1, 20)}, "continuous"),
    "label nan": ({"penalties": [1.0], "y": np.where(np.arange(20) == 3, np.nan, LABELS)}, "row 3"),
    "weights short": ({"penalties": [1.0], "sample_weight": np.ones(3)}, "sample_weight"),
    "weights negative": ({"penalties": [1.0], "sample_weight": -np.ones(20)}, "at least 0"),
    "weights zero": ({"penalties": [1.0], "sample_weight": np.zeros(20)}, "not all 0"),
    "class of weight 0": ({"penalties": [1.0], "intercept": "free", "sample_weight": 1.0 * (LABELS == 0)}, "class 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    changed, words = BAD[case]
    asked = {"X": FEATURES, "y": LABELS, **changed}
    with pytest.raises(LimenError, match=words):
        limen.probe_path(asked.pop("X"), asked.pop("y"), **asked)


def test_all_problems_are_told_at_once():
    with pytest.raises(LimenError) as caught:
        limen.probe_path(FEATURES[:, 0], LABELS[:3], penalties=[1.0], sample_weight=[1.0])
    assert {problem.where for problem in caught.value.problems} == {"X", "y", "sample_weight"}


def test_rows_of_a_file_that_are_not_held_give_the_same_probes(tmp_path, monkeypatch):
    features, labels = world(700, 20, 3)
    np.save(tmp_path / "X.npy", features.astype(np.float32))
    there = np.load(tmp_path / "X.npy", mmap_mode="r")
    for intercept in ("penalized", "free"):
        asked = {"penalties": PENALTIES, "intercept": intercept, "tolerance": 1e-5}
        held = limen.probe_path(there, labels, **asked)
        monkeypatch.setattr("limen.adapt.penalised.KEPT_FEATURES", 0)
        streamed = limen.probe_path(there, labels, **asked)
        monkeypatch.undo()
        for a, b in zip(held, streamed, strict=True):
            assert b.certificate_.converged
            assert b.objective_ == pytest.approx(a.objective_, abs=1e-5)
            assert b.coef_ == pytest.approx(a.coef_, abs=0.05)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("intercept", ["penalized", "free"])
def test_a_tolerance_beyond_rounding_ends_and_says_so(intercept):
    features, labels = world(80, 100, 4)
    for probe in limen.probe_path(features, labels, penalties=[1e-2, 1e-9], intercept=intercept, tolerance=1e-20):
        assert not probe.certificate_.converged
        assert 0 < probe.certificate_.gap < 1e-6


def test_probabilities_of_0_and_1_leave_no_curvature_and_still_end():
    asked = {"radii": [1, 30, 1e3, 1e5], "intercept": "free"}
    probes = limen.probe_path([[1.7], [99.9], [-0.7]], [0, 1, 0], **asked)
    assert all(probe.certificate_.converged for probe in probes)


@pytest.mark.parametrize("intercept", ["penalized", "free"])
@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_an_offset_leaves_the_certificate_a_lower_bound(intercept, offset):
    features, labels = world(60, 5, 3)
    plain = limen.probe_path(features, labels, penalties=[1e-4], intercept="free", tolerance=1e-9)[0]
    moved = limen.probe_path(features + offset, labels, penalties=[1e-4], intercept=intercept)[0]
    assert np.isfinite([moved.objective_, moved.certificate_.minimum]).all()
    if intercept == "free":
        assert moved.certificate_.converged
        assert moved.certificate_.minimum <= plain.objective_ + 1e-9
        assert moved.objective_ == pytest.approx(plain.objective_, abs=1e-4)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [1e-100, 1e-8, 1e100])
def test_units_of_radii_do_not_matter(size):
    features, labels = world(60, 4, 3)
    plain = limen.probe_path(features, labels, radii=[1.0], intercept="free", tolerance=1e-7)[0]
    scaled = limen.probe_path(size * features, labels, radii=[1 / size], intercept="free", tolerance=1e-7)[0]
    assert scaled.certificate_.converged
    assert scaled.objective_ == pytest.approx(plain.objective_, abs=2e-7)
    assert scaled.n_iter_ < 500


def test_weights_of_any_size_are_shares():
    features, labels = world(60, 4, 3)
    plain, huge = (
        limen.probe_path(features, labels, penalties=[1e-2], sample_weight=w)[0] for w in (None, np.full(60, 1e308))
    )
    assert (plain.coef_ == huge.coef_).all()


@pytest.mark.parametrize("y", [[0, None] * 10, [0, "a"] * 10])
def test_labels_that_cannot_be_told_apart_are_named(y):
    with pytest.raises(LimenError, match="labels"):
        limen.probe_path(FEATURES, np.array(y, dtype=object), penalties=[1.0])
