"""From fit records to robustness and selection: the same rows for all, counts as they are, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limen.adapt.fit import fit_task
from limen.data.worlds.gaussian_classes import gaussian_classes
from limen.measure.across_populations import accuracies, candidates
from limen.measure.budget import measure_budget
from limen.measure.model_selection import all_selections
from limen.measure.robustness import effective_robustness
from limen.records.errors import BadInput
from limen.records.task import FitSpec, LabelledFeatures, Question, Task

WORLD = gaussian_classes(3, 4, 8_000, separation=1.0, label_noise=0.05, seed=1)
CLASSES = ("a", "b", "c")


def rows(seed, n, move=0.0, noise=0.0):
    rng = np.random.default_rng(seed)
    at = rng.choice(len(WORLD), n, replace=False)
    x = WORLD.features[at] + move + noise * rng.standard_normal((n, WORLD.features.shape[1]))
    return LabelledFeatures(x, WORLD.labels[at], CLASSES)


@pytest.fixture(scope="module")
def fits():
    shifts = {"moved": rows(1, 300, move=0.7), "noisy": rows(2, 300, noise=1.0)}
    task = Task("world", "gaussian", rows(0, 600), shifts)
    specs = {f"r{i}": radius for i, radius in enumerate((0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0))}
    return {
        name: fit_task(task, FitSpec(labels=("all",), seeds=1, radius=r, rich_head=False)) for name, r in specs.items()
    }


def test_counts_are_those_of_the_budgets(fits):
    found = accuracies(fits, "moved", {"r0": "same", "r1": "same"})
    for one in found:
        budget = measure_budget(fits[one.model], Question())
        assert 1 - one.right / one.rows == pytest.approx(budget.terms["error"].value)
        assert 1 - one.shifted_right / one.shifted_rows == pytest.approx(budget.shift["moved"]["error"].value)
    assert [one.run for one in found[:3]] == ["same", "same", "r2"]
    line = effective_robustness(accuracies(fits, "noisy"))
    assert len(line.residuals) == len(fits)


def test_losses_are_on_the_same_rows_whatever_their_order(fits):
    order = np.random.default_rng(3).permutation(len(fits["r1"].arrays["holdout_rows"]))
    shuffled = replace(
        fits["r1"],
        arrays={
            **fits["r1"].arrays,
            "holdout_rows": fits["r1"].arrays["holdout_rows"][order],
            "curve_holdout_loss": fits["r1"].arrays["curve_holdout_loss"][:, order],
        },
    )
    plain, turned = candidates(fits), candidates({**fits, "r1": shuffled})
    assert plain.models == tuple(fits)
    assert np.array_equal(plain.in_distribution, turned.in_distribution)
    assert set(plain.shifted) == {"moved", "noisy"}
    selections = all_selections(plain)
    assert [s.target for s in selections] == ["moved", "noisy"]
    assert all(s.rules["oracle"].loss.value is not None for s in selections)


def test_some_rows_in_common_are_enough_and_none_are_not(fits):
    part = fits["r1"].arrays
    fewer = replace(
        fits["r1"],
        arrays={
            **part,
            "holdout_rows": part["holdout_rows"][:50],
            "curve_holdout_loss": part["curve_holdout_loss"][:, :50],
        },
    )
    assert candidates({**fits, "r1": fewer}).in_distribution.shape == (7, 50)
    apart = replace(fits["r1"], arrays={**part, "holdout_rows": part["holdout_rows"] + 10_000})
    with pytest.raises(BadInput, match="held out by all"):
        candidates({**fits, "r1": apart})


def test_fits_of_different_things_are_refused(fits):
    other = replace(fits["r1"], data={**fits["r1"].data, "task": "another", "loss": "squared"})
    with pytest.raises(BadInput) as caught:
        candidates({**fits, "r1": other})
    assert len(caught.value.problems) == 2
    with pytest.raises(BadInput, match="not scored 'typos'"):
        accuracies(fits, "typos")
    bare = {name: replace(fit, data={**fit.data, "populations": []}) for name, fit in fits.items()}
    with pytest.raises(BadInput, match="no shifted population"):
        candidates(bare)
    with pytest.raises(BadInput, match="got none"):
        candidates({})
