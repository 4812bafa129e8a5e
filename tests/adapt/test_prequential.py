"""Prequential losses: scored by probes of earlier rows only, and above the floor on average."""

from __future__ import annotations

import numpy as np
import pytest

from limen.adapt.ball import Rows, minimise
from limen.adapt.losses import per_example_loss
from limen.adapt.prequential import prequential_losses
from limen.data.worlds.gaussian_classes import gaussian_classes


def rows(n=160, seed=0):
    world = gaussian_classes(3, 4, n, separation=1.5, seed=seed)
    return Rows(world.features, world.labels, 3)


def test_every_block_is_scored_by_the_probe_of_the_rows_before_it():
    sample = rows()
    found = prequential_losses(sample, 2.0)
    assert len(found) == 80
    for k, begin in enumerate((80, 100, 120, 140)):
        fit = minimise(sample.take(np.arange(begin)), 2.0, tolerance=1e-6)
        block = sample.take(np.arange(begin, begin + 20))
        slow = per_example_loss(block.features @ fit.weights, block.labels, "log")
        assert found[20 * k : 20 * (k + 1)] == pytest.approx(slow, abs=0.05)  # both fits within their tolerance


def test_later_rows_change_nothing_before_them():
    sample = rows()
    other = Rows(sample.features, np.concatenate([sample.labels[:120], (sample.labels[120:] + 1) % 3]), 3)
    first, second = prequential_losses(sample, 2.0), prequential_losses(other, 2.0)
    assert (first[:40] == second[:40]).all()
    assert not np.allclose(first[40:], second[40:])


def test_their_mean_is_above_the_floor_on_average():
    whole = rows(4000)
    floor = minimise(whole, 2.0).loss
    rng = np.random.default_rng(1)
    means = [prequential_losses(whole.take(rng.integers(0, 4000, 80)), 2.0).mean() for _ in range(30)]
    assert np.mean(means) - floor > 2 * np.std(means, ddof=1) / np.sqrt(30)


@pytest.mark.parametrize(("n", "blocks", "first"), [(6, 4, 0.5), (20, 0, 0.5), (20, 4, 0.0), (20, 4, 1.0)])
def test_empty_parts_have_their_error(n, blocks, first):
    with pytest.raises(ValueError, match=r"expected .* blocks"):
        prequential_losses(rows(n), 2.0, blocks, first)
