"""From a task to mapped rows: what is dropped, kept together, refused, and said."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.feature_map import design_map
from limen.adapt.prepare import prepare
from limen.adapt.split import blocks, split
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
    used = np.concatenate([prepared.rows["fit"], prepared.rows["holdout"]])
    design = np.setdiff1d(np.arange(200), used)
    assert len(design) == 10
    expected = design_map(one.train.features[design])
    assert prepared.phi.bound == pytest.approx(expected.bound)
    assert np.allclose(prepared.phi.centre, expected.centre)
    changed = one.train.features.copy()
    changed[used] *= 3
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


def test_identical_rows_and_groups_stay_in_one_part():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 200)
    base = features(groups=groups)
    x = base.features.copy()
    x[50] = x[51] = x[0]
    prepared = prepare(task(LabelledFeatures(x, base.labels, base.classes, groups)), FitSpec())
    fit, held = set(prepared.rows["fit"].tolist()), set(prepared.rows["holdout"].tolist())
    for rows in [{0, 50, 51}, *({int(i) for i in np.flatnonzero(groups == g)} for g in range(60))]:
        assert not (rows & fit and rows & held)
    assert np.array_equal(prepared.holdout_groups, groups[prepared.rows["holdout"]])
    assert check(prepared, "duplicates")


def test_rows_named_together_stay_together_without_being_one_unit():
    together = np.arange(200) // 2
    prepared = prepare(task(together=together), FitSpec())
    fit, held = (set((prepared.rows[part] // 2).tolist()) for part in ("fit", "holdout"))
    assert not fit & held
    assert prepared.holdout_groups is None


def test_a_test_set_of_the_same_population_is_the_holdout():
    test = features(100, seed=5)
    prepared = prepare(task(populations={"test": test}, same_population=True), FitSpec())
    assert len(prepared.holdout) == 100
    assert np.allclose(prepared.holdout.features, prepared.phi(test.features))
    assert len(prepared.design) + len(prepared.fit) == 200
    assert prepared.populations == {}
    apart = prepare(task(populations={"test": test}), FitSpec())
    assert len(apart.holdout) == 40
    assert list(apart.populations) == ["test"]


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
    x[::4] = 1.0
    # the split seed with which the design is the block of identical rows
    seed = next(s for s in range(1000) if 0 in split(blocks(identical_rows(x), None), s).design[:1])
    with pytest.raises(BadInput, match="the 25 design rows are identical"):
        prepare(task(LabelledFeatures(x, rows.labels, rows.classes)), FitSpec(split_seed=seed))


def test_one_group_holding_most_rows_leaves_no_holdout():
    groups = np.zeros(100, dtype=np.int64)
    groups[:3] = [1, 2, 3]
    with pytest.raises(BadInput):
        prepare(task(features(100, groups=groups)), FitSpec())


def test_dropped_columns_and_clipping_are_noted():
    prepared = prepare(task(features(dropped_columns=(1, 4))), FitSpec())
    assert "(1, 4)" in check(prepared, "constant-columns")[0].finding
    assert check(prepared, "clipped-features")[0].numbers["share"] >= 0


def test_splits_differ_by_their_seed_only():
    a, b, c = (prepare(task(), FitSpec(split_seed=s)) for s in (0, 0, 1))
    assert np.array_equal(a.rows["fit"], b.rows["fit"])
    assert not np.array_equal(a.rows["fit"], c.rows["fit"])
