"""The squared-loss probe in closed form: every penalty × every nested label count, with exact leave-one-out.

For the first n of the given rows, with row weights a_i ≥ 0 (1 if none are given) and s = Σ_{i≤n} a_i,

    W = argmin (1/s) Σ a_i ‖Wᵀx_i − e_{y_i}‖² + λ‖W‖² = (G + λI)⁻¹ XᵀAY/s,        G = XᵀAX/s = V diag(v) Vᵀ,
    leave-one-out residual of row i:   r_i/(1 − h_i),   r_i = Wᵀx_i − e_{y_i},   h_i = a_i x_iᵀ(G + λI)⁻¹x_i/s,
    GCV = training loss/(1 − df/m)²,   df = Σ_i h_i = Σ_k v_k/(v_k + λ),   m = rows of positive weight.

Leave-one-out keeps the penalty's absolute weight, s·λ, fixed (Allen's PRESS); GCV puts the mean of h_i in the place of
each (Golub, Heath, Wahba, Technometrics 21, 1979). For n < p the same in the kernel K = A^½XXᵀA^½, M = (K + sλI)⁻¹:
r = −sλ·MY and r_i/(1 − h_i) = −(MY)_i/M_ii, without cancellation; for n ≥ p a row of leverage h costs its leave-one-out
residual the fraction 1e-16/(1 − h) of its value. Moments grow by blocks of rows: one pass over the rows for all n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.adapt.ball import Rows
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import one_hot
from limen.arrays.row_blocks import BLOCK
from limen.records.task import Integers

SCORES = 1 << 20  # scores of all penalties and classes held at a time

# shapes: N label counts, L penalties; p features, K classes; n rows of one label count; r = min(n, p)


@dataclass(frozen=True, slots=True)
class RidgePath:
    """One row per penalty: norms ‖W_λ‖_F, training and exact leave-one-out squared loss, leave-one-out error."""

    penalties: Matrix
    norms: Matrix
    training_loss: Matrix
    leave_one_out_loss: Matrix
    leave_one_out_error: Matrix


@dataclass(frozen=True, slots=True)
class RidgeGrid:
    """All quantities [N, L]; losses are weighted means in squared units of the one-hot target, errors are shares."""

    counts: Integers
    """Label counts n, rising: [N]."""
    penalties: Matrix
    """λ > 0: [L]."""
    norms: Matrix
    """‖W‖_F."""
    training_loss: Matrix
    training_error: Matrix
    leave_one_out_loss: Matrix
    leave_one_out_error: Matrix
    effective_dimension: Matrix
    """df = tr G(G + λI)⁻¹, between 0 and the rank."""
    gcv: Matrix

    def best(self) -> Matrix:
        """Penalty of least leave-one-out loss at every label count: [N]."""
        chosen: Matrix = self.penalties[self.leave_one_out_loss.argmin(axis=1)]
        return chosen


def ridge_grid(
    rows: Rows, counts: Sequence[int], penalties: Matrix, weights: NDArray[np.floating] | None = None
) -> RidgeGrid:
    """Every penalty λ > 0 [L] at every prefix of `counts` rows [N], rising; `weights` [n] are those of the rows.

    Two rows x = 1 of different labels, λ = 1: w = ¼ for both, so residuals are ¾ and ¼; h = ¼ each.

    >>> rows = Rows(np.array([[1.0], [1.0]]), np.array([0, 1]), 2, "squared")
    >>> grid = ridge_grid(rows, [1, 2], np.array([1.0]))
    >>> grid.training_loss.round(6).tolist(), grid.leave_one_out_loss.round(6).tolist(), grid.gcv.round(6).tolist()
    ([[0.25], [0.625]], [[1.0], [1.111111]], [[1.0], [1.111111]])

    Raises ValueError for penalties that are not positive, counts that do not rise within 1 … n, weights that are
    negative, not finite, of another length, or all 0 at the smallest count.
    """
    row_weights = _checked(rows, counts, penalties, weights)
    columns = []
    for n, moment in _moments(rows, counts, row_weights):
        part = rows.take(np.arange(n))
        solve = _from_gram if n >= rows.features.shape[1] else _from_kernel
        columns.append(solve(part, row_weights[:n], moment, penalties))
    stacked = (np.array(column) for column in zip(*columns, strict=True))
    return RidgeGrid(np.array(counts, dtype=np.int64), penalties, *stacked)


def ridge_path(rows: Rows, penalties: Matrix) -> RidgePath:
    """The whole path on rows of loss "squared" [n, p], penalties λ > 0: the grid at the one label count n.

    Two equal rows of different labels, λ → ∞: scores are 0, the loss is ‖e_y‖² = 1.

    >>> path = ridge_path(Rows(np.array([[1.0], [1.0]]), np.array([0, 1]), 2, "squared"), np.array([1e12]))
    >>> path.training_loss.round(6), path.leave_one_out_loss.round(6)
    (array([1.]), array([1.]))

    Raises ValueError for a penalty that is not positive.
    """
    grid = ridge_grid(rows, [len(rows)], penalties)
    kept = (grid.norms, grid.training_loss, grid.leave_one_out_loss, grid.leave_one_out_error)
    return RidgePath(penalties, *(table[0] for table in kept))


def ridge_weights(rows: Rows, penalty: float, weights: NDArray[np.floating] | None = None) -> Matrix:
    """The adapter itself [p, K] at one penalty λ > 0.

    >>> ridge_weights(Rows(np.array([[1.0], [1.0]]), np.array([0, 1]), 2, "squared"), 1.0)
    array([[0.25, 0.25]])

    Raises ValueError as `ridge_grid` does.
    """
    row_weights = _checked(rows, [len(rows)], np.array([penalty]), weights)
    root = np.sqrt(row_weights / row_weights.sum())[:, None]
    x, targets = root * rows.features, root * one_hot(rows.labels, rows.classes)
    n, p = x.shape
    if n >= p:
        solved: Matrix = scipy.linalg.solve(x.T @ x + penalty * np.eye(p), x.T @ targets, assume_a="pos")
        return solved
    spanned: Matrix = x.T @ scipy.linalg.solve(x @ x.T + penalty * np.eye(n), targets, assume_a="pos")
    return spanned


def _checked(
    rows: Rows, counts: Sequence[int], penalties: Matrix, weights: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    if not (np.isfinite(penalties) & (penalties > 0)).all():
        raise ValueError(f"penalties must be positive and finite, got {penalties}")
    if not counts or counts[0] < 1 or counts[-1] > len(rows) or any(np.diff(counts) <= 0):
        raise ValueError(f"label counts must rise between 1 and the {len(rows)} rows, got {list(counts)}")
    if weights is None:
        return np.ones(len(rows))
    if weights.shape != (len(rows),) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"weights must be {len(rows)} finite numbers of at least 0, one a row")
    if not weights[: counts[0]].any():
        raise ValueError(f"the first {counts[0]} rows all have weight 0")
    return weights.astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the rows of one label count sum to: `square` XᵀAX [p, p] and `cross` XᵀAY [p, K], or the kernel [n, n]."""

    square: Matrix
    cross: Matrix


def _moments(rows: Rows, counts: Sequence[int], weights: Matrix) -> Iterator[tuple[int, _Moment]]:
    """Moments of every prefix; each row enters the Gram matrix once, kernels are corners of the largest one."""
    p = rows.features.shape[1]
    small = [n for n in counts if n < p]
    if small:
        x = np.sqrt(weights[: small[-1], None]) * rows.features[: small[-1]]
        kernel, cross = x @ x.T, np.sqrt(weights[: small[-1], None]) * one_hot(rows.labels[: small[-1]], rows.classes)
        for n in small:
            yield n, _Moment(kernel[:n, :n], cross[:n])
    square, cross, done = np.zeros((p, p)), np.zeros((p, rows.classes)), 0
    for n in counts[len(small) :]:
        for start in range(done, n, BLOCK):
            block = slice(start, min(start + BLOCK, n))
            x = np.sqrt(weights[block, None]) * rows.features[block]
            square += x.T @ x  # x in both factors: BLAS computes half of it
            cross += x.T @ (np.sqrt(weights[block, None]) * one_hot(rows.labels[block], rows.classes))
        done = n
        yield n, _Moment(square, cross)


def _from_gram(rows: Rows, weights: Matrix, moment: _Moment, penalties: Matrix) -> tuple[Matrix, ...]:
    total = float(weights.sum())
    values, vectors = scipy.linalg.eigh(moment.square / total)
    values = np.maximum(values, 0.0)
    inner = vectors.T @ moment.cross / total
    shrink = 1 / (values[:, None] + penalties)  # [p, L]
    norms = np.sqrt((inner**2).sum(axis=1) @ shrink**2)
    sums = np.zeros((4, penalties.size))
    size = max(1, min(BLOCK, SCORES // (penalties.size * rows.classes)))
    single = _single(rows, weights)
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        turned, a = rows.features[block] @ vectors, weights[block]
        targets = one_hot(rows.labels[block], rows.classes)
        scores = turned @ (shrink[:, :, None] * inner[:, None, :]).reshape(len(values), -1)
        residual = scores.reshape(len(turned), penalties.size, rows.classes) - targets[:, None, :]
        free = 1 - a[:, None] * (turned**2 @ shrink) / total
        # 1 − h ≥ 1/(1 + a‖x‖²/(sλ)) in exact arithmetic: rounding cannot carry it below
        free = np.maximum(free, 1 / (1 + (a * (turned**2).sum(axis=1))[:, None] / (total * penalties)))
        sums += np.array(_sums(residual, free, rows.labels[block], a, single[block]))
    return _columns(norms, sums / total, (values[:, None] * shrink).sum(axis=0), int(np.count_nonzero(weights)))


def _from_kernel(rows: Rows, weights: Matrix, moment: _Moment, penalties: Matrix) -> tuple[Matrix, ...]:
    total = float(weights.sum())
    values, vectors = scipy.linalg.eigh(moment.square / total)
    values = np.maximum(values, 0.0)
    inner = vectors.T @ moment.cross
    root = np.where(weights > 0, np.sqrt(weights), 1.0)
    norms, sums = np.zeros(penalties.size), np.zeros((4, penalties.size))
    single = _single(rows, weights)
    for index, penalty in enumerate(penalties):
        free = vectors**2 @ (penalty / (values + penalty))  # 1 − h = sλ·M_ii
        residual = -(vectors @ (inner * (penalty / (values + penalty))[:, None])) / root[:, None]
        norms[index] = np.sqrt((inner**2).sum(axis=1) @ (values / (values + penalty) ** 2) / total)
        sums[:, index] = np.ravel(_sums(residual[:, None, :], free[:, None], rows.labels, weights, single))
    degrees = (values[:, None] / (values[:, None] + penalties)).sum(axis=0)
    return _columns(norms, sums / total, degrees, int(np.count_nonzero(weights)))


def _single(rows: Rows, weights: Matrix) -> NDArray[np.bool_]:
    """Rows that are the only one of their class: left out, that class scores exactly 0, like a class without rows."""
    alone: NDArray[np.bool_] = np.bincount(rows.labels, weights > 0, rows.classes)[rows.labels] == 1
    return alone


def _sums(
    residual: Matrix, free: Matrix, labels: Integers, weights: Matrix, single: NDArray[np.bool_]
) -> tuple[Matrix, ...]:
    """Weighted sums over rows of training loss, error, leave-one-out loss, error: [n, L, K], [n, L] → 4 × [L]."""
    out = residual / free[:, :, None]
    loss, out_loss = (weights @ (r**2).sum(axis=2) for r in (residual, out))
    rows = np.arange(len(labels))
    for scores in (residual, out):
        scores[rows, :, labels] += 1
    out[single, :, labels[single]] = 0.0  # exact, so that ties of classes without rows do not hang on rounding
    error, out_error = (weights @ (scores.argmax(axis=2) != labels[:, None]) for scores in (residual, out))
    return loss, error, out_loss, out_error


def _columns(norms: Matrix, means: Matrix, degrees: Matrix, rows: int) -> tuple[Matrix, ...]:
    """The columns of `RidgeGrid` from `norms` on."""
    train, error, loo, loo_error = means
    return norms, train, error, loo, loo_error, degrees, train / (1 - degrees / rows) ** 2
