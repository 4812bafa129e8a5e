"""Parts of the rows that are fixed before anything is fitted: design, fit, holdout, nested subsets, row groups.

The rows are split uniformly at random into design 5 %, fit 75 %, holdout 20 %. Blocks, not rows, are drawn: rows with
identical features, or of one group, stay together. With G blocks in uniformly random order, the first round(0.05·G) are
design and the last G − round(0.8·G) are held out: P(held out) = 1 − round(0.8·G)/G for every block, whatever its size.
(A cut at a share of the rows would send the block that straddles it to one side, and large blocks straddle more often.)
The parts have their shares of the rows in expectation, not in every draw.

Subset n of seed s is the first n rows of a uniform permutation of fit, so subsets are nested and each is an i.i.d.
sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limen.arrays.random import stream
from limen.records.task import Integers

DESIGN_SHARE = 0.05
HOLDOUT_SHARE = 0.20
JACKKNIFE_GROUPS = 20
LEAST_ROWS = 40
"""Fewest rows that are split at all."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Row indices of each part, in the order drawn."""

    design: Integers
    fit: Integers
    holdout: Integers
    """Empty when another file is the holdout."""


def blocks(identical: Integers, groups: Integers | None) -> Integers:
    """Block of every row [n]: connected components of "identical features" and "same group".

    >>> blocks(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7]))
    array([0, 0, 0, 1])
    """
    labels = np.unique(identical, return_inverse=True)[1]
    if groups is None:
        return labels.astype(np.int64)
    other = np.unique(groups, return_inverse=True)[1]
    while True:  # each pass gives both partitions the least label they share; ends when neither changes
        least = np.full(other.max() + 1, labels.size)
        np.minimum.at(least, other, labels)
        merged = least[other]
        back = np.full(labels.max() + 1, labels.size)
        np.minimum.at(back, labels, merged)
        merged = back[labels]
        if np.array_equal(merged, labels):
            return np.unique(labels, return_inverse=True)[1].astype(np.int64)
        labels = merged


def split(block: Integers, split_seed: int, holdout: bool = True) -> Parts:
    """Design, fit and holdout rows by whole blocks; without `holdout` the fit part takes its share.

    Design has a block whenever there is one.

    >>> parts = split(np.arange(100), 0)
    >>> len(parts.design), len(parts.fit), len(parts.holdout)
    (5, 75, 20)
    """
    n = len(block)
    draw = stream("split", split_seed, n, holdout)
    # a block draws with its first row: nearly the same split for encoders that find nearly the same rows identical
    rank = draw.permutation(n)[np.unique(block, return_index=True)[1]][block]
    order = np.argsort(rank, kind="stable").astype(np.int64)
    starts = np.append(np.flatnonzero(np.diff(rank[order], prepend=-1)), n)  # of the blocks in the order drawn
    of = len(starts) - 1
    design_end = int(starts[max(round(DESIGN_SHARE * of), min(of, 1))])
    fit_end = int(starts[round((1 - HOLDOUT_SHARE) * of)]) if holdout else n
    return Parts(order[:design_end], order[design_end:fit_end], order[fit_end:])


def subset_order(n_fit: int, split_seed: int, seed: int) -> Integers:
    """The permutation of the fit rows whose prefixes are the subsets of one seed."""
    return stream("subset", split_seed, seed, n_fit).permutation(n_fit).astype(np.int64)


def stratified_subset(labels: Integers, order: Integers, n: int, classes: int = 0) -> Integers:
    """The first rows of each class in `order`, in the exact proportions of the fit part (largest remainders).

    >>> stratified_subset(np.array([0, 0, 1, 1]), np.array([3, 2, 1, 0]), 2)
    array([3, 1])

    Raises ValueError, naming the smallest legal n, where a class would get no row.
    """
    counts = np.bincount(labels, minlength=classes)
    shares = _largest_remainders(counts, n)
    if (shares < 1).any():
        if (counts == 0).any():
            raise ValueError(f"class {int(np.argmin(counts))} has no row in the fit part, so no subset is stratified")
        least = next(m for m in range(n + 1, len(labels) + 1) if (_largest_remainders(counts, m) >= 1).all())
        raise ValueError(f"{n} stratified labels leave a class empty; the smallest legal number is {least}")
    ordered = labels[order]
    seen = np.zeros(len(order), dtype=np.int64)
    for label in range(len(counts)):
        mine = ordered == label
        seen[mine] = np.arange(int(mine.sum()))
    return order[seen < shares[ordered]]


def row_groups(block: Integers, split_seed: int, groups: int = JACKKNIFE_GROUPS) -> Integers:
    """Group 0 … groups−1 of every row for the delete-a-group jackknife; blocks stay together, sizes are balanced."""
    draw = stream("jackknife", split_seed, len(block))
    ranks = draw.permutation(int(block.max()) + 1)
    return (ranks[block] % groups).astype(np.int64)


def _largest_remainders(counts: Integers, n: int) -> Integers:
    exact = counts * (n / counts.sum())
    shares: Integers = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: n - int(shares.sum())]] += 1
    return shares
