"""Losses of rows under probes that were fitted on the rows before them: every row is scored, none by its own fit.

Rows in random order are cut at s_0 = first·n < s_1 < … < s_k = n. The probe ĝ_j is the minimiser on rows [0, s_j) and
scores rows [s_j, s_{j+1}). It lies in the ball and is fixed before those rows, so

    E[ℓ(ĝ_j, x_i, y_i) | rows before s_j] = L(ĝ_j) ≥ L*                 for i in [s_j, s_{j+1}),

whatever the optimizer did. An upper bound on L* follows (`limen.measure.betting`).    Dawid 1984; Blum, Kalai,
Langford 1999.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from limen.adapt.ball import Rows, minimise
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import per_example_loss

BLOCKS = 4
FIRST = 0.5
TOLERANCE = 1e-3


def prequential_losses(rows: Rows, radius: float, blocks: int = BLOCKS, first: float = FIRST) -> Matrix:
    """Losses [n − ⌊first·n⌋] of the rows after the first part, each by the probe of the rows before its block.

    The rows must be in random order. Raises ValueError where a block or the first part would be empty.

    >>> rows = Rows(np.tile([[1.0], [-1.0]], (8, 1)), np.tile([0, 1], 8), 2)
    >>> prequential_losses(rows, 1e-9).round(6).tolist() == [round(float(np.log(2)), 6)] * 8
    True
    """
    n = len(rows)
    cuts = np.linspace(int(first * n), n, blocks + 1).astype(int)
    if blocks < 1 or cuts[0] < 1 or (np.diff(cuts) < 1).any():
        raise ValueError(f"expected {blocks} blocks after a first part of {first:g}, all with rows, got {n} rows")
    start, losses = None, []
    for begin, end in pairwise(cuts):
        fit = minimise(rows.take(np.arange(begin)), radius, start, TOLERANCE)
        start = fit.weights
        block = rows.take(np.arange(begin, end))
        losses.append(per_example_loss(block.features @ start, block.labels, block.loss))
    return np.concatenate(losses)
