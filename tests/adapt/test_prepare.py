"""From a task to mapped rows: what is dropped, kept together, refused, and said."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.feature_map import design_map
from limen.adapt.prepare import prepare
from limen.adapt.split import blocks
from limen.data.duplicates import identical_rows
from limen.records.errors import BadInput
from limen.records.task import FitSpec, LabelledFeatures, Task


def features(n=200, seed=0, classes=2, groups=None, **more):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    x = rng.normal(size=(n, 4)) + labels[:, None]
    return LabelledFeatures(x, labels.astype(np.int64), tuple("abcdef"[:classes]), groups, **more)


def task(train=None, populations=None, **more):
    return Task("cases", "encoder", train if train is not None else features(), populations or {}, **more)


def check(prepared, name):
    return [c for c in prepared.checks if c.name == name]


def test_design_fixes_the_map_and_no_other_row_does():
    one = task()
    prepared = prepare(one, FitSpec())
    others = used(prepared)
    design = np.setdiff1d(np.arange(200), others)
    assert len(design) == 10
    expected = design_map(one.train.features[design])
    assert prepared.phi.bound == pytest.approx(expected.bound)
    assert np.allclose(prepared.phi.centre, expected.centre)
    changed = one.train.features.copy()
    changed[others] *= 3
    again = prepare(task(LabelledFeatures(changed, one.train.labels, one.train.classes)), FitSpec())
    assert again.phi.scale == prepared.phi.scale
    assert np.allclose(prepared.fit.features, prepared.phi(one.train.features[prepared.rows["fit"]]))
    assert np.array_equal(prepared.fit.labels, one.train.labels[prepared.rows["fit"]])


def test_rows_that_recur_in_a_population_leave_the_train_file_and_are_counted():
    train, test = features(), features(300, seed=1)
    x = test.features.copy()
    x[7] = train.features[3]
    prepared = prepare(task(train, {"test": LabelledFeatures(x, test.labels, test.classes)}), FitSpec())
    assert 3 not in np.concatenate([prepared.rows["fit"], prepared.rows["holdout"]])
    assert len(prepared.fit) + len(prepared.holdout) + len(prepared.design) == 199
    (found,) = check(prepared, "recurring-rows")
    assert found.numbers == {"dropped": 1, "recurring": 1}
    assert "rows 3" in found.finding


def test_more_than_one_per_cent_recurring_rows_are_refused_for_every_population_at_once():
    train, test = features(), features(300, seed=1)
    x = test.features.copy()
    x[:4] = train.features[:4]
    leaky = LabelledFeatures(x, test.labels, test.classes)
    with pytest.raises(BadInput, match=r"4 of the 300 rows of 'test' \(1\.3%\)") as error:
        prepare(task(train, {"test": leaky, "shifted": leaky}), FitSpec())
    assert len(error.value.problems) == 2
    assert all(problem.fix for problem in error.value.problems)
    exactly = LabelledFeatures(np.vstack([x[:3], test.features[3:]]), test.labels, test.classes)
    assert check(prepare(task(train, {"test": exactly}), FitSpec()), "recurring-rows")  # 1 % itself is allowed


def with_copies(copies, n=200, groups=None):
    """The file with its last `copies` rows replaced by copies of its first ones, labels included."""
    base = features(n, groups=groups)
    x, y = base.features.copy(), base.labels.copy()
    x[n - copies :], y[n - copies :] = x[:copies], y[:copies]
    return LabelledFeatures(x, y, base.classes, groups)


def used(prepared):
    return np.concatenate([prepared.rows["fit"], prepared.rows["holdout"]])


def apart(prepared, block):
    """Whether no block has rows in both fit and holdout."""
    fit, held = (set(block[prepared.rows[part]].tolist()) for part in ("fit", "holdout"))
    return not fit & held


def test_few_repeated_rows_are_dropped_so_that_every_row_is_a_unit():
    """1 % of 200 rows: the first of each input stays, whatever the seed."""
    for seed in range(5):
        prepared = prepare(task(with_copies(2)), FitSpec(split_seed=seed))
        assert not {198, 199} & set(used(prepared).tolist())
        assert len(prepared.design) + len(used(prepared)) == 198
        (found,) = check(prepared, "duplicates")
        assert (found.outcome, found.numbers) == ("noted", {"rows": 2})
        assert prepared.holdout_groups is None
        assert prepared.fit_groups is None
    clean = prepare(task(), FitSpec())
    assert check(clean, "duplicates") == []
    assert len(clean.design) + len(used(clean)) == 200


def test_more_repeated_rows_make_blocks_the_units():
    prepared = prepare(task(with_copies(3)), FitSpec())
    assert len(prepared.design) + len(used(prepared)) == 200
    (found,) = check(prepared, "duplicates")
    assert (found.outcome, found.numbers) == ("rejected", {"rows": 3})
    block = np.arange(200)
    block[197:] = [0, 1, 2]
    for seed in range(5):
        again = prepare(task(with_copies(3)), FitSpec(split_seed=seed))
        assert apart(again, block)
        for part, groups in (("fit", again.fit_groups), ("holdout", again.holdout_groups)):
            assert np.array_equal(identical_rows(groups[:, None]), identical_rows(block[again.rows[part]][:, None]))


@pytest.mark.parametrize(("pairs", "outcome", "rows"), [(2, "noted", 198), (3, "rejected", 200)])
def test_rows_named_together_are_one_input(pairs, outcome, rows):
    together = np.arange(200)
    together[1 : 2 * pairs : 2] = together[: 2 * pairs : 2]
    prepared = prepare(task(together=together), FitSpec())
    (found,) = check(prepared, "duplicates")
    assert (found.outcome, found.numbers["rows"]) == (outcome, pairs)
    assert len(prepared.design) + len(used(prepared)) == rows
    assert apart(prepared, together)
    assert (prepared.holdout_groups is None) == (outcome == "noted")


def test_all_rows_in_pairs_are_half_as_many_units():
    prepared = prepare(task(together=np.arange(200) // 2), FitSpec())
    assert apart(prepared, np.arange(200) // 2)
    assert 2 * len(np.unique(prepared.holdout_groups)) == len(prepared.holdout)
    assert 2 * len(np.unique(prepared.fit_groups)) == len(prepared.fit)


def test_identical_rows_and_groups_stay_in_one_part_and_their_blocks_are_the_units():
    """Groups joined by an identical row are one block; a dropped row would be one of a group, so none is."""
    groups = np.random.default_rng(0).integers(0, 60, 200)
    rows = with_copies(2, groups=groups)
    joined = blocks(identical_rows(rows.features), groups)
    assert len(np.unique(joined)) < len(np.unique(groups))
    for seed in range(5):
        prepared = prepare(task(rows), FitSpec(split_seed=seed))
        assert apart(prepared, joined)
        assert np.array_equal(prepared.holdout_groups, joined[prepared.rows["holdout"]])
        assert np.array_equal(prepared.fit_groups, joined[prepared.rows["fit"]])
        assert len(prepared.design) + len(used(prepared)) == 200
    (found,) = check(prepared, "groups")
    largest = np.bincount(joined).max() / 200
    assert (found.outcome, found.numbers) == ("ok", {"groups": len(np.unique(joined)), "largest_share": largest})
    assert f"the largest with {largest:.1%} of them" in found.finding
    assert check(prepared, "duplicates") == []


@pytest.mark.parametrize(("copies", "rows", "grouped"), [(1, 99, False), (2, 100, True)])
def test_a_test_file_that_is_the_holdout_counts_every_input_once_too(copies, rows, grouped):
    outer = features(100, seed=5)
    x = outer.features.copy()
    x[100 - copies :] = x[:copies]
    test = LabelledFeatures(x, outer.labels, outer.classes)
    prepared = prepare(task(populations={"test": test}, same_population=True), FitSpec())
    assert len(prepared.holdout) == rows
    assert (prepared.holdout_groups is not None) == grouped
    assert prepared.fit_groups is None
    assert not set(prepared.fit_blocks) & set(prepared.holdout_blocks)
    (found,) = check(prepared, "duplicates")
    assert "of 'test'" in found.finding
    if grouped:
        assert len(np.unique(prepared.holdout_groups)) == 100 - copies


def test_fewer_than_two_units_in_a_part_are_refused_by_name():
    with pytest.raises(BadInput, match="the holdout part holds 1 independent units"):
        prepare(task(features(100, groups=np.arange(100) % 5)), FitSpec())  # design, three to fit, one held out
    for seed in range(20):
        prepared = prepare(task(features(100, groups=np.arange(100) // 5)), FitSpec(split_seed=seed))
        for part in (prepared.fit_groups, prepared.holdout_groups):
            assert len(np.unique(part)) >= 2
    lone = features(100, seed=5, groups=np.zeros(100, dtype=np.int64))
    with pytest.raises(BadInput, match="the test part holds 1 independent units"):
        prepare(task(populations={"test": lone}, same_population=True), FitSpec())


def test_features_too_large_to_be_squared_are_refused():
    rows = features(100)
    with pytest.raises(BadInput, match="cases"):
        prepare(task(LabelledFeatures(rows.features * 1e200, rows.labels, rows.classes)), FitSpec())


def test_a_test_set_of_the_same_population_is_the_holdout():
    test = features(100, seed=5)
    prepared = prepare(task(populations={"test": test}, same_population=True), FitSpec())
    assert len(prepared.holdout) == 100
    assert np.allclose(prepared.holdout.features, prepared.phi(test.features))
    assert len(prepared.design) + len(prepared.fit) == 200
    assert prepared.populations == {}
    scored = prepare(task(populations={"test": test}), FitSpec())
    assert len(scored.holdout) == 40
    assert list(scored.populations) == ["test"]


def test_a_population_that_differs_is_rejected_and_one_that_does_not_is_not():
    moved = features(300, seed=3)
    shifted = LabelledFeatures(moved.features + 2.0, moved.labels, moved.classes)
    found = check(prepare(task(features(300), {"same": moved, "moved": shifted}), FitSpec()), "two-sample")
    assert [c.outcome for c in found] == ["ok", "rejected"]
    insisted = prepare(task(features(300), {"test": shifted}, same_population=True), FitSpec())
    assert "because you said" in check(insisted, "two-sample")[0].finding


def test_too_few_rows_and_one_class_parts_are_refused():
    with pytest.raises(BadInput, match=r"at least 40 rows .* got 39"):
        prepare(task(features(39)), FitSpec())
    prepare(task(features(40)), FitSpec())
    lonely = features(100)
    labels = np.zeros(100, dtype=np.int64)
    labels[0] = 1
    with pytest.raises(BadInput, match="has one class only"):
        prepare(task(LabelledFeatures(lonely.features, labels, ("a", "b"))), FitSpec())


def test_identical_design_rows_are_refused():
    rows = features(100)
    x = rows.features.copy()
    x[:] = x[np.arange(100) // 2 % 10]  # ten inputs, and the design is the ten rows of one of them
    with pytest.raises(BadInput, match="the 10 design rows are identical"):
        prepare(task(LabelledFeatures(x, rows.labels, rows.classes)), FitSpec())


def test_one_group_holding_most_rows_leaves_no_holdout():
    groups = np.zeros(100, dtype=np.int64)
    groups[:3] = [1, 2, 3]
    with pytest.raises(BadInput):
        prepare(task(features(100, groups=groups)), FitSpec())


def test_a_group_larger_than_a_holdout_is_noted():
    groups = np.arange(200)
    groups[:50] = 0
    (found,) = check(prepare(task(features(groups=groups)), FitSpec()), "groups")
    assert (found.outcome, found.numbers) == ("noted", {"groups": 151, "largest_share": 0.25})
    assert "the largest with 25.0% of them" in found.finding


def tenfold(rows):
    """The same file with every row ten times."""
    return LabelledFeatures(np.repeat(rows.features, 10, axis=0), np.repeat(rows.labels, 10), rows.classes)


def test_copies_in_a_scored_population_are_one_unit_and_no_evidence_of_a_shift():
    once = features(60, seed=7)
    alone, copied = (prepare(task(features(600), {"test": rows}), FitSpec()) for rows in (once, tenfold(once)))
    assert len(copied.populations["test"]) == 600
    assert len(np.unique(copied.population_groups["test"])) == 60
    assert alone.population_groups == {}
    (said,) = check(copied, "duplicates")
    assert (said.outcome, said.numbers) == ("rejected", {"rows": 540})
    assert "of 'test'" in said.finding
    assert check(alone, "duplicates") == []
    one, other = (check(prepared, "two-sample")[0].numbers for prepared in (alone, copied))
    assert other["label_p"] == one["label_p"]
    assert other["feature_p"] == pytest.approx(one["feature_p"])


def test_the_two_sample_test_of_copies_keeps_its_level():
    """60 rows of the same population, ten times each: 200 tests at level 0.01 reject hardly ever."""
    rejected = 0
    for seed in range(200):
        mine, theirs = features(200, seed=2 * seed), tenfold(features(60, seed=2 * seed + 1))
        (found,) = check(prepare(task(mine, {"test": theirs}), FitSpec(split_seed=seed)), "two-sample")
        rejected += found.outcome == "rejected"
    assert rejected <= 7  # Binomial(200, 0.01) exceeds it once in 600 runs


def test_few_copies_in_a_scored_population_are_dropped():
    rows = features(200, seed=7)
    x = rows.features.copy()
    x[198:] = x[:2]
    prepared = prepare(task(populations={"shifted": LabelledFeatures(x, rows.labels, rows.classes)}), FitSpec())
    assert np.allclose(prepared.populations["shifted"].features, prepared.phi(x[:198]))
    assert prepared.population_groups == {}
    (said,) = check(prepared, "duplicates")
    assert (said.outcome, said.numbers) == ("noted", {"rows": 2})


def test_groups_of_a_scored_population_are_joined_by_equal_rows_and_tested_by_one_row_each():
    rows = features(400, seed=7, groups=np.arange(400) // 2)
    rows.features[2] = rows.features[0]
    prepared = prepare(task(features(400), {"test": rows}), FitSpec())
    assert len(np.unique(prepared.population_groups["test"])) == 199
    assert check(prepared, "groups")[0].numbers["groups"] == 199
    three = features(90, seed=7, groups=np.arange(90) // 30)
    (found,) = check(prepare(task(features(400), {"test": three}), FitSpec()), "two-sample")
    assert (found.outcome, found.numbers) == ("noted", {"population": "test", "units": 3})


def test_classes_with_fewer_than_two_held_out_rows_are_named():
    rows = features(200, classes=3)
    test = features(60, seed=3, classes=3)
    labels = test.labels.copy()
    labels[labels == 2] = 0
    labels[0] = 2
    outer = LabelledFeatures(test.features, labels, test.classes)
    prepared = prepare(task(rows, {"test": outer}, same_population=True), FitSpec())
    (found,) = check(prepared, "held-out-classes")
    assert (found.outcome, found.numbers) == ("noted", {"classes": 1, "empty": 0})
    assert "('c')" in found.finding
    assert check(prepare(task(rows), FitSpec()), "held-out-classes") == []


def test_dropped_columns_and_clipping_are_noted():
    prepared = prepare(task(features(dropped_columns=(1, 4))), FitSpec())
    assert "(1, 4)" in check(prepared, "constant-columns")[0].finding
    assert check(prepared, "clipped-features")[0].numbers["share"] >= 0


def test_splits_differ_by_their_seed_only():
    a, b, c = (prepare(task(), FitSpec(split_seed=s)) for s in (0, 0, 1))
    assert np.array_equal(a.rows["fit"], b.rows["fit"])
    assert not np.array_equal(a.rows["fit"], c.rows["fit"])
