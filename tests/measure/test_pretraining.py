"""Intervals of pretraining losses: known small cases, coverage on NT-Xent itself, pairing helps, named refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from limen.arrays.random import stream
from limen.measure.pretraining import (
    empirical_pretraining_loss,
    heldout_batches,
    pretraining_checkpoints,
    pretraining_difference,
    pretraining_gap,
    pretraining_loss,
    pretraining_optimization_gap,
)
from limen.records.errors import BadInput
from limen.records.stage import StageRecord

HELDOUT = [2.0, 2.4, 1.9, 2.2, 2.1]
TRAINING = [1.8, 1.7, 1.9, 2.0, 1.75, 1.85, 1.95]


def batch_losses(rng, batches, size, temperature=0.5, spread=0.8):
    """NT-Xent of [batches] batches: an example is a Gaussian point, its two views add Gaussian noise; plain NumPy."""
    points = rng.standard_normal((batches, 1, size, 3))
    views = (points + spread * rng.standard_normal((batches, 2, size, 3))).reshape(batches, 2 * size, 3)
    z = views / np.linalg.norm(views, axis=2, keepdims=True)
    logits = z @ z.transpose(0, 2, 1) / temperature
    index = np.arange(2 * size)
    positive = logits[:, index, (index + size) % (2 * size)]
    logits[:, index, index] = -np.inf
    return (np.log(np.exp(logits).sum(axis=2)) - positive).mean(axis=1)


def test_heldout_loss_is_the_t_interval_over_batches():
    found = pretraining_loss(HELDOUT, 0.9)
    low, high = stats.t.interval(0.9, 4, np.mean(HELDOUT), stats.sem(HELDOUT))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(HELDOUT), low, high))
    assert (found.n, found.confidence, found.grade) == (5, 0.9, "statistical")


def test_gap_is_welch_and_agrees_with_scipy():
    found = pretraining_gap(HELDOUT, TRAINING)
    interval = stats.ttest_ind(HELDOUT, TRAINING, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.value == pytest.approx(np.mean(HELDOUT) - np.mean(TRAINING))


def test_gap_is_the_difference_of_the_two_losses():
    gap = pretraining_gap(HELDOUT, TRAINING)
    assert gap.value == pytest.approx(pretraining_loss(HELDOUT).value - empirical_pretraining_loss(TRAINING).value)


def test_training_interval_is_the_t_interval_and_cautious_for_the_given_examples():
    """All 160 examples are scored by 20 disjoint batches: over new cuts the mean moves less than the interval says."""
    rng = stream("test/training-interval", 0)
    examples, cuts = rng.standard_normal(160) ** 2, 400
    batches = [examples[rng.permutation(160)].reshape(20, 8).mean(axis=1) + 0.1 * rng.standard_normal(20)
               for _ in range(cuts)]  # fmt: skip
    found = [empirical_pretraining_loss(losses) for losses in batches]
    low, high = stats.t.interval(0.95, 19, np.mean(batches[0]), stats.sem(batches[0]))
    assert (found[0].low, found[0].high) == pytest.approx((low, high))
    assert np.mean([f.low <= examples.mean() <= f.high for f in found]) > 0.99
    assert "cautious for the training examples" in found[0].assumptions[0]


def test_difference_of_checkpoints_is_paired():
    later = [x - 0.3 - 0.01 * i for i, x in enumerate(HELDOUT)]
    found = pretraining_difference(HELDOUT, later)
    assert found.value == pytest.approx(0.32)
    assert found.high - found.low < 0.1 * (pretraining_loss(HELDOUT).high - pretraining_loss(HELDOUT).low)
    assert pretraining_difference(later, HELDOUT).value == pytest.approx(-0.32)


def test_losses_of_different_batches_are_not_paired():
    with pytest.raises(BadInput, match="same batches"):
        pretraining_difference(HELDOUT, TRAINING)


@pytest.mark.parametrize("measure", [pretraining_loss, empirical_pretraining_loss])
def test_one_batch_has_no_interval_and_says_why(measure):
    found = measure([2.0])
    assert (found.value, found.state, found.n) == (None, "not_identified", 1)
    assert "at least 2" in found.reason


def test_coverage_of_the_heldout_loss_and_the_gap():
    rng = stream("coverage of pretraining losses")
    truth = float(np.mean([batch_losses(rng, 2000, 8).mean() for _ in range(20)]))
    losses = batch_losses(rng, 2500 * 16, 8).reshape(2500, 16)
    low, high = _ends([pretraining_loss(row[:8]) for row in losses])
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.97
    low, high = _ends([pretraining_gap(row[:6], row[6:]) for row in losses])
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97


def test_the_loss_of_a_batch_depends_on_its_size_so_the_size_is_in_its_name():
    rng = stream("batch size")
    small, large = batch_losses(rng, 2000, 4).mean(), batch_losses(rng, 2000, 32).mean()
    assert large - small == pytest.approx(math.log(63 / 7), rel=0.15)


def test_checkpoints_of_a_record():
    rows = [
        {"step": 10, "heldout_losses": [x - 1 for x in HELDOUT], "training_losses": TRAINING},
        {"step": 0, "heldout_losses": HELDOUT, "training_losses": TRAINING},
    ]
    record = StageRecord("pretrain", 1, {"checkpoints": rows})
    first, last = pretraining_checkpoints(record, "scratch#0", 0.9)
    assert (first.encoder, last.encoder) == ("scratch#0@0", "scratch#0@10")
    assert first.pretraining_loss == pretraining_loss(HELDOUT, 0.9)
    assert last.pretraining_gap == pretraining_gap([x - 1 for x in HELDOUT], TRAINING, 0.9)
    np.testing.assert_array_equal(heldout_batches(record)[0], HELDOUT)


def _ends(estimates):
    return np.array([e.low for e in estimates]), np.array([e.high for e in estimates])


def test_the_optimization_gap_is_the_loss_less_a_known_optimum():
    loss, known = pretraining_loss(HELDOUT), {"value": 0.25, "source": "enumeration"}
    gap = pretraining_optimization_gap(HELDOUT, known)
    assert (gap.value, gap.low, gap.high) == (loss.value - 0.25, loss.low - 0.25, loss.high - 0.25)
    assert (gap.grade, gap.n) == (loss.grade, loss.n)
    assert "enumeration" in gap.method
    below = pretraining_optimization_gap(HELDOUT, {"value": 1e3, "source": "s"})
    assert below.value < 0  # nothing is clipped
    unknown = pretraining_optimization_gap(HELDOUT, None)
    assert (unknown.state, unknown.value) == ("not_identified", None)
    assert pretraining_optimization_gap(HELDOUT[:1], known).state == "not_identified"
