"""Parts, nested subsets and row groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.adapt.split import blocks, row_groups, split, stratified_subset, subset_order
from limen.arrays.random import stream


@settings(max_examples=80, deadline=None)
@given(n=st.integers(40, 400), sizes=st.integers(1, 6), seed=st.integers(0, 1000), holdout=st.booleans())
def test_parts_are_a_partition_that_keeps_blocks_whole_in_about_the_shares(n, sizes, seed, holdout):
    block = np.arange(n) // sizes
    block = blocks(block[np.random.default_rng(seed).permutation(n)], None)
    parts = split(block, seed, holdout)
    everything = np.concatenate([parts.design, parts.fit, parts.holdout])
    assert sorted(everything.tolist()) == list(range(n))
    owners = [set(block[rows].tolist()) for rows in (parts.design, parts.fit, parts.holdout)]
    assert not owners[0] & owners[1]
    assert not owners[1] & owners[2]
    assert not owners[0] & owners[2]
    of = len(np.unique(block))
    assert len(owners[0]) == max(1, round(0.05 * of))
    assert len(owners[2]) == (of - round(0.8 * of) if holdout else 0)


def test_rows_without_blocks_are_split_exactly():
    parts = split(np.arange(2000), 3)
    assert [len(parts.design), len(parts.fit), len(parts.holdout)] == [100, 1500, 400]


def test_each_row_is_held_out_with_the_same_chance():
    held = np.zeros(60)
    for seed in range(600):
        held[split(np.arange(60), seed).holdout] += 1
    # Binomial(600, 0.2) has standard deviation 9.8; five of them over 60 rows fail once in 30,000 runs
    assert np.abs(held - 120).max() < 5 * 9.8


@pytest.mark.parametrize(("size", "alone"), [(300, 700), (100, 900), (50, 50)])
def test_a_large_block_is_held_out_and_designs_as_often_as_any_row(size, alone):
    """Blocks of 30 %, 10 % and half of the rows among single rows: their chance is the share of a part."""
    block = np.concatenate([np.zeros(size, dtype=np.int64), 1 + np.arange(alone)])
    held = design = 0
    for seed in range(1000):
        parts = split(block, seed)
        held += 0 in parts.holdout
        design += 0 in parts.design
    of = alone + 1
    for count, chance in ((held, (of - round(0.8 * of)) / of), (design, round(0.05 * of) / of)):
        assert abs(count - 1000 * chance) < 4.5 * np.sqrt(1000 * chance * (1 - chance))
        assert abs(chance - (0.2 if count == held else 0.05)) < 0.01


def test_splits_of_single_rows_are_those_of_a_cut_at_the_share_of_rows():
    """The permutation of a seed, cut at 5 % and 80 % of the rows: splits that users have stored."""
    for n, seed in ((40, 0), (101, 3), (1000, 7)):
        parts, order = split(np.arange(n), seed), np.argsort(stream("split", seed, n, True).permutation(n))
        assert np.array_equal(np.concatenate([parts.design, parts.fit, parts.holdout]), order)
        assert (len(parts.design), len(parts.design) + len(parts.fit)) == (round(0.05 * n), round(0.8 * n))


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    assert np.array_equal(split(np.arange(100), 1).fit, split(np.arange(100), 1).fit)
    assert not np.array_equal(split(np.arange(100), 1).fit, split(np.arange(100), 2).fit)


def test_a_slightly_different_block_structure_moves_few_rows():
    """An encoder that finds one more pair identical has nearly the split of the others."""
    block = np.arange(1000)
    merged = block.copy()
    merged[500] = 100
    merged = np.unique(merged, return_inverse=True)[1]
    one, other = split(block, 0), split(merged, 0)
    assert len(set(one.holdout.tolist()) ^ set(other.holdout.tolist())) <= 4


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40))
def test_blocks_are_the_connected_components(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, max(n // 2, 1), n), rng.integers(0, max(n // 2, 1), n)
    joined = blocks(a, b)
    parent = list(range(n))

    def root(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(n):
        for j in range(i):
            if a[i] == a[j] or b[i] == b[j]:
                parent[root(i)] = root(j)
    expected = np.array([root(i) for i in range(n)])
    assert np.array_equal(joined[:, None] == joined[None], expected[:, None] == expected[None])
    assert set(joined.tolist()) == set(range(int(joined.max()) + 1))  # contiguous: used as an index


def test_subsets_of_one_seed_are_prefixes_of_one_permutation():
    order = subset_order(50, split_seed=0, seed=1)
    assert sorted(order.tolist()) == list(range(50))
    assert not np.array_equal(order, subset_order(50, 0, 2))
    assert not np.array_equal(order, subset_order(50, 1, 1))


def test_stratified_subsets_have_exact_proportions_and_are_nested_in_each_class():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    order = subset_order(100, 0, 0)
    small, large = stratified_subset(labels, order, 20), stratified_subset(labels, order, 50)
    assert np.bincount(labels[small]).tolist() == [12, 6, 2]
    assert np.bincount(labels[large]).tolist() == [30, 15, 5]
    assert set(small.tolist()) <= set(large.tolist())
    for label in range(3):
        first = [row for row in order if labels[row] == label][: int((labels[small] == label).sum())]
        assert [row for row in small if labels[row] == label] == first


def test_stratified_sizes_name_the_smallest_legal_number():
    labels = np.repeat([0, 1], [97, 3])
    with pytest.raises(ValueError, match=r"smallest legal number is \d+") as error:
        stratified_subset(labels, np.arange(100), 5)
    least = int(str(error.value).rsplit(" ", 1)[1])
    assert len(stratified_subset(labels, np.arange(100), least)) == least
    with pytest.raises(ValueError, match=f"smallest legal number is {least}"):
        stratified_subset(labels, np.arange(100), least - 1)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(40, 300), seed=st.integers(0, 100))
def test_row_groups_are_balanced_and_keep_blocks_whole(n, seed):
    block = np.arange(n) // 2
    group = row_groups(block, seed)
    sizes = np.bincount(group[::2], minlength=20)
    assert sizes.max() - sizes.min() <= 1
    assert (group[::2][: n // 2] == group[1::2]).all()
