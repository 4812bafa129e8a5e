"""Texts of a stationary first-order Markov chain of letters, of which every conditional entropy is a finite sum.

X_1 ~ π, X_{j+1} | X_j ~ K, m letters in a text. With a vocabulary without merges the tokens of a text are
[BOS] [space] X_1 … X_m, cut to T tokens; the space is always there and costs nothing. In nats for each token:

next-token    (H(X_1) + (m − 1) H(X_2 | X_1))/(m + 1),  [BOS] is not predicted
masked        mean over the subsets S of h of the m + 1 tokens of (1/h) Σ_{i ∈ S} H(X_i | X_j, j ∉ S),
              h = ⌈share·(m + 1)⌉
autoencoder   Σ_i H(X_i | X̃)/(m + 2);  X̃_i is X_i, or with probability `noise` a uniform one of the 256 bytes, of which
              those that are no letter say one and the same: that something was there

All of them from the joint law of the m letters, an array of S^m numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.data.worlds.world import Matrix

BYTES = 256


@dataclass(frozen=True, slots=True, eq=False)
class MarkovChain:
    """The chain; a table of it holds texts that are drawn independently.

    >>> chain = MarkovChain("coin", np.full((2, 2), 0.5), letters=3, rows=4)
    >>> round(chain.next_token(3) / math.log(2), 12), round(chain.masked(3, 1 / 4) / math.log(2), 12)
    (0.75, 0.75)
    """

    name: str
    kernel: Matrix
    """K [S, S], rows sum to 1."""
    letters: int
    """m"""
    rows: int
    input = "text"

    @property
    def kinds(self) -> dict[str, str]:
        """Columns of a table and their kinds."""
        return {"text": "text"}

    def columns(self, part: str) -> dict[str, NDArray[Any]]:
        """Texts [n] of the letters a, b, …"""
        rng = stream("world", self.name, part)
        above = np.cumsum(self.kernel, axis=1)
        drawn = np.empty((self.rows, self.letters), dtype=np.int64)
        drawn[:, 0] = rng.choice(len(self.kernel), self.rows, p=self.stationary)
        for j in range(1, self.letters):
            drawn[:, j] = (rng.random(self.rows)[:, None] >= above[drawn[:, j - 1], :-1]).sum(axis=1)
        texts = ["".join(chr(ord("a") + letter) for letter in row) for row in drawn]
        return {"text": np.array(texts, dtype=object)}

    @property
    def stationary(self) -> Matrix:
        """π [S]: πK = π."""
        size = len(self.kernel)
        system = np.r_[self.kernel.T - np.eye(size), np.ones((1, size))]
        return np.asarray(np.linalg.lstsq(system, np.r_[np.zeros(size), 1.0], rcond=None)[0])

    def joint(self, letters: int) -> Matrix:
        """The law of the first letters of a text, [S, …, S]."""
        law = self.stationary
        for _ in range(letters - 1):
            law = law[..., None] * self.kernel
        return law

    def next_token(self, letters: int) -> float:
        """Least next-token loss where so many letters of a text are kept."""
        return entropy(self.joint(letters)) / (letters + 1)

    def masked(self, letters: int, share: float) -> float:
        """Least masked loss."""
        law, tokens = self.joint(letters), letters + 1  # the space is token 0, letter i is token i + 1
        hidden = math.ceil(round(share * tokens, 9))
        subsets = list(combinations(range(tokens), hidden))
        return sum(_given_others(law, tuple(t - 1 for t in s if t)) for s in subsets) / (len(subsets) * hidden)

    def autoencoder(self, letters: int, noise: float) -> float:
        """Least loss of restoring texts whose tokens were replaced."""
        size = len(self.kernel)
        channel = np.full((size, size + 1), noise / BYTES) + np.c_[(1 - noise) * np.eye(size), np.zeros(size)]
        channel[:, size] = noise * (BYTES - size) / BYTES
        law, total = self.joint(letters), 0.0
        for i in range(letters):
            seen = law
            for j in range(letters):  # axis j of the law of letters becomes that of what is seen of it
                seen = np.moveaxis(np.tensordot(seen, channel, axes=(j, 0)), -1, j)
            both = np.moveaxis(law, i, -1)[..., None] * channel
            for _ in range(letters - 1):
                both = np.tensordot(both, channel, axes=(0, 0))
            total += entropy(both) - entropy(seen)
        return total / (letters + 2)


def entropy(law: Matrix) -> float:
    """−Σ p ln p, nats.

    >>> round(entropy(np.full((2, 2), 0.25)) / math.log(2), 12)
    2.0
    """
    positive = law[law > 0]
    return float(-(positive * np.log(positive)).sum())


def _given_others(law: Matrix, hidden: tuple[int, ...]) -> float:
    """Σ_{i ∈ hidden} H(X_i | X_j, j not hidden)."""
    seen = entropy(np.asarray(law.sum(axis=hidden)))
    return sum(entropy(np.asarray(law.sum(axis=tuple(j for j in hidden if j != i)))) - seen for i in hidden)
