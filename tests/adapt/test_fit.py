"""The fit cell: deterministic, complete, plain; radius, label grid, folds and jackknife."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from limen.adapt.ball import Rows, certify, minimise
from limen.adapt.curve import Point, adapt
from limen.adapt.fit import VERSION, fit_task
from limen.adapt.floor_fits import jackknife_curve, midpoints, pool_rows
from limen.adapt.labels import label_counts
from limen.adapt.losses import per_example_loss
from limen.adapt.prepare import prepare
from limen.adapt.radius import GRID, GROWTH, choose_radius
from limen.adapt.split import subset_order
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.measure.budget import measure_budget
from limen.records.errors import BadInput
from limen.records.task import FitSpec, LabelledFeatures, Question, Task

WORLD = gaussian_classes(3, 5, 5000, separation=1.0, label_noise=0.05, seed=1)
SPEC = FitSpec(labels=(60, 120, "all"), seeds=2, radius=4.0, rich_head=False)


def task(n=320, seed=0, **more):
    return Task("world", "gaussian", WORLD.sample(n, np.random.default_rng(seed)), **more)


@pytest.fixture(scope="module")
def record():
    return fit_task(task(), SPEC)


def assert_same(a, b):
    assert {k: v for k, v in a.data.items() if k != "environment"} == {
        k: v for k, v in b.data.items() if k != "environment"
    }
    assert sorted(a.arrays) == sorted(b.arrays)
    for name, array in a.arrays.items():
        assert array.dtype == b.arrays[name].dtype, name
        assert array.tobytes() == b.arrays[name].tobytes(), name


def test_the_same_task_gives_the_same_record_bit_for_bit(record):
    assert_same(record, fit_task(task(), SPEC))


def test_threads_do_not_change_a_bit(record):
    assert_same(record, fit_task(task(), SPEC, threads=2))


@pytest.mark.parametrize("method", ["linear-probe", "mean-classifier", "lda", "knn"])
@pytest.mark.parametrize("loss", ["log", "squared"])
def test_every_field_is_finite_and_plain(method, loss):
    populations = {"test": gaussian_classes(3, 5, 90, seed=9).everything()}
    found = fit_task(task(populations=populations), FitSpec(method=method, loss=loss, labels=(60, "all"), seeds=1))
    json.dumps(dict(found.data), allow_nan=False)
    for name, array in found.arrays.items():
        assert array.size, name
        assert np.isfinite(array).all(), name
    assert found.version == VERSION
    assert found.kind == "fit"


def test_the_record_is_that_of_the_stated_rows(record):
    """Every number is recomputed from the weights and row numbers in the record."""
    train, prepared = task().train, prepare(task(), SPEC)
    weights = record.arrays["weights"]
    for part, name in (("fit", "fit_loss"), ("holdout", None)):
        rows = record.arrays[f"{part}_rows"]
        losses = per_example_loss(prepared.phi(train.features[rows]) @ weights, train.labels[rows], "log")
        assert np.allclose(losses, record.arrays[name] if name else record.arrays["curve_holdout_loss"][-1], atol=1e-12)
    again = certify(prepared.fit, weights, 4.0)
    assert record.data["final"]["gap"] == pytest.approx(again.gap, abs=1e-12)
    assert np.linalg.norm(weights) <= 4.0 * (1 + 1e-12)
    assert record.data["pool"]["minimum"] <= minimise(pool_rows(prepared), 4.0, tolerance=1e-9).loss
    assert record.data["holdout_minimum"] <= minimise(prepared.holdout, 4.0, tolerance=1e-9).loss


def test_curve_points_are_fits_on_prefixes(record):
    n_fit = record.data["n_fit"]
    assert [(p["n"], p["seed"]) for p in record.data["curve"]] == [(60, 0), (60, 1), (120, 0), (120, 1), (n_fit, None)]
    losses = record.arrays["curve_holdout_loss"].mean(axis=1)
    assert losses.shape == (5,)
    train, prepared = [p["train_loss"] for p in record.data["curve"]], prepare(task(), SPEC)
    for seed in (0, 1):
        order = subset_order(n_fit, 0, seed)
        for at, n in ((seed, 60), (2 + seed, 120)):
            assert train[at] == pytest.approx(
                minimise(prepared.fit.take(order[:n]), 4.0, tolerance=1e-8).loss, abs=1e-3
            )


def test_what_the_spec_asks_for_changes_the_record(record):
    base = record.arrays["curve_holdout_loss"]
    for change in (
        {"radius": 2.0}, {"loss": "squared"}, {"split_seed": 1},
        {"method": "knn"}, {"method": "lda"}, {"method": "mean-classifier"},
        {"subsets": "stratified"}, {"labels": (60, 100, "all")},
    ):  # fmt: skip
        fields = {"labels": (60, 120, "all"), "seeds": 2, "radius": 4.0, "rich_head": False, **change}
        other = fit_task(task(), FitSpec(**fields)).arrays["curve_holdout_loss"]
        assert other.shape != base.shape or not np.allclose(other, base), change


def test_neighbours_of_knn_change_it():
    few, many = (fit_task(task(), FitSpec(method="knn", labels=("all",), neighbours=k)) for k in (1, 30))
    assert not np.allclose(few.arrays["curve_holdout_loss"], many.arrays["curve_holdout_loss"])


def test_a_tuple_of_radii_is_several_fits():
    with pytest.raises(ValueError, match="one FitSpec per radius"):
        fit_task(task(), FitSpec(radius=(1.0, 2.0)))


def test_golden_identity():
    """A change here changes what users have stored: raise VERSION of the fit stage, or find the mistake.

    Rounded to 5 digits, so that another BLAS or processor gives the same words.
    """
    x = np.cos(np.outer(np.arange(80), [1.0, 2.5, 4.1])) + np.outer(np.arange(80) % 2, [0.5, 0.0, 1.0])
    rows = type(WORLD.sample(1, np.random.default_rng(0)))(x, (np.arange(80) % 2).astype(np.int64), ("a", "b"))
    found = fit_task(Task("golden", "cosines", rows), FitSpec(labels=(20, "all"), seeds=1, radius=3.0))
    losses = found.arrays["curve_holdout_loss"][-1].mean(), found.arrays["pool_cross_validated_loss"].mean()
    words = [f"{found.data['final']['loss']:.5f}", f"{found.data['pool']['minimum']:.4f}"]
    words += [f"{losses[0]:.5f}", f"{losses[1]:.4f}"]
    words.append(hashlib.sha256(found.arrays["holdout_rows"].astype(np.int64).tobytes()).hexdigest()[:12])
    assert (VERSION, words) == GOLDEN


GOLDEN = (6, ["0.44771", "0.5047", "0.79089", "0.6041", "bf4c84eb2c40"])


# ------------------------------------------------------------------ folds and jackknife


@pytest.mark.parametrize("radius", [2.0, 5000.0])
def test_held_out_rows_never_influence_the_fit_that_scores_them(radius, monkeypatch):
    """Labels without signal: held out, no adapter beats guessing, however close it fits."""
    rng = np.random.default_rng(0)
    rows = LabelledFeatures(rng.normal(size=(120, 70)), rng.integers(0, 4, 120), tuple("abcd"))
    prepared = prepare(Task("t", "e", rows), FitSpec(radius=radius))
    start = minimise(pool_rows(prepared), radius)
    whole, half, half_rows = midpoints(prepared, start, None, threads=1)
    assert whole.cross_validated_loss.mean() > np.log(4) - 0.1
    assert half.cross_validated_loss.mean() > np.log(4) - 0.1
    assert len(half_rows) == len(half.train_loss) == len(start_rows := whole.train_loss) // 2
    assert start_rows.mean() < np.log(4)
    if radius > 100:  # a warm start would be returned as it came: it has seen every row
        monkeypatch.setattr("limen.adapt.ball.CLOSE_FIT", -1.0)
        monkeypatch.setattr("limen.adapt.ball.UNSEEN", 1e12)
        leaked = midpoints(prepared, start, None, threads=1)[0]
        assert leaked.cross_validated_loss.mean() < 0.1


def test_training_side_of_the_midpoint_is_the_certified_minimum():
    prepared = prepare(task(), SPEC)
    whole, half, half_rows = midpoints(prepared, minimise(prepared.fit, 4.0), None, threads=2)
    pool = pool_rows(prepared)
    for part, rows in ((whole, pool), (half, pool.take(half_rows))):
        exact = minimise(rows, 4.0, tolerance=1e-9).loss
        assert part.fit.minimum <= exact <= part.train_loss.mean() + 1e-12
        assert part.train_loss.mean() - exact <= 1e-4


def test_blocks_stay_within_a_fold_and_a_half():
    rows = task(200).train
    twice = type(rows)(np.vstack([rows.features, rows.features]), np.tile(rows.labels, 2), rows.classes)
    prepared = prepare(Task("t", "e", twice), FitSpec(radius=4.0))
    whole, _, half_rows = midpoints(prepared, minimise(prepared.fit, 4.0), None, threads=1)
    block = np.concatenate([prepared.fit_blocks, prepared.holdout_blocks])
    losses = whole.cross_validated_loss
    labels = pool_rows(prepared).labels
    for one in np.unique(block):
        mine = block == one
        assert np.isin(np.flatnonzero(mine), half_rows).all() or not np.isin(np.flatnonzero(mine), half_rows).any()
        for label in np.unique(labels[mine]):  # one fold: the same fit scores the copies
            assert np.ptp(losses[mine & (labels == label)]) < 1e-12


def test_jackknife_replicates_are_refits_without_the_group(monkeypatch):
    monkeypatch.setattr("limen.adapt.floor_fits.JACKKNIFE_TOLERANCE", 1e-7)
    prepared = prepare(task(), SPEC)
    order = np.arange(100)
    fit = minimise(prepared.fit.take(order), 4.0)
    point = Point(100, 0, order, fit.loss, np.zeros(1), np.zeros(1, dtype=np.int64), fit)
    deleted = jackknife_curve(prepared, [point], (None,), threads=1)
    assert deleted.n.shape == deleted.train.shape == deleted.holdout.shape == deleted.error.shape == (20, 1)
    groups_fit, groups_held = prepared.pool_groups[: len(prepared.fit)], prepared.pool_groups[len(prepared.fit) :]
    for group in (0, 7):
        rows = order[groups_fit[order] != group]
        exact = minimise(prepared.fit.take(rows), 4.0, tolerance=1e-8)
        kept = groups_held != group
        scores = prepared.holdout.features[kept] @ exact.weights
        labels = prepared.holdout.labels[kept]
        assert deleted.n[group, 0] == len(rows)
        assert deleted.train[group, 0] == pytest.approx(exact.loss, abs=1e-6)
        assert deleted.holdout[group, 0] == pytest.approx(per_example_loss(scores, labels, "log").mean(), abs=1e-3)
        wrong = int((scores.argmax(axis=1) != labels).sum())
        assert deleted.error[group, 0] * len(labels) == pytest.approx(
            wrong, abs=2
        )  # a tie may fall either way, with its copy


@pytest.mark.parametrize(("groups", "refitted"), [(39, False), (60, True)])
def test_fewer_than_two_units_a_row_group_give_no_jackknife(groups, refitted):
    """Units of design are in no row group: the count is of fit and holdout."""
    rows = task(800).train
    grouped = LabelledFeatures(rows.features + 1e-9 * np.arange(800)[:, None], rows.labels, rows.classes,
                               np.arange(800) % groups)  # fmt: skip
    found = fit_task(Task("t", "e", grouped), SPEC)
    names = {f"jackknife_{part}" for part in ("n", "train", "holdout", "error")}
    assert names & set(found.arrays) == (names if refitted else set())
    budget = measure_budget(found, Question())
    assert budget.extrapolation.asymptote.grade != "extrapolated" or refitted


# ------------------------------------------------------------------ radius and labels


def test_the_radius_comes_from_the_grid_and_the_design_alone():
    prepared = prepare(task(2000), FitSpec())
    radius, check = choose_radius(prepared.design, 0)
    assert radius / GROWTH in GRID
    assert check.outcome == "ok"
    assert choose_radius(prepared.design, 0)[0] == radius


def test_more_signal_asks_for_a_larger_radius():
    def chosen(separation):
        world = gaussian_classes(3, 4, 3000, separation=separation, seed=3)
        x = np.hstack([world.features, np.ones((3000, 1))])[:300]
        return choose_radius(Rows(x, world.labels[:300], 3), 0)[0]

    assert chosen(2.0) > chosen(0.1)


def test_the_squared_radius_is_the_grid_value_nearest_the_leave_one_out_optimum():
    prepared = prepare(task(2000), FitSpec(loss="squared"))
    losses = [
        per_example_loss(
            prepared.fit.features @ minimise(prepared.design, r).weights, prepared.fit.labels, "squared"
        ).mean()
        for r in GRID
    ]
    chosen = choose_radius(prepared.design, 0)[0] / GROWTH
    assert losses[GRID.index(chosen)] <= min(losses) * 1.05


def test_few_design_rows_get_a_default_and_say_so():
    prepared = prepare(task(60), FitSpec())
    radius, check = choose_radius(prepared.design, 0)
    assert check.outcome == "noted"
    assert "too few to choose on" in check.finding
    assert radius == pytest.approx(GROWTH * 8 * np.sqrt(3))


def test_label_counts_double_and_end_with_all():
    assert label_counts(FitSpec(), classes=77, n_fit=7500) == (154, 308, 616, 1232, 2464, 4928, 7500)
    assert label_counts(FitSpec(), classes=2, n_fit=40) == (40,)
    assert label_counts(FitSpec(labels=("all", 10, 5, 10)), 2, 100) == (5, 10, 100)
    assert label_counts(FitSpec(labels=(100,)), 2, 100) == (100,)


def test_label_counts_that_cannot_be_are_all_named():
    with pytest.raises(BadInput) as error:
        label_counts(FitSpec(labels=(1, 50, 101, 200)), 2, 100)
    text = str(error.value)
    assert "got 1, 101, 200" in text
    assert "50 labels" not in text
    assert "75 %" in text


def test_stratified_counts_below_a_row_a_class_are_refused_with_the_smallest_legal_one():
    with pytest.raises(BadInput, match="smallest legal number is"):
        fit_task(task(), FitSpec(labels=(2, "all"), subsets="stratified", radius=1.0))


def test_adapters_that_do_not_exist_are_refused():
    rows = prepare(task(), SPEC).fit
    with pytest.raises(ValueError, match="unknown method 'magic'"):
        adapt(rows, FitSpec(method="magic"), 1.0, 1e-3)
    with pytest.raises(ValueError, match="needs a radius"):
        adapt(rows, FitSpec(), None, 1e-3)
