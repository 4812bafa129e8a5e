"""Mean log loss and its gradient for many linear adapters on the same rows, in one pass over them.

For adapter b with row shares s_b (≥ 0, Σ_i s_bi = 1), scores z_i = W_b x_i, p_i = softmax(z_i), W_b ∈ ℝ^{K×r}:

    L̂_b = Σ_i s_bi (ln Σ_c e^{z_ic} − z_{i,y_i}),      ∇L̂_b = Σ_i s_bi (p_i − e_{y_i}) x_iᵀ.

Rows go by in blocks small enough for the cache, so scores never reach main memory; all adapters share the two products
of a block, which makes them fat. Products run in `precision`; sums over blocks are float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.records.task import Integers

BLOCK_SCORES = 81_920  # scores of one block: measured best between 50,000 and 200,000
BLOCK_FEATURES = 400_000  # features of one block: more leave the cache between the two products
LEAST_BLOCK = 256
FEW_COLUMNS = 16  # below it a product is quicker with rows first


class Passes:
    """The rows, and how many times all of them went by (`count`, in adapters)."""

    def __init__(
        self,
        features: NDArray[np.floating],
        labels: Integers,
        classes: int,
        shares: Matrix | None = None,
        precision: type[np.floating] = np.float64,
        constant: float = 0.0,
    ) -> None:
        """`features` [n, r], held or not; `shares` [problems, n] or None: every row counts 1/n in every problem.

        A `constant` other than 0 is the value of one more feature, the last of r + 1, which is stored nowhere.
        """
        if isinstance(features, np.ndarray):  # else rows that are computed when a slice is asked for
            features = np.ascontiguousarray(features, dtype=precision)
        self.features = features
        self.labels, self.classes, self.precision, self.constant = labels, classes, precision, constant
        self.shares = None if shares is None else shares.astype(precision)
        self.count = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __call__(self, weights: Matrix, which: Integers) -> tuple[Matrix, Matrix]:
        """L̂ [A] and ∇L̂ [A, K, r] at `weights` [A, K, r] of the problems `which` [A].

        >>> passes = Passes(np.array([[1.0], [-1.0]]), np.array([0, 1]), 2)
        >>> value, gradient = passes(np.zeros((1, 2, 1)), np.array([0]))
        >>> (value / np.log(2)).tolist(), gradient.tolist()
        ([1.0], [[[-0.5], [0.5]]])
        """
        value, gradient, _ = self.measure(weights, which)
        return value, gradient

    def measure(self, weights: Matrix, which: Integers, spreads: bool = False) -> tuple[Matrix, Matrix, Matrix]:
        """L̂ [A], ∇L̂ [A, K, r] and, if asked for, Σ_i s_i p_ic(1 − p_ic) [A, K] (else zeros)."""
        many, classes, size = weights.shape
        flat = weights.reshape(many * classes, size).astype(self.precision)
        run = self._two if classes == 2 else self._many
        value, gradient, spread = run(flat, which, spreads)
        self.count += many
        if self.shares is None:
            value /= len(self)
            gradient /= len(self)
            spread /= len(self)
        return value, gradient.reshape(weights.shape), spread

    def _many(self, flat: NDArray[np.floating], which: Integers, spreads: bool) -> tuple[Matrix, Matrix, Matrix]:
        many = len(which)
        value, gradient, spread = np.zeros(many), np.zeros(flat.shape), np.zeros((many, self.classes))
        for rows in self._blocks(many):
            x, y = self.features[rows], self.labels[rows]
            scores, loss = self._softmax(flat, x, y, many)
            at = np.arange(len(y))
            share = None if self.shares is None else self.shares[which, rows]
            value += loss.sum(axis=1, dtype=np.float64) if share is None else (loss * share).sum(axis=1)
            if spreads:
                counted = scores if share is None else scores * share[:, None, :]
                spread += counted.sum(axis=2) - np.einsum("akn,akn->ak", scores, counted)
            scores[:, y, at] -= 1
            if share is not None:
                scores *= share[:, None, :]
            self._gather(gradient, scores.reshape(len(flat), -1), x)
        return value, gradient, spread

    def _two(self, flat: NDArray[np.floating], which: Integers, spreads: bool) -> tuple[Matrix, Matrix, Matrix]:
        """Two classes: one column of margins m = z_1 − z_0, p_1 = 1/(1 + e^{−m}), ℓ = ln(1 + e^m) − y·m."""
        many = len(which)
        columns = flat[1::2] - flat[::2]
        value, gradient, spread = np.zeros(many), np.zeros(columns.shape), np.zeros((many, 1))
        for rows in self._blocks(many):
            x, y = self.features[rows], self.labels[rows].astype(self.precision)
            margins = self._scores(columns, x)
            small = np.exp(-np.abs(margins))
            loss = np.log1p(small) + np.maximum(margins, 0) - margins * y
            first = np.where(margins > 0, 1, small) / (1 + small)
            share = None if self.shares is None else self.shares[which, rows]
            counted = loss if share is None else loss * share
            value += counted.sum(axis=1, dtype=np.float64)
            if spreads:
                product = first * (1 - first)
                spread[:, 0] += (product if share is None else product * share).sum(axis=1, dtype=np.float64)
            first -= y
            if share is not None:
                first *= share
            self._gather(gradient, first, x)
        return value, np.stack([-gradient, gradient], axis=1).reshape(flat.shape), np.repeat(spread, 2, axis=1)

    def _gather(self, gradient: Matrix, residual: NDArray[np.floating], x: NDArray[np.floating]) -> None:
        """Add Σ_i residual_i x_iᵀ of one block: residual [columns, rows]."""
        if self.constant:
            gradient[:, :-1] += residual @ x
            gradient[:, -1] += self.constant * residual.sum(axis=1, dtype=np.float64)
        else:
            gradient += residual @ x

    def spread(self, weights: Matrix, which: int = 0) -> NDArray[np.floating]:
        """s_i·p_ic(1 − p_ic) at one adapter [K, r]: [K, n], the weight of row i in the curvature of class c."""
        flat = weights.astype(self.precision)
        spread = np.empty((self.classes, len(self)), dtype=self.precision)
        for rows in self._blocks(1):
            scores, _ = self._softmax(flat, self.features[rows], self.labels[rows], 1)
            np.multiply(scores[0], 1 - scores[0], out=spread[:, rows])
        self.count += 1
        spread *= 1 / len(self) if self.shares is None else self.shares[which]
        return spread

    def _softmax(
        self, flat: NDArray[np.floating], x: NDArray[np.floating], y: Integers, many: int
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Probabilities [many, K, rows] and losses [many, rows] of one block."""
        scores = self._scores(flat, x).reshape(many, -1, len(y))
        scores -= scores.max(axis=1, keepdims=True)
        own = scores[:, y, np.arange(len(y))]
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        scores /= total[:, None, :]
        np.log(total, out=total)
        total -= own
        return scores, total

    def _scores(self, flat: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Scores of one block, a row per column of the problem: [columns, rows]."""
        inner = flat[:, :-1] if self.constant else flat
        scores: NDArray[np.floating]
        scores = np.ascontiguousarray((x @ inner.T).T) if 1 < len(flat) < FEW_COLUMNS else inner @ x.T
        if self.constant:
            scores += flat[:, -1:] * self.precision(self.constant)
        return scores

    def _blocks(self, many: int) -> list[slice]:
        most = min(BLOCK_SCORES // (many * self.classes), BLOCK_FEATURES // max(self.features.shape[1], 1))
        step = max(most, LEAST_BLOCK)
        return [slice(start, start + step) for start in range(0, len(self), step)]
