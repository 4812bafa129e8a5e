"""Rules of selection: who wins where, the oracle's two halves, paired gaps and their coverage, real embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.linear_probe import LinearProbe
from limen.arrays.random import stream
from limen.measure.model_selection import Candidates, all_selections, model_selection
from limen.records.errors import BadInput

NAMES = ("a", "b", "c")


def world(key, means=((0.1, 0.5, 0.6), (0.9, 0.2, 0.6), (0.8, 0.3, 0.25)), rows=200):
    """Row effects shared by the models; means in distribution, on `x`, on `y`."""
    rng = stream("selection", key)
    losses = [
        np.array(m)[:, None] + 0.5 * rng.standard_normal(rows) + 0.1 * rng.standard_normal((3, rows)) for m in means
    ]
    return Candidates(NAMES, losses[0], {"x": losses[1], "y": losses[2]})


def test_each_rule_chooses_on_its_own_rows():
    found = model_selection(world(0), "y").rules
    assert {name: rule.models for name, rule in found.items()} == {
        "in-distribution": ("a",),
        "leave-one-out": ("b",),
        "oracle": ("c", "c"),
    }
    assert found["in-distribution"].gap.low > found["leave-one-out"].gap.high > 0
    assert found["oracle"].gap.value == 0.0
    assert [s.target for s in all_selections(world(0))] == ["x", "y"]


def test_coverage_of_the_paired_gap_and_its_width():
    found = [model_selection(world(key), "y").rules["in-distribution"] for key in range(400)]
    assert 0.93 <= np.mean([s.gap.low <= 0.55 <= s.gap.high for s in found]) <= 0.97
    assert np.mean([s.gap.high - s.gap.low for s in found]) < 0.4 * np.mean([s.loss.high - s.loss.low for s in found])


def test_the_oracle_is_not_scored_on_the_rows_it_chose_on():
    # 40 models of pure noise: the best on its own rows would be far below the mean
    rng = stream("noise models")
    noise = rng.standard_normal((40, 60))
    many = Candidates(tuple(map(str, range(40))), noise, {"t": rng.standard_normal((40, 60))})
    loss = model_selection(many, "t").rules["oracle"].loss
    assert many.shifted["t"].mean(axis=1).min() < -0.2
    assert loss.low < 0 < loss.high
    assert abs(loss.value) < 0.25


def test_units_stay_in_one_half_and_widen_the_gap():
    losses = np.repeat(stream("unit selection").standard_normal((3, 20)), 10, axis=1)
    plain = Candidates(NAMES, losses, {"t": losses[::-1]})
    grouped = Candidates(NAMES, losses, {"t": losses[::-1]}, {"t": np.repeat(np.arange(20), 10)})
    a, b = (model_selection(c, "t").rules["in-distribution"].loss for c in (plain, grouped))
    assert b.high - b.low > 2 * (a.high - a.low)


def test_without_other_populations_there_is_no_leave_one_out():
    one = world(0)
    alone = model_selection(Candidates(NAMES, one.in_distribution, {"y": one.shifted["y"]}), "y")
    assert alone.rules["leave-one-out"].gap.state == "not_identified"
    assert alone.rules["leave-one-out"].models == ()


def test_losses_that_do_not_fit_are_refused_together():
    bad = Candidates(NAMES, np.zeros((2, 5)), {"x": np.full((3, 5), np.nan)})
    with pytest.raises(BadInput) as caught:
        model_selection(bad, "z")
    assert len(caught.value.problems) == 3
    with pytest.raises(BadInput, match="at least 4"):
        model_selection(Candidates(NAMES, np.zeros((3, 5)), {"x": np.zeros((3, 3))}), "x")


def test_probes_on_banking77_chosen_for_noisy_embeddings(shared_data):
    with np.load(shared_data / "banking77" / "minilm-test.npz") as table:
        chosen = np.isin(table["y"], np.unique(table["y"])[:8])
        x, y = table["X"][chosen].astype(np.float64), np.unique(table["y"][chosen], return_inverse=True)[1]
    order = stream("banking selection").permutation(len(x))
    fit, held = order[:160], order[160:]
    noise = stream("banking noise").standard_normal(x.shape) * 0.05
    probes = [LinearProbe(radius=r, tolerance=1e-2).fit(x[fit], y[fit]) for r in (1.0, 8.0, 60.0)]

    def losses(features):
        return np.array([-np.log(p.predict_proba(features[held])[np.arange(len(held)), y[held]]) for p in probes])

    shifted = {"noise": losses(x + noise), "strong": losses(x + 2 * noise)}
    found = model_selection(Candidates(("1", "8", "60"), losses(x), shifted), "strong").rules
    assert all(rule.loss.low < rule.loss.value < rule.loss.high for rule in found.values())
    assert found["in-distribution"].loss.value - found["oracle"].loss.value == pytest.approx(
        found["in-distribution"].gap.value
    )
