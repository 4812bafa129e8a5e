"""The four sampling laws, and that each step's batch does not depend on where a run starts."""

from __future__ import annotations

import numpy as np
import pytest

from limen.pretrain.samplers import SAMPLINGS, Sampler


def _epochs(sampling, epochs=3, examples=12, batch=4, seed=0):
    sampler = Sampler(sampling, examples, batch, seed)
    batches = list(sampler.batches(0, epochs * sampler.epoch_batches))
    return np.array(batches).reshape(epochs, -1)


@pytest.mark.parametrize("sampling", ["reshuffle", "same-order"])
def test_every_epoch_is_a_permutation(sampling):
    for epoch in _epochs(sampling):
        assert sorted(epoch) == list(range(12))


def test_reshuffle_changes_the_order_and_same_order_keeps_it():
    fresh, same = _epochs("reshuffle"), _epochs("same-order")
    assert not np.array_equal(fresh[0], fresh[1])
    assert np.array_equal(same[0], same[1])
    assert np.array_equal(same[1], same[2])


def test_same_order_never_uses_the_examples_beyond_the_last_full_batch():
    assert len(set(_epochs("same-order", epochs=20, examples=13).ravel())) == 12
    assert len(set(_epochs("reshuffle", epochs=20, examples=13).ravel())) == 13


def test_iid_batches_hold_distinct_examples_and_are_not_epochs():
    batches = _epochs("iid", epochs=200).reshape(-1, 4)
    assert all(len(set(batch)) == 4 for batch in batches)
    assert any(len(set(epoch)) < 12 for epoch in batches.reshape(-1, 12))


def test_replacement_repeats_within_a_batch_as_often_as_chance_says():
    batches = _epochs("replacement", epochs=1000).reshape(-1, 4)
    distinct = np.mean([len(set(batch)) == 4 for batch in batches])
    expected = 11 * 10 * 9 / 12**3
    assert distinct == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(batches)))


@pytest.mark.parametrize("sampling", ["reshuffle", "iid", "replacement"])
def test_every_example_is_equally_likely(sampling):
    counts = np.bincount(_epochs(sampling, epochs=500).ravel(), minlength=12)
    assert counts.sum() == 6000
    assert np.sum((counts - 500) ** 2 / 500) < 31.3  # chi-squared, 11 degrees of freedom, 0.1 %


@pytest.mark.parametrize(("sampling", "factor"), [("iid", (12 - 4) / (12 - 1)), ("replacement", 1.0)])
def test_the_noise_of_a_batch_mean_is_that_of_its_law(sampling, factor):
    values = np.arange(12.0)
    means = values[_epochs(sampling, epochs=2000).reshape(-1, 4)].mean(axis=1)
    assert means.var() == pytest.approx(values.var() / 4 * factor, rel=0.08)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_batch_depends_on_seed_and_step_alone(sampling):
    sampler = Sampler(sampling, 12, 4, seed=3)
    whole = list(sampler.batches(0, 10))
    late = list(sampler.batches(5, 10))
    assert all(np.array_equal(a, b) for a, b in zip(whole[5:], late, strict=True))
    other = list(Sampler(sampling, 12, 4, seed=4).batches(0, 10))
    assert not all(np.array_equal(a, b) for a, b in zip(whole, other, strict=True))


@pytest.mark.parametrize("arguments", [("reshuffle", 3, 4, 0), ("reshuffle", 3, 0, 0), ("shuffle", 3, 2, 0)])
def test_a_batch_that_cannot_be_is_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        Sampler(*arguments)
