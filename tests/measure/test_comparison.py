"""Two encoders on the same rows: paired differences, swap bound, separability, refusals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest, t

from limen.adapt.fit import fit_task
from limen.adapt.prepare import prepare
from limen.adapt.split import DESIGN_SHARE
from limen.adapt.truth import Truth
from limen.arrays.intervals import holm
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import subclusters
from limen.measure import comparison as comparison_module
from limen.measure.comparison import compare
from limen.records.comparison import POOL_SHARE, Comparison
from limen.records.errors import BadInput
from limen.records.estimate import not_identified
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, LabelledFeatures, Task
from limen.verdict import compare_fits, compare_pairs

FULL = subclusters(3, 8, 5000, separation=1.6, label_noise=0.05, seed=4)
HALF = Population("half", FULL.features[:, :4], FULL.labels, 3)
SPEC = FitSpec(labels=("all",), seeds=1, radius=3.0, rich_head=False)


def two_encoders(seed, n=500, spec=SPEC, replace=False):
    """Fits of both worlds on the same rows, with the true floors."""
    rows = np.random.default_rng(seed).choice(len(FULL), n, replace=replace)
    fits, floors = [], []
    together = np.unique(rows, return_inverse=True)[1].astype(np.int64)
    for world, name in ((FULL, "full"), (HALF, "half")):
        data = LabelledFeatures(world.features[rows], world.labels[rows], ("a", "b", "c"))
        task = Task("t", name, data, together=together)
        fits.append(fit_task(task, spec))
        floors.append(Truth.of(world, prepare(task, spec).phi).minimum(3.0).loss)
    return fits, floors


@pytest.fixture(scope="module")
def pairs():
    return [two_encoders(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def repeating():
    """Rows drawn with replacement: 5 % repeat, so blocks are the units."""
    return two_encoders(0, replace=True)[0]


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs[0][0]


def test_splits_of_both_encoders_are_the_same(pair):
    assert np.array_equal(pair[0].arrays["holdout_rows"], pair[1].arrays["holdout_rows"])


def test_floor_difference_and_swap_bound_hold(pairs):
    """95 % each: of 6 samples fewer than 5 succeed with probability 3 %."""
    floor_hits = swap_hits = 0
    for fits, (full, half) in pairs:
        difference = compare(*fits)[0].floor_difference
        floor_hits += difference.low <= full - half <= difference.high
        low, high = comparison_module._swap(*fits, 0.95)
        swap_hits += low <= full - half <= high
        assert high - low > difference.high - difference.low  # the midpoint is worth its assumptions
    assert floor_hits >= 5
    assert swap_hits >= 5


def test_swap_bound_is_reported_where_a_midpoint_is_not_identified(pair, monkeypatch):
    monkeypatch.setattr(comparison_module, "midpoint", lambda fit, confidence: (not_identified("moves"), 0.0))
    found = compare(*pair)[0]
    narrow = found.floor_difference
    both = compare(*pair, pairs=10)[0].floor_difference
    assert (both.low, both.high) == comparison_module._swap(*pair, 0.995)
    assert both.low < narrow.low < narrow.high < both.high
    assert found.floor_difference.value is None
    assert found.floor_difference.reason == "moves"
    assert (found.floor_difference.low, found.floor_difference.high) == comparison_module._swap(*pair, 0.95)
    assert found.n_to_separate is None
    assert found.n_pool is None


def test_comparison_is_antisymmetric(pair):
    (forth, p), (back, q) = compare(*pair), compare(*pair[::-1])
    assert p == q
    for name in ("error_difference", "loss_difference", "floor_difference"):
        a, b = getattr(forth, name), getattr(back, name)
        assert (a.value, a.low, a.high) == pytest.approx((-b.value, -b.high, -b.low))
    assert comparison_module._swap(*pair, 0.95) == pytest.approx(
        tuple(-x for x in comparison_module._swap(*pair[::-1], 0.95))[::-1]
    )


def grouped(fit, of=7):
    """The same record with groups of fit and held-out rows: `of` consecutive row numbers each."""
    return StageRecord(
        fit.kind,
        fit.version,
        fit.data,
        {
            **fit.arrays,
            "fit_groups": fit.arrays["fit_rows"] // of,
            "holdout_groups": fit.arrays["holdout_rows"] // of,
        },
    )


@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
def test_groups_of_either_record_are_the_units_in_both_orders(pair, which):
    a, b = (grouped(fit) if has else fit for fit, has in zip(pair, which, strict=True))
    (forth, p), (back, q) = compare(a, b), compare(b, a)
    units = len(np.unique(pair[0].arrays["holdout_rows"] // 7))
    assert p == pytest.approx(q)
    assert forth.separable == back.separable
    for name in ("error_difference", "loss_difference", "floor_difference"):
        one, other = getattr(forth, name), getattr(back, name)
        assert (one.low, one.high, one.n) == pytest.approx((-other.high, -other.low, other.n))
    assert forth.loss_difference.n == units


def test_rows_in_one_group_of_either_record_are_connected(pair):
    """Groups of two row numbers in one record, of three in the other: brute-force union of what they share."""
    a, b = grouped(pair[0], 2), grouped(pair[1], 3)
    held = np.sort(pair[0].arrays["holdout_rows"])
    links = {row: {row} for row in held}
    for size in (2, 3):
        for x, y in pairwise(held):
            if x // size == y // size and links[x] is not links[y]:
                links[x] |= links[y]
                for row in links[y]:
                    links[row] = links[x]
    assert compare(a, b)[0].loss_difference.n == len({id(block) for block in links.values()})


def test_the_radii_of_both_are_stated(pair):
    wide = StageRecord("fit", 1, {**pair[1].data, "radius": 12.5}, pair[1].arrays)
    assert "‖W‖ ≤ 3 and ‖W‖ ≤ 12.5" in compare(pair[0], wide)[0].floor_difference.assumptions


def test_floors_of_all_pairs_of_a_task_hold_together(pair):
    """k pairs, whatever their methods and radii: each floor's interval at 1 − α/k, p corrected over the same k."""
    a, b = pair
    c, d = moved(a, 0.002), moved(b, 0.002)
    wide = [StageRecord(f.kind, f.version, {**f.data, "radius": 9.0}, f.arrays) for f in (a, b)]
    pairs = [(a, b), (a, c), (c, d), tuple(wide)]
    found, alone = compare_pairs(pairs), [compare(*each) for each in pairs]
    p = np.array([p for _, p in alone])
    assert [one.p_holm for one in found] == pytest.approx(holm(p))
    for one, (single, _) in zip(found, alone, strict=True):
        assert one.floor_difference.confidence == pytest.approx(1 - 0.05 / 4)
        assert one.floor_difference.low < single.floor_difference.low
        assert one.floor_difference.high > single.floor_difference.high
        assert one.loss_difference == single.loss_difference
        assert one.separable == (one.floor_difference.low > 0 or one.floor_difference.high < 0)
        assert "4 pairs hold together at 0.95" in one.floor_difference.assumptions
    assert compare_pairs(pairs[:1])[0].floor_difference == alone[0][0].floor_difference


def test_an_encoder_does_not_differ_from_itself(pair):
    found, p = compare(pair[0], pair[0])
    assert p == 1.0
    assert found.loss_difference.value == 0
    assert not found.separable


def test_differences_and_mcnemar_are_those_of_the_rows(pair):
    found, p = compare(*pair)
    wrong = [f.arrays["curve_holdout_prediction"][-1] != f.arrays["holdout_labels"] for f in pair]
    only_a, only_b = int((wrong[0] & ~wrong[1]).sum()), int((wrong[1] & ~wrong[0]).sum())
    assert p == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    assert found.error_difference.value == pytest.approx((only_a - only_b) / len(wrong[0]))
    losses = [f.arrays["curve_holdout_loss"][-1].mean() for f in pair]
    assert found.loss_difference.value == pytest.approx(losses[0] - losses[1])
    assert found.n == len(wrong[0])


def test_repeated_rows_are_no_further_evidence(repeating):
    """p is the cluster t test's, and each difference counts blocks."""
    found, p = compare(*repeating)
    groups = repeating[0].arrays["holdout_groups"]
    units, member = np.unique(groups, return_inverse=True)
    assert len(units) < len(groups) == found.n
    a, b = (f.arrays["curve_holdout_prediction"][-1] != f.arrays["holdout_labels"] for f in repeating)
    sums, sizes = np.bincount(member, weights=a.astype(float) - b), np.bincount(member)
    mean, g, shares = sums.sum() / sizes.sum(), len(units), sizes / sizes.sum()
    error = np.sqrt(((sums - mean * sizes) ** 2 / (1 - shares)).sum()) / sizes.sum()
    project = np.eye(g) - np.outer(shares, np.ones(g))  # deviations of group totals per row from their mean
    form = np.diag(shares) @ project.T @ np.diag(1 / (1 - shares)) @ project @ np.diag(shares)
    dof = np.trace(form) ** 2 / np.trace(form @ form)
    assert p == pytest.approx(2 * t.sf(abs(mean) / error, dof))
    assert found.error_difference.value == pytest.approx(mean)
    assert found.error_difference.n == found.loss_difference.n == g
    assert found.floor_difference.n < found.n_pool


def test_pairing_narrows_the_difference_of_losses(pair):
    found = compare(*pair)[0].loss_difference
    spread = [f.arrays["curve_holdout_loss"][-1].var(ddof=1) / found.n for f in pair]
    assert found.high - found.low < 2 * 1.96 * np.sqrt(sum(spread))


def moved(fit: StageRecord, change: float, noise: float = 0.0) -> StageRecord:
    """The record with all midpoint losses moved."""
    rng = np.random.default_rng(0)
    extra = noise * rng.normal(size=len(fit.arrays["pool_train_loss"]))
    arrays = dict(fit.arrays)
    for part, more in (("pool", extra), ("half", extra[fit.arrays["half_rows"]])):
        for side in ("train_loss", "cross_validated_loss"):
            arrays[f"{part}_{side}"] = arrays[f"{part}_{side}"] + change + more
    return StageRecord(fit.kind, fit.version, {**fit.data, "encoder": "moved"}, arrays)


def test_separable_means_that_the_interval_excludes_zero(pair):
    assert compare(pair[0], moved(pair[0], 0.2, noise=0.1))[0].separable
    close = compare(pair[0], moved(pair[0], 1e-4, noise=0.5))[0]
    assert not close.separable
    apart = compare(pair[0], moved(pair[0], 0.2, noise=0.1))[0]
    assert apart.n_to_separate is None


def test_that_many_rows_would_separate(pair):
    """With the drift kept and the noise of 95 % of n_to_separate rows, the interval just excludes 0."""
    a, b = pair[0], moved(pair[0], 0.03, noise=0.5)
    found, _ = compare(a, b)
    difference, half = (comparison_module._pooled(a, b, part)[0] for part in ("pool", "half"))
    drift = abs(difference.mean() - half.mean())
    assert not found.separable
    if abs(found.floor_difference.value) <= drift:
        assert found.n_to_separate is None
    else:
        width = t.isf(0.025, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(0.95 * found.n_to_separate) + drift
        assert width <= abs(found.floor_difference.value)
        assert found.n_to_separate > found.n_file


def test_rows_are_counted_in_the_file_for_floors_and_in_the_holdout_for_losses(pair):
    """500 rows: 25 of design, 375 fitted, 100 held out."""
    found = compare(*pair)[0]
    assert found.n == len(pair[0].arrays["holdout_rows"])
    assert found.n_pool == len(pair[0].arrays["fit_rows"]) + found.n
    assert found.n_file == pytest.approx(500, rel=0.02)  # blocks of equal rows are drawn whole
    assert pytest.approx(1 - DESIGN_SHARE) == POOL_SHARE


def test_comparison_survives_json_and_reads_files_without_the_pool(pair):
    found = compare(*pair)[0]
    assert Comparison.from_json(found.to_json()) == found
    older = {key: value for key, value in found.to_json().items() if key != "n_pool"}
    assert Comparison.from_json(older).n_file is None


def test_pools_are_paired_by_row_number_not_by_position(pair):
    """Another order of the same rows in one record changes nothing."""
    a, b = pair
    n_fit = len(b.arrays["fit_rows"])
    order = np.random.default_rng(0).permutation(n_fit)
    pool_order = np.concatenate([order, np.arange(n_fit, len(b.arrays["pool_train_loss"]))])
    inverse = np.argsort(pool_order)
    arrays = dict(b.arrays)
    arrays["fit_rows"] = arrays["fit_rows"][order]
    for name in ("pool_train_loss", "pool_cross_validated_loss"):
        arrays[name] = arrays[name][pool_order]
    arrays["half_rows"] = inverse[arrays["half_rows"]]
    shuffled = StageRecord(b.kind, b.version, b.data, arrays)
    assert compare(a, shuffled)[0].floor_difference.value == pytest.approx(compare(a, b)[0].floor_difference.value)


def test_held_out_rows_of_another_file_do_not_collide_with_train_rows():
    fits = []
    for world in (FULL, HALF):
        rows, other = np.arange(400), np.arange(400, 520)
        train, test = (
            LabelledFeatures(world.features[r], world.labels[r], ("a", "b", "c")) for r in (rows, other)
        )  # fmt: skip
        fits.append(fit_task(Task("t", world.name, train, {"test": test}, same_population=True), SPEC))
    found = compare(*fits)[0]
    assert found.n == 120
    assert found.floor_difference.n == 380 + 120


@pytest.mark.parametrize(("key", "value"), [("loss", "squared"), ("classes", 4), ("task", "other")])
def test_budgets_that_measure_different_things_are_refused(pair, key, value):
    other = StageRecord("fit", 1, {**pair[1].data, key: value}, pair[1].arrays)
    with pytest.raises(BadInput, match=f"differ in {key}"):
        compare(pair[0], other)


def test_all_differences_are_named_at_once(pair):
    other = StageRecord("fit", 1, {**pair[1].data, "loss": "squared", "task": "other"}, pair[1].arrays)
    with pytest.raises(BadInput) as error:
        compare(pair[0], other)
    assert len(error.value.problems) == 2


def test_without_common_rows_there_is_no_comparison(pair):
    apart = StageRecord(
        "fit", 1, pair[1].data, {**pair[1].arrays, "holdout_rows": pair[1].arrays["holdout_rows"] + 10_000}
    )
    with pytest.raises(BadInput, match="0 rows are held out by both"):
        compare(pair[0], apart)


def test_a_method_without_a_lower_side_has_no_floor_to_compare(pair):
    rows = np.random.default_rng(0).integers(0, len(FULL), 500)
    data = LabelledFeatures(FULL.features[rows], FULL.labels[rows], ("a", "b", "c"))
    together = np.unique(rows, return_inverse=True)[1].astype(np.int64)
    knn = fit_task(Task("t", "full", data, together=together), FitSpec(method="knn", labels=("all",), seeds=1))
    found = compare(pair[0], knn)[0]
    assert found.b == "full · knn"
    assert found.floor_difference.value is None
    assert found.floor_difference.low is None
    assert not found.separable


def test_p_values_are_holm_corrected_within_a_task(pair):
    third = moved(pair[1], 0.1)
    elsewhere = [StageRecord("fit", 1, {**f.data, "task": "other"}, f.arrays) for f in pair]
    found = compare_fits([*pair, third, *elsewhere])
    raw = [compare(a, b)[1] for a, b in ((pair[0], pair[1]), (pair[0], third), (pair[1], third))]
    assert [c.task for c in found] == ["t", "t", "t", "other"]
    assert found[0].p_holm == pytest.approx(min(1.0, 3 * min(raw)) if raw[0] == min(raw) else found[0].p_holm)
    assert all(c.p_holm >= p for c, p in zip(found, raw, strict=False))
    assert found[3].p_holm == pytest.approx(raw[0])  # one pair of its own: nothing to correct
