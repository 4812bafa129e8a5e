"""class_gap holds on worlds whose truth is known; slices add up to the whole; baselines and groups are counted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import skew

from limen.adapt.ball import minimise
from limen.adapt.fit import fit_task
from limen.adapt.floor_fits import holdout_minimum, pool_rows
from limen.adapt.losses import per_example_loss
from limen.adapt.prepare import Prepared, prepare
from limen.adapt.rich_head import rich_head
from limen.adapt.truth import Truth
from limen.arrays.intervals import clopper_pearson_lower, mean_of, student_quantile
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.data.worlds.population import Population
from limen.data.worlds.subclusters import subclusters
from limen.measure.budget import measure_budget
from limen.measure.finer import MOST_VALUES, _pooled_error, class_gap, swap_bound
from limen.measure.floor import midpoint, pool_groups
from limen.records.budget import Budget
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, LabelledFeatures, Question, Task

SPEC = FitSpec(labels=("all",), seeds=1, radius=4.0)
ASKED = Question()


def fitted(rows: LabelledFeatures, spec: FitSpec = SPEC, **populations: LabelledFeatures) -> StageRecord:
    return fit_task(Task("t", "e", rows, populations), spec)


def rings(rows: int = 6000, seed: int = 0) -> Population:
    """Label = inside or outside of a ring, 5 % of labels flipped: no linear head beats chance."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, 2))
    labels = (np.linalg.norm(features, axis=1) > 1.18).astype(np.int64)
    flipped = draw.random(rows) < 0.05
    return Population("rings", features, np.where(flipped, 1 - labels, labels), 2)


def for_the_gap(prepared: Prepared) -> StageRecord:
    """The part of the fit record that class_gap reads."""
    pool, probe = minimise(pool_rows(prepared), 4.0), minimise(prepared.fit, 4.0)
    own, own_loss = holdout_minimum(prepared, pool)
    held = per_example_loss(prepared.holdout.features @ probe.weights, prepared.holdout.labels, "log")
    head = rich_head(prepared, 4.0)
    n = len(prepared.fit)
    data = {"holdout_minimum": own.minimum, "pool": {"minimum": pool.minimum, "n": n + len(held)}, "n_fit": n,
            "rich_head": {"landmarks": head.landmarks}}  # fmt: skip
    arrays = {"rich_holdout_loss": head.holdout_loss, "holdout_own_loss": own_loss, "curve_holdout_loss": held[None]}
    if prepared.holdout_groups is not None:
        arrays["holdout_groups"] = prepared.holdout_groups
    return StageRecord("fit", 0, data, arrays)


def truth_of_the_gap(world: Population, prepared: Prepared) -> float:
    """L*_linear − L(g) with both population losses exact: g is the head that the sample gave, scored on every row."""
    truth = Truth.of(world, prepared.phi)
    everywhere = rich_head(replace(prepared, holdout=truth.rows), 4.0).holdout_loss
    return truth.minimum(4.0).loss - float(everywhere.mean())


WORLDS = {
    "rings": rings(),
    "subclusters": subclusters(3, 4, 6000, separation=1.5),
    "gaussian": gaussian_classes(3, 4, 6000, separation=1.0),
}


@pytest.mark.parametrize("name", WORLDS)
def test_low_end_lies_below_the_true_gap(name: str) -> None:
    """Nominal 95 %: the rate of misses is not shown to exceed 5 %; far from rings, linear is all there is to gain."""
    world, missed, lows, repetitions = WORLDS[name], 0, [], 8
    for seed in range(repetitions):
        prepared = prepare(Task("t", "e", world.sample(500, np.random.default_rng(seed))), SPEC)
        gap = class_gap(for_the_gap(prepared), 0.95)
        assert gap is not None
        assert gap.low is not None
        missed += gap.low > truth_of_the_gap(world, prepared)
        lows.append(gap.low)
    assert clopper_pearson_lower(missed, repetitions, 0.01) <= 0.05
    if name == "rings":
        assert np.median(lows) > 0.1
        assert np.mean(np.array(lows) > 0) >= 0.75
    if name == "gaussian":  # a linear head is the Bayes rule: nothing to gain
        assert max(lows) <= 0


@cache
def plain() -> StageRecord:
    return fitted(sample())


def sample(n: int = 600) -> LabelledFeatures:
    """Different rows of the world: each is a unit."""
    draw, world = np.random.default_rng(5), WORLDS["gaussian"]
    chosen = draw.choice(len(world), n, replace=False)
    rows = LabelledFeatures(world.features[chosen], world.labels[chosen], ("0", "1", "2"))
    who = tuple(np.array(["ann", "bo", "cy"])[draw.choice(3, n, p=[0.5, 0.3, 0.2])])
    return replace(rows, slices={"who": who, "row": tuple(str(i) for i in range(n))})


def test_the_gap_of_few_rows_has_t_quantiles_and_is_not_reported() -> None:
    prepared = prepare(Task("t", "e", WORLDS["rings"].sample(60, np.random.default_rng(1))), SPEC)
    record = for_the_gap(prepared)
    gap = class_gap(record, 0.95)
    assert gap is not None
    low, way, _ = swap_bound(record, 0.95)
    own = record.arrays["holdout_own_loss"] - record.arrays["rich_holdout_loss"]
    m = len(own)
    t, error = student_quantile(0.025, m - 1), own.std(ddof=1) / np.sqrt(m)
    lowered = max(0.0, -skew(own)) * error * (1 + 2 * t**2) / (6 * np.sqrt(m))
    paired = record.data["holdout_minimum"] - record.arrays["rich_holdout_loss"].mean() - t * error - lowered
    assert low >= paired - 1e-12
    if way.startswith("paired"):
        assert low == pytest.approx(paired)
    assert (gap.low, gap.high, gap.confidence) == (None, None, None)
    assert gap.reason.startswith(f"{m} held-out units: ")
    assert gap.n == m < 50


def test_groups_of_the_fit_rows_lower_the_gap_where_the_holdout_has_none() -> None:
    """Fit rows in groups and a test file without them: the fit rows are taken for copies, and groups are named."""
    record = plain()
    groups = np.arange(record.data["n_fit"]) // 10
    with_groups = replace(record, arrays={**record.arrays, "fit_groups": groups})
    alone, together = class_gap(record, 0.95), class_gap(with_groups, 0.95)
    assert alone is not None
    assert together is not None
    assert alone.assumptions[0] == "independent rows"
    assert together.assumptions[0] == "independent groups"
    mine = mean_of(record.arrays["curve_holdout_loss"][-1] * 0.1 - record.arrays["rich_holdout_loss"])
    assert _pooled_error(with_groups, mine) > _pooled_error(record, mine)


def test_gap_is_one_sided_and_switched() -> None:
    gap = measure_budget(plain(), ASKED).terms["class_gap"]
    direct = class_gap(for_the_gap(prepare(Task("t", "e", sample()), SPEC)), 0.95)
    assert direct is not None
    assert gap.low == pytest.approx(direct.low, abs=2e-4)  # both certificates are within their tolerance
    assert (gap.value, gap.high, gap.state, gap.grade) == (None, None, "not_identified", "statistical")
    assert gap.reason
    off = fitted(sample(), replace(SPEC, rich_head=False))
    assert "class_gap" not in measure_budget(off, ASKED).terms
    assert set(plain().arrays) - set(off.arrays) == {"rich_holdout_loss"}
    for name, array in off.arrays.items():
        assert np.array_equal(array, plain().arrays[name]), name
    wider = class_gap(plain(), 0.99)
    assert wider is not None
    assert wider.low is not None
    assert gap.low is not None
    assert wider.low < gap.low


@pytest.mark.parametrize("method", ["mean-classifier", "knn"])
def test_methods_without_a_ball_have_no_class_gap_but_baselines(method: str) -> None:
    budget = measure_budget(fitted(sample(), replace(SPEC, method=method, radius="auto")), ASKED)  # type: ignore[arg-type]
    assert "class_gap" not in budget.terms
    assert set(budget.controls) == {"prior", "shuffled_labels"}


def test_slices_add_up_to_the_whole() -> None:
    budget = measure_budget(plain(), ASKED)
    parts = budget.slices["who"]
    assert set(parts) == {"ann", "bo", "cy"}
    assert sum(part.n for part in parts.values()) == budget.n_holdout
    for term in ("adaptation_loss", "error"):
        total = sum(part.n * getattr(part, term).value for part in parts.values()) / budget.n_holdout
        assert np.isclose(total, budget.terms[term].value, atol=1e-12)
    assert all(part.error.confidence == pytest.approx(1 - 0.05 / 3) for part in parts.values())


def test_a_column_of_many_values_is_cut_and_says_so() -> None:
    budget = measure_budget(plain(), ASKED)
    assert len(budget.slices["row"]) == MOST_VALUES
    lone = next(iter(budget.slices["row"].values()))
    assert (lone.n, lone.adaptation_loss.low, lone.error.grade) == (1, None, "certified")
    assert [c.numbers["values"] for c in budget.population_checks if c.name == "slices"] == [budget.n_holdout]


def test_an_informative_adapter_beats_its_baselines() -> None:
    budget = measure_budget(plain(), ASKED)
    for baseline in budget.controls.values():
        low, high = baseline["adaptation_loss"].low, budget.terms["adaptation_loss"].high
        assert low is not None
        assert high is not None
        assert low > high


def test_document_and_back() -> None:
    budget = measure_budget(plain(), ASKED)
    assert Budget.from_json(budget.to_json()) == budget
    older = {key: value for key, value in budget.to_json().items() if key not in ("slices", "controls")}
    assert Budget.from_json(older) == replace(budget, slices={}, controls={})


def in_groups(copies: int) -> LabelledFeatures:
    """Every row of a sample `copies` times, barely moved, as one group."""
    rows = WORLDS["gaussian"].sample(300, np.random.default_rng(6))
    jitter = 1e-6 * np.random.default_rng(7).normal(size=(300 * copies, 4))
    return LabelledFeatures(
        np.repeat(rows.features, copies, axis=0) + jitter, np.repeat(rows.labels, copies), rows.classes,
        np.repeat(np.arange(300), copies),
    )  # fmt: skip


def test_groups_are_the_units_of_every_interval() -> None:
    rows = in_groups(4)
    fit = fitted(rows, shift=replace(rows, features=rows.features + 1.0))
    groups = pool_groups(fit)
    assert groups is not None
    n_fit = fit.data["n_fit"]
    assert not set(groups[:n_fit]) & set(groups[n_fit:])
    budget = measure_budget(fit, ASKED)
    holdout_units = len(np.unique(fit.arrays["holdout_groups"]))
    for name in ("adaptation_loss", "generalization_gap", "error", "balanced_error", "class_gap"):
        assert budget.terms[name].n == holdout_units, name
        assert budget.terms[name].grade == "statistical"
    for name in ("minimal_adaptation_loss", "optimism", "estimation_gap"):
        assert budget.terms[name].n == len(np.unique(groups)), name
    assert budget.shift["shift"]["adaptation_loss"].n == 300
    assert budget.shift["shift"]["shift_gap"].n == 300 + holdout_units
    assert all(b["error"].grade == "statistical" for b in budget.controls.values())


def test_copies_in_groups_do_not_narrow_the_midpoint() -> None:
    """Four copies of a row are no four rows: the cluster error is twice that of rows taken for independent."""
    fit = fitted(in_groups(4))
    blind = replace(fit, arrays={k: v for k, v in fit.arrays.items() if not k.endswith("_groups")})
    widths = []
    for record in (fit, blind):
        found, drift = midpoint(record, 0.95)
        low, high = found.low, found.high
        if found.value is None:
            pytest.fail(found.reason)
        assert low is not None
        assert high is not None
        widths.append((high - low) / 2 - drift)
    assert widths[0] / widths[1] == pytest.approx(2.0, rel=0.02)
