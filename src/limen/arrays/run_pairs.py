"""Statistics over pairs of points that come in clusters: Kendall's tau-b by kind of pair, and its cluster bootstrap.

k points (x_i, y_i) in g runs. With s_ij = sign(x_i − x_j)·sign(y_i − y_j) and a set P of pairs,

    tau_b(P) = Σ_P s_ij / √(Σ_P [x_i ≠ x_j] · Σ_P [y_i ≠ y_j]).

Sums over pairs are sums over pairs of runs, N_rs = Σ_{i∈r, j∈s}. A bootstrap sample that has run r w_r times has the
sum Σ_{r≠s} w_r w_s N_rs + Σ_r w_r N_rr: two copies of a run make no pair, a tie that the data do not have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kinds = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over the pairs of every two runs, [g, g] each: concordance, pairs that differ in x, in y, all pairs."""

    concordance: Floats
    differ_x: Floats
    differ_y: Floats
    pairs: Floats

    def tau(self, weights: Floats) -> Floats:
        """tau_b [B] where run r is there weights[b, r] times; NaN where no pair differs in x or in y."""
        top, x, y = (_weighted(part, weights) for part in (self.concordance, self.differ_x, self.differ_y))
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = np.where((x > 0) & (y > 0), top / np.sqrt(x * y), np.nan)
        return found

    @property
    def runs_with_pairs(self) -> int:
        """Runs that have a pair in the set."""
        return int((self.pairs.sum(axis=1) > 0).sum())


def pair_sums(x: Floats, y: Floats, runs: NDArray[np.int64], kind: Kinds) -> PairSums:
    """Sums of points x, y [k] of runs [k] in 0 … g − 1 over the pairs of `kind` [k, k] (symmetric).

    >>> x, runs = np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2])
    >>> sums = pair_sums(x, -x, runs, ~np.eye(3, dtype=bool))
    >>> float(sums.tau(np.ones((1, 3)))[0])
    -1.0
    """
    member = (runs[:, None] == np.arange(int(runs.max()) + 1)).astype(np.float64)
    sx, sy = (np.sign(v[:, None] - v[None, :]) * kind for v in (x, y))
    parts = (sx * sy, np.abs(sx), np.abs(sy), kind.astype(np.float64))
    return PairSums(*(member.T @ part @ member for part in parts))


def resampled_runs(runs: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each of g runs is drawn in each of B bootstrap samples of g runs, [B, g].

    >>> resampled_runs(3, 2, np.random.default_rng(0)).sum(axis=1).tolist()
    [3.0, 3.0]
    """
    return rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples).astype(np.float64)


def _weighted(part: Floats, weights: Floats) -> Floats:
    own = np.diag(part)
    apart = part - np.diag(own)
    total: Floats = np.einsum("br,rs,bs->b", weights, apart, weights, optimize=True) + weights @ own
    return total
