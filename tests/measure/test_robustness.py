"""Effective robustness: a line that is there, a model above it, coverage of its place, runs as units, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from limen.arrays.random import stream
from limen.measure.robustness import effective_robustness
from limen.records.errors import BadInput
from limen.records.robustness import Accuracies

ROWS = 2000


def drawn(key, models=12, above=0.0, scatter=0.0):
    """Models on the line −0.5 + 0.8 x, the first one `above` it; x in distribution at the logits −1 … 2."""
    rng = stream("robustness", key)
    x = np.linspace(-1, 2, models)
    y = -0.5 + 0.8 * x + scatter * rng.standard_normal(models)
    y[0] = -0.5 + 0.8 * x[0] + above
    right, shifted = (rng.binomial(ROWS, expit(v)) for v in (x, y))
    return [
        Accuracies(f"m{i}", f"r{i}", int(right[i]), ROWS, int(shifted[i]), ROWS) for i in range(models)
    ], x, y  # fmt: skip


def test_the_line_is_found_and_a_model_above_it_shows():
    models, _, y = drawn(0, above=1.0)
    found = effective_robustness(models, baseline=[m.model for m in models[1:]])
    assert found.slope.value == pytest.approx(0.8, abs=0.05)
    assert found.intercept.value == pytest.approx(-0.5, abs=0.06)
    assert found.residuals["m0"].low > 0.5
    assert found.points["m0"].value == pytest.approx(expit(y[0]) - expit(y[0] - 1), abs=0.05)
    assert found.points["m0"].low > 0
    below = [name for name, e in found.residuals.items() if name != "m0" and (e.low > 0 or e.high < 0)]
    assert len(below) <= 2


def test_the_model_itself_does_not_pull_the_line():
    models, _, _ = drawn(1, above=5.0)
    with_it, without = (effective_robustness(models, names).residuals["m0"].value
                        for names in (None, [m.model for m in models[1:]]))  # fmt: skip
    assert with_it == without


@pytest.mark.parametrize("scatter", [0.0, 0.3])
def test_coverage_of_a_models_place_above_the_line(scatter):
    inside, points = [], []
    for key in range(200):
        models, x, y = drawn(key + 10, above=0.4, scatter=scatter)
        found = effective_robustness(models, [m.model for m in models[1:]])
        truth = 0.4
        e, p = found.residuals["m0"], found.points["m0"]
        inside.append(e.low <= truth <= e.high)
        points.append(p.low <= expit(y[0]) - expit(-0.5 + 0.8 * x[0]) <= p.high)
    assert 0.89 <= np.mean(inside) <= 0.99
    assert 0.89 <= np.mean(points) <= 0.99


def test_coverage_of_the_slope():
    inside = []
    for key in range(200):
        slope = effective_robustness(drawn(key + 900, models=10, scatter=0.2)[0][1:]).slope
        inside.append(slope.low <= 0.8 <= slope.high)
    assert 0.91 <= np.mean(inside) <= 0.98


def test_seeds_of_one_run_are_one_unit():
    models = [m for k in range(4) for m in drawn(k, models=6)[0]]
    named = [Accuracies(f"{i}", m.run, m.right, m.rows, m.shifted_right, m.shifted_rows) for i, m in enumerate(models)]
    found = effective_robustness(named)
    assert found.slope.n == 6
    assert found.residuals["0"].n == 5
    few = effective_robustness([m for m in named if m.run in ("r0", "r1", "r2", "r3", "r4")])
    assert few.slope.state == "measured"
    assert few.residuals["0"].state == "not_identified"  # four other runs


def test_all_right_and_all_wrong_are_finite():
    models, _, _ = drawn(3)
    perfect = Accuracies("perfect", "p", ROWS, ROWS, 0, ROWS)
    found = effective_robustness([*models, perfect]).residuals["perfect"]
    assert found.value < -logit(0.9)


def test_models_of_one_accuracy_show_no_line_and_wrong_counts_are_refused():
    same = [Accuracies(f"m{i}", f"r{i}", 5, 10, i, 10) for i in range(7)]
    found = effective_robustness(same)
    assert "no line" in found.slope.reason
    with pytest.raises(BadInput) as caught:
        effective_robustness([*same, same[0], Accuracies("bad", "b", 11, 10, 1, 2)], ["nobody"])
    assert len(caught.value.problems) == 3
