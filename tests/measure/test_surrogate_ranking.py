"""Ranking by kind of pair: known worlds, clustering, refusals, coverage of the cluster bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from limen.arrays.random import stream
from limen.measure.model_points import kinds_of_pairs, model_points
from limen.measure.surrogate_ranking import rank_surrogates, tau_difference
from limen.records.errors import BadInput
from limen.records.estimate import Estimate
from limen.records.model_point import ModelPoint
from limen.records.report import Checkpoint, Interface
from limen.records.surrogates import Surrogates


def value(x):
    return Estimate(float(x))


def point(run, family, floor, step=0, **surrogates):
    named = {name: value(x) for name, x in surrogates.items()}
    return ModelPoint(f"{run}@{step}", run, family, targets={"t": value(floor)}, surrogates=named)


def test_a_surrogate_that_orders_within_families_and_not_across():
    # Simpson: within each family alignment falls with the floor, between families it rises as the floor falls
    rows = [
        point(f"{family}{i}", family, 10 * k + i, alignment=i - 10 * k, rank_me=-(10 * k + i))
        for k, family in enumerate("abc")
        for i in range(4)
    ]
    found = {r.surrogate: r for r in rank_surrogates(rows, "t")}
    assert (found["alignment"].within_family.value, found["alignment"].across_families.value) == (1.0, -1.0)
    assert -1 < found["alignment"].overall.value < 0
    assert found["rank_me"].overall.value == 1.0
    assert (found["rank_me"].runs, found["rank_me"].families) == (12, 3)
    assert [r.surrogate for r in rank_surrogates(rows, "t")] == ["rank_me", "alignment"]
    assert found["alignment"].within_run.state == "not_identified"


def test_all_pairs_in_agreement_have_no_interval():
    rows = [point(f"r{i}", "f", i, uniformity=i) for i in range(6)]
    found = rank_surrogates(rows, "t")[0].overall
    assert (found.value, found.low, found.grade) == (1.0, None, "point")
    assert "error is unknown" in found.assumptions[-1]


def test_four_runs_identify_nothing_however_many_checkpoints():
    rows = [point(f"r{i}", "f", i + s, s, uniformity=i) for i in range(4) for s in range(20)]
    found = rank_surrogates(rows, "t")[0]
    for tau in (found.overall, found.within_run, found.within_family):
        assert tau.state == "not_identified"
        assert "5 independent runs" in tau.reason


def test_overall_is_tau_b_and_its_interval_is_clustered():
    rng = stream("clusters")
    effect = rng.standard_normal((8, 2))
    rows = [
        point(f"r{i}", "f", effect[i, 0] + 0.1 * rng.standard_normal(), s, alignment=effect[i, 1])
        for i in range(8)
        for s in range(10)
    ]
    clustered = rank_surrogates(rows, "t")[0].overall
    x, y = ([p.surrogates["alignment"].value for p in rows], [p.targets["t"].value for p in rows])
    assert clustered.value == pytest.approx(kendalltau(x, y).statistic)
    apart = [
        point(f"r{k}", "f", p.targets["t"].value, alignment=p.surrogates["alignment"].value) for k, p in enumerate(rows)
    ]
    alone = rank_surrogates(apart, "t")[0].overall
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_coverage_with_checkpoints_in_runs():
    def world(key, runs):
        rng = stream("ranking", key)
        effect = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], runs)
        return effect[:, None] + 0.3 * rng.standard_normal((runs, 3, 2))

    many = world(-1, 800).reshape(-1, 2)
    truth = kendalltau(*many.T).statistic
    inside = []
    for key in range(300):
        drawn = world(key, 8)
        rows = [point(f"r{i}", "f", drawn[i, s, 0], s, alignment=drawn[i, s, 1]) for i in range(8) for s in range(3)]
        tau = rank_surrogates(rows, "t")[0].overall
        inside.append(tau.low <= truth <= tau.high)
    assert 0.92 <= np.mean(inside) <= 0.99


def test_the_difference_of_two_surrogates_is_paired():
    rng = stream("difference")
    floors = rng.standard_normal(20)
    noisy = floors + 0.5 * rng.standard_normal(20)
    rows = [
        point(f"r{i}", "f", floors[i], alignment=noisy[i], uniformity=noisy[i] + 0.001 * i, rank_me=floors[i])
        for i in range(20)
    ]
    close, far = (tau_difference(rows, "t", ("alignment", other)) for other in ("uniformity", "rank_me"))
    alone = rank_surrogates(rows, "t")
    width = next(r.overall.high - r.overall.low for r in alone if r.surrogate == "alignment")
    assert close.low <= 0 <= close.high
    assert close.high - close.low < 0.2 * width
    assert far.low > 1
    assert tau_difference(rows[:4], "t", ("alignment", "uniformity")).state == "not_identified"


def test_points_of_interfaces_and_their_kinds():
    half = Estimate(1.0, 0.9, 1.1, confidence=0.95)
    checkpoints = tuple(Checkpoint(f"a#0@{s}", s, half, half, half, floors={"t": value(s)}) for s in (1, 2))
    other = (Checkpoint("b#0@1", 1, half, half, half, floors={"t": value(3)}),)
    runs = [Interface("a#0", "nt-xent", "L", checkpoints), Interface("b#0", "nt-xent", "L", other)]
    measured = [Surrogates("a#0@2", 10, 3, {"rank_me": value(2.5)})]
    points = model_points(runs, {"a#0": "conv", "b#0": "conv"}, surrogates=measured)
    assert [p.family for p in points] == ["conv"] * 3
    assert points[1].surrogates["rank_me"].value == 2.5
    assert points[0].surrogates["pretraining_loss"] == half
    kinds = kinds_of_pairs(points)
    assert (kinds["within_run"].sum(), kinds["within_family"].sum(), kinds["across_families"].sum()) == (2, 4, 0)
    with pytest.raises(BadInput, match="of no checkpoint"):
        model_points(runs, {}, surrogates=[Surrogates("c", 1, 1)])


def test_a_surrogate_of_unknown_direction_is_refused():
    with pytest.raises(BadInput, match="beauty"):
        rank_surrogates([point("r", "f", 1.0, beauty=1.0)], "t")
