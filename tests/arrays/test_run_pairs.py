"""Tau-b over kinds of pairs against scipy's and a slow loop; a resample as the sample it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from limen.arrays.random import stream
from limen.arrays.run_pairs import pair_sums, resampled_runs


def points(ties=False):
    rng = stream("run pairs")
    x, y = rng.normal(size=(2, 14))
    return (np.round(x), np.round(y)) if ties else (x, y)


RUNS = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 4, 5, 5])


@pytest.mark.parametrize("ties", [False, True])
def test_over_all_pairs_it_is_tau_b(ties):
    x, y = points(ties)
    found = pair_sums(x, y, RUNS, ~np.eye(14, dtype=bool)).tau(np.ones((1, 6)))[0]
    assert found == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)


def test_a_resample_is_tau_of_the_copied_points_without_pairs_between_copies():
    x, y = points()
    weights = np.array([[2.0, 0, 1, 3, 0, 0]])
    copies = [(r, c) for r in range(6) for c in range(int(weights[0, r]))]
    agree, untied_x, untied_y = 0.0, 0.0, 0.0
    rows = [(i, copy) for copy in copies for i in np.flatnonzero(copy[0] == RUNS)]
    for a, (i, first) in enumerate(rows):
        for j, second in rows[a + 1 :]:
            if first != second and first[0] == second[0]:
                continue
            sx, sy = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
            agree, untied_x, untied_y = agree + sx * sy, untied_x + abs(sx), untied_y + abs(sy)
    found = pair_sums(x, y, RUNS, ~np.eye(14, dtype=bool)).tau(weights)[0]
    assert found == pytest.approx(agree / np.sqrt(untied_x * untied_y), abs=1e-12)


def test_only_pairs_of_the_kind_count():
    x, y = np.array([1.0, 2.0, 10.0, 20.0]), np.array([1.0, 2.0, 4.0, 3.0])
    runs = np.arange(4)
    kind = np.zeros((4, 4), dtype=bool)
    kind[2, 3] = kind[3, 2] = True
    sums = pair_sums(x, y, runs, kind)
    assert sums.tau(np.ones((1, 4)))[0] == -1.0
    assert sums.runs_with_pairs == 2
    assert np.isnan(sums.tau(np.array([[4.0, 0, 0, 0]]))[0])


def test_every_resample_has_as_many_runs():
    drawn = resampled_runs(7, 500, stream("drawn"))
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.2)
