"""Every term of the budget against the truth on finite populations; the identity catches mutations."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from limen.adapt.fit import fit_task
from limen.adapt.prepare import prepare
from limen.adapt.truth import Truth
from limen.arrays.intervals import mean_of
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.data.worlds.subclusters import subclusters
from limen.measure import budget as budget_module
from limen.measure.budget import identity_residual, measure_budget
from limen.measure.floor import certified_sides, floor_path, midpoint, midpoint_rows, statistical_sides
from limen.records.budget import Budget
from limen.records.stage import StageRecord
from limen.records.task import FitSpec, LabelledFeatures, Question, Task

WORLDS = {
    "gaussian": gaussian_classes(3, 4, 8_000, separation=1.0, label_noise=0.05, seed=1),
    "subclusters": subclusters(3, 5, 8_000, separation=1.5, seed=2),
}
SPEC = FitSpec(labels=("all",), seeds=1, radius=3.0, rich_head=False)
SEEDS = 10


def distinct(world, seed, n=600):
    """n different rows of the population: each is a unit."""
    rows = np.random.default_rng(seed).choice(len(world), n, replace=False)
    return LabelledFeatures(world.features[rows], world.labels[rows], tuple(str(c) for c in range(world.classes)))


def fitted(world, seed, n=600, spec=SPEC):
    """Different rows of the Gaussian world; of the subclusters i.i.d. rows, of which 4 % repeat: blocks are units."""
    rows = distinct(world, seed, n) if world is WORLDS["gaussian"] else world.sample(n, np.random.default_rng(seed))
    task = Task("world", world.name, rows)
    return task, fit_task(task, spec)


@pytest.fixture(scope="module")
def cases():
    """(budget, record, truth, L*) of several samples of each world."""
    found = []
    for world in WORLDS.values():
        for seed in range(SEEDS):
            task, record = fitted(world, seed)
            truth = Truth.of(world, prepare(task, SPEC).phi)
            floor = truth.minimum(3.0, record.arrays["weights"]).loss
            found.append((measure_budget(record, Question()), record, truth, floor))
    return found


@pytest.fixture(scope="module")
def one():
    return fitted(WORLDS["gaussian"], 0)[1]


def test_both_kinds_of_units_are_tried(cases):
    assert ["holdout_groups" in record.arrays for _, record, *_ in cases] == [False] * SEEDS + [True] * SEEDS
    for budget, *_ in cases[SEEDS:]:
        assert budget.sides.certified.low is None
        assert not budget.sides.informative
        assert budget.terms["error"].grade == "statistical"
        assert budget.terms["error"].n < budget.n_holdout
    assert all(budget.terms["error"].grade == "certified" for budget, *_ in cases[:SEEDS])


def test_the_estimation_gap_says_that_its_value_may_lie_outside_its_interval(cases):
    for budget, *_ in cases:
        term = budget.terms["estimation_gap"]
        said = any("may, and so lie outside its interval" in assumption for assumption in term.assumptions)
        assert said == (term.value is not None)
    assert any(budget.terms["estimation_gap"].value is not None for budget, *_ in cases)


def inside(term, truth):
    return term.low <= truth <= term.high


def true_terms(record, truth, floor, minimum):
    weights = record.arrays["weights"]
    loss, empirical = truth.population_loss(weights), math.fsum(record.arrays["fit_loss"]) / record.data["n_fit"]
    return {
        "minimal_adaptation_loss": floor,
        "adaptation_loss": loss,
        "empirical_adaptation_loss": empirical,
        "optimism": floor - minimum,
        "optimization_gap": empirical - minimum,
        "generalization_gap": loss - empirical,
        "estimation_gap": (loss - empirical) - (floor - minimum),
    }


def test_joint_intervals_hold_together(cases):
    """All terms at once, at joint confidence 95 %: of 20 samples 16 or fewer succeed with probability 1.6 %."""
    held = 0
    for budget, record, truth, floor in cases:
        expected = true_terms(record, truth, floor, budget.sides.empirical_minimum)
        covered = [
            inside(budget.terms[name], value)
            for name, value in expected.items()
            if name not in ("empirical_adaptation_loss", "optimization_gap")
        ]
        held += all(covered)
    assert held >= 17


def test_error_terms_hold(cases):
    covered = [inside(b.terms["error"], truth.population_error(r.arrays["weights"])) for b, r, truth, _ in cases]
    assert sum(covered) >= 17
    for budget, record, truth, _ in cases:
        wrong = (truth.rows.features @ record.arrays["weights"]).argmax(axis=1) != truth.rows.labels
        balanced = np.mean([wrong[truth.rows.labels == c].mean() for c in range(3)])
        assert inside(budget.terms["balanced_error"], balanced)  # certified: far above its confidence


def test_exact_terms_are_exact(cases):
    for budget, record, truth, floor in cases:
        expected = true_terms(record, truth, floor, budget.sides.empirical_minimum)
        for name in ("empirical_adaptation_loss", "optimization_gap"):
            assert budget.terms[name].value == pytest.approx(expected[name], abs=1e-12), name
        assert budget.terms["optimization_gap"].low <= expected["optimization_gap"] + 1e-15
        assert 0 <= record.data["final"]["gap"] <= 1e-4


def test_points_are_the_truth_up_to_noise(cases):
    """Means over samples: each term's bias is within four standard errors of 0."""
    names = ("minimal_adaptation_loss", "adaptation_loss", "optimism", "generalization_gap", "estimation_gap")
    for name in names:
        away = [
            b.terms[name].value - true_terms(r, t, f, b.sides.empirical_minimum)[name]
            for b, r, t, f in cases
            if b.terms[name].value is not None
        ]
        assert len(away) >= 16
        assert abs(np.mean(away)) < 4 * np.std(away, ddof=1) / np.sqrt(len(away)), name


def test_certified_and_statistical_sides_hold_and_are_ordered(cases):
    low = 0
    for budget, record, truth, floor in cases:
        loss = truth.population_loss(record.arrays["weights"])
        certified, statistical = certified_sides(record, 0.95), statistical_sides(record, 0.95)
        assert certified.low <= floor  # certified sides of K-way log loss are far from tight: never missed here
        assert certified.loss_low <= loss <= certified.high
        assert certified.low <= statistical.low
        low += statistical.low <= floor
        assert budget.sides.certified.confidence == pytest.approx(1 - 2 * 0.05 / 3)
        assert budget.sides.midpoint.confidence == pytest.approx(1 - 0.05 / 3)
    assert low >= 18


def test_the_floor_path_holds_at_every_radius_at_once(cases):
    held = 0
    for _, record, truth, _ in cases:
        points, start, ok = floor_path(record, 0.95), record.arrays["weights"], []
        for point in points:
            floor = truth.minimum(point.radius, start).loss
            ok.append(point.low <= floor <= point.high)
        held += all(ok)
        lows, highs = [p.low for p in points], [p.high for p in points]
        assert lows == sorted(lows, reverse=True)
        assert highs == sorted(highs, reverse=True)
        assert [p.radius for p in points] == [0.75, 1.5, 3.0, 6.0]
    assert held >= 17


def test_the_identity_holds_to_rounding_and_survives_json(cases):
    for budget, *_ in cases:
        assert budget.identity_residual < 1e-9
        plain = json.loads(json.dumps(budget.to_json()))
        minimum = plain["sides"]["statistical"]["empirical_minimum"]
        assert identity_residual(plain["terms"], minimum) == budget.identity_residual
        assert Budget.from_json(plain).to_json() == budget.to_json()


def test_higher_confidence_widens_every_interval(one):
    narrow, wide = (measure_budget(one, Question(confidence=c)) for c in (0.8, 0.99))
    for name, term in narrow.terms.items():
        if name in ("empirical_adaptation_loss", "optimization_gap"):
            continue
        if name != "estimation_gap":  # its low end rests on L(ĝ) ≥ L* at either confidence
            assert wide.terms[name].low < term.low, name
        assert wide.terms[name].high > term.high, name
        assert wide.terms[name].value == term.value


# ------------------------------------------------------------------ mutations of the identity


def changed(record, **arrays):
    return StageRecord(record.kind, record.version, record.data, {**record.arrays, **arrays})


def changed_data(record, **data):
    return StageRecord(record.kind, record.version, {**record.data, **data}, record.arrays)


RECORD_MUTATIONS = {
    "fit losses of other rows": lambda r: changed(r, fit_loss=r.arrays["fit_loss"][: len(r.arrays["fit_loss"]) // 2]),
    "sum in place of mean": lambda r: changed(r, fit_loss=r.arrays["fit_loss"] * len(r.arrays["fit_loss"])),
    "sign of the training loss": lambda r: changed(r, fit_loss=-r.arrays["fit_loss"]),
    "sign of the dual": lambda r: changed(r, fit_dual=-r.arrays["fit_dual"]),
    "dual of another subset": lambda r: changed(r, fit_dual=r.arrays["fit_dual"][1:]),
    "gap dropped": lambda r: changed_data(r, final={**r.data["final"], "gap": 0.0}),
    "gap of the wrong sign": lambda r: changed_data(r, final={**r.data["final"], "gap": -r.data["final"]["gap"]}),
    "gap of another fit": lambda r: changed_data(r, final={**r.data["final"], "gap": r.data["pool"]["gap"] + 1e-6}),
    "gradient forgotten": lambda r: changed_data(r, final={**r.data["final"], "gradient_norm": 0.0}),
    "another radius": lambda r: changed_data(r, radius=2.9),
}


@pytest.fixture(scope="module")
def early():
    """A probe stopped early, so that its gap is not of rounding size."""
    task = Task("world", "gaussian", WORLDS["gaussian"].sample(600, np.random.default_rng(0)))
    record, rows = fit_task(task, SPEC), prepare(task, SPEC)
    from limen.adapt.ball import certify
    from limen.adapt.losses import dual_per_example, per_example_loss

    weights = 0.9 * record.arrays["weights"]
    fit = certify(rows.fit, weights, 3.0)
    scores, held = rows.fit.features @ weights, rows.holdout.features @ weights
    arrays = {
        "weights": weights,
        "fit_loss": per_example_loss(scores, rows.fit.labels, "log"),
        "fit_dual": dual_per_example(scores, "log", rows.fit.labels),
        "curve_holdout_loss": per_example_loss(held, rows.holdout.labels, "log")[None],
    }
    data = {"final": {"loss": fit.loss, "gap": fit.gap, "gradient_norm": fit.gradient_norm}}
    return changed(changed_data(record, **data), **arrays)


def test_an_early_stopped_probe_has_an_exact_budget(early):
    budget = measure_budget(early, Question())
    assert budget.terms["optimization_gap"].value > 1e-3
    assert budget.identity_residual < 1e-12


@pytest.mark.parametrize("name", RECORD_MUTATIONS)
def test_mutated_records_break_the_identity(early, name):
    assert measure_budget(RECORD_MUTATIONS[name](early), Question()).identity_residual > 1e-9


def mutate_terms(monkeypatch, function, change):
    original = getattr(budget_module, function)

    def mutated(*arguments):
        return change(dict(original(*arguments)), arguments)

    monkeypatch.setattr(budget_module, function, mutated)


def with_value(terms, name, value):
    return {**terms, name: replace(terms[name], value=value, low=None, high=None, confidence=None)}


@pytest.mark.parametrize("name", ["optimism", "optimization_gap", "estimation_gap", "minimal_adaptation_loss"])
@pytest.mark.parametrize("change", [lambda v: -v, lambda v: 0.0, lambda v: v * 450], ids=["sign", "dropped", "sum"])
def test_mutated_chain_terms_break_the_identity(early, monkeypatch, name, change):
    mutate_terms(monkeypatch, "_chain_terms", lambda t, _: with_value(t, name, change(t[name].value)))
    assert measure_budget(early, Question()).identity_residual > 1e-9


@pytest.mark.parametrize("name", ["adaptation_loss", "empirical_adaptation_loss", "generalization_gap"])
@pytest.mark.parametrize("change", [lambda v: -v, lambda v: 0.0, lambda v: v * 450], ids=["sign", "dropped", "sum"])
def test_mutated_plain_terms_break_the_identity(early, monkeypatch, name, change):
    mutate_terms(monkeypatch, "_plain_terms", lambda t, _: with_value(t, name, change(t[name].value)))
    assert measure_budget(early, Question()).identity_residual > 1e-9


def test_holdout_losses_of_another_point_break_the_identity(one, monkeypatch):
    """The chain reads another fitted model than the plain terms do."""
    record = fitted(WORLDS["gaussian"], 0, spec=FitSpec(labels=(60, "all"), seeds=1, radius=3.0, rich_head=False))[1]
    assert measure_budget(record, Question()).identity_residual < 1e-9

    def other(terms, arguments):
        held = arguments[0].arrays["curve_holdout_loss"][0]
        return with_value(terms, "adaptation_loss", float(held.mean()))

    mutate_terms(monkeypatch, "_plain_terms", other)
    assert measure_budget(record, Question()).identity_residual > 1e-9


def test_a_midpoint_of_other_weights_breaks_the_identity_between_floor_and_optimism(early, monkeypatch):
    def even(fit, part):
        return (fit.arrays[f"{part}_train_loss"] + fit.arrays[f"{part}_cross_validated_loss"]) / 2

    monkeypatch.setattr(budget_module, "midpoint_rows", even)
    assert measure_budget(early, Question()).identity_residual > 1e-9


def test_without_a_floor_there_is_no_residual():
    record = fitted(WORLDS["gaussian"], 0, spec=FitSpec(method="knn", labels=("all",), seeds=1))[1]
    budget = measure_budget(record, Question())
    assert budget.identity_residual is None
    assert budget.sides is None
    assert budget.floor_path == ()
    assert "minimal_adaptation_loss" not in budget.terms


# ------------------------------------------------------------------ what the sides say


def drifting(one, change):
    """The record with the half's losses moved so that the drift is `change` above the pool's midpoint."""
    move = midpoint_rows(one, "pool").mean() - midpoint_rows(one, "half").mean() + change
    return changed(
        one, half_train_loss=one.arrays["half_train_loss"] + move,
        half_cross_validated_loss=one.arrays["half_cross_validated_loss"] + move,
    )  # fmt: skip


def test_drift_widens_the_midpoint_and_beyond_twice_the_noise_it_is_not_identified(one):
    rows = midpoint_rows(one, "pool")
    noise = 2 * scipy.stats.t.isf(0.025, len(rows) - 1) * rows.std(ddof=1) / np.sqrt(len(rows))
    still, _ = midpoint(drifting(one, 0.0), 0.95)
    below, drift = midpoint(drifting(one, noise * 0.999), 0.95)
    above, _ = midpoint(drifting(one, noise * 1.001), 0.95)
    assert drift == pytest.approx(noise * 0.999)
    assert below.high - below.low == pytest.approx(still.high - still.low + 2 * drift)
    assert above.value is None
    assert "still moves by" in above.reason
    budget = measure_budget(drifting(one, noise * 1.001), Question())
    for name in ("minimal_adaptation_loss", "optimism", "estimation_gap"):
        assert budget.terms[name].value is None
        assert budget.terms[name].two_sided
    assert budget.identity_residual < 1e-9  # what is left of the identity


@pytest.mark.parametrize(
    ("share", "closeness", "known"),
    [(0.51, 0.31, True), (0.51, 0.29, False), (0.49, 0.51, True), (0.49, 0.49, False)],
)
def test_outside_the_validated_range_the_midpoint_is_not_identified(one, share, closeness, known):
    n = one.data["pool"]["n"]
    dimension = round(n / share / 2)
    train = one.arrays["pool_train_loss"]
    out = np.full(len(train), train.mean() / closeness)
    moved = drifting(changed(changed_data(one, dimension=dimension), pool_cross_validated_loss=out), 0.0)
    found, _ = midpoint(moved, 0.95)
    assert (found.value is not None) == known
    if not known:
        assert "outside the validated range" in found.reason
        assert "smaller radius" in found.reason
        if share < 0.5:
            assert f"{math.ceil(0.5 * 2 * dimension):,} rows" in found.reason


def test_an_uninformative_certified_side_says_so_and_names_the_rows_it_needs(one):
    sides = measure_budget(one, Question()).sides
    price = one.data["loss_range"] * math.log(60) / one.data["pool"]["n"]
    assert sides.informative == (price <= one.data["pool"]["minimum"] / 4)
    small = changed_data(one, loss_range=one.data["loss_range"] * 100)
    vague = measure_budget(small, Question()).sides
    assert not vague.informative
    assert "uninformative at this n" in vague.certified.reason


def test_grouped_rows_widen_intervals_and_have_no_certified_side():
    world = WORLDS["gaussian"]
    rows = distinct(world, 3)
    alone = fit_task(Task("t", "e", rows), SPEC)
    grouped = LabelledFeatures(np.repeat(rows.features[:200], 3, axis=0) + 1e-6 * np.arange(600)[:, None],
                               np.repeat(rows.labels[:200], 3), rows.classes, np.repeat(np.arange(200), 3))  # fmt: skip
    budget = measure_budget(fit_task(Task("t", "e", grouped), SPEC), Question())
    independent = measure_budget(alone, Question())
    for name in ("adaptation_loss", "minimal_adaptation_loss"):
        own, base = budget.terms[name], independent.terms[name]
        assert own.high - own.low > 1.2 * (base.high - base.low)
    assert budget.terms["adaptation_loss"].assumptions[0] == "independent groups"
    assert independent.sides.certified.low is not None
    assert budget.sides.certified.low is None
    assert budget.sides.certified.high is None
    assert "groups" in budget.sides.certified.reason
    assert budget.terms["balanced_error"].grade != "certified"


def test_a_scored_population_has_its_own_terms():
    world = WORLDS["gaussian"]
    moved = gaussian_classes(3, 4, 400, separation=0.2, seed=5).everything()
    task = Task("t", "e", world.sample(600, np.random.default_rng(0)), {"moved": moved})
    record = fit_task(task, SPEC)
    budget = measure_budget(record, Question())
    terms = budget.shift["moved"]
    truth = Truth.of(replace(world, features=moved.features, labels=moved.labels), prepare(task, SPEC).phi)
    assert terms["adaptation_loss"].value == pytest.approx(truth.population_loss(record.arrays["weights"]))
    gap = terms["adaptation_loss"].value - budget.terms["adaptation_loss"].value
    assert terms["shift_gap"].value == pytest.approx(gap)
    assert terms["shift_gap"].low > 0


def test_the_bracket_ends_where_the_five_fold_loss_does_below_that_of_the_holdout(one):
    """All pool rows scored by probes of 4/5 of them: the noise of N rows, not of the holdout."""
    budget, losses = measure_budget(one, Question()), one.arrays["pool_cross_validated_loss"]
    assert budget.sides.statistical.high == mean_of(losses).high(0.05 / 3)
    assert losses.mean() < budget.sides.statistical.high < budget.terms["adaptation_loss"].high
    assert statistical_sides(one, 0.95).loss_low == budget.terms["adaptation_loss"].low
