"""The squared-loss probe row by row: training loss, exact leave-one-out loss and error of every row, every penalty.

With row shares s_i, Σ s_i = 1, and the constant feature in x (intercept "penalized") or a free intercept b,

    min Σ_i s_i ‖Wᵀx_i + b − e_{y_i}‖² + λ‖W‖²:      leave-one-out residual of row i = r_i/(1 − h_i), exactly,
    h_i = s_i x_iᵀ(G + λI)⁻¹x_i                       penalized: G = Σ s_i x_i x_iᵀ
    h_i = s_i + s_i (x_i − m)ᵀ(G + λI)⁻¹(x_i − m)     free: m = Σ s_i x_i, G centred at m

The absolute penalty stays when a row leaves; means over rows are those of `limen.adapt.ridge.ridge_grid`, which holds
all label counts at once but no rows. With fewer rows than features the same from M = (K + λI)⁻¹, K the kernel of
√s_i x_i on the complement of √s where the intercept is free: −(MY)_i/(M_ii √s_i), without cancellation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.adapt.feature_map import BLOCK, Matrix
from limen.adapt.losses import one_hot
from limen.adapt.penalised import WeightedRows
from limen.adapt.probe_rows import Intercept


@dataclass(frozen=True, slots=True)
class RidgeRows:
    """Per penalty and row [L, n]; losses in squared units of the one-hot target."""

    training_loss: Matrix
    leave_one_out_loss: Matrix
    leave_one_out_wrong: NDArray[np.bool_]


def ridge_rows(rows: WeightedRows, penalties: Matrix, intercept: Intercept) -> RidgeRows:
    """Every penalty λ > 0 [L].

    Two rows x = 0 of different labels, λ = 1: the constant alone, weights ¼, residuals ¾ and ¼ become 1 and 1/3:

    >>> two = WeightedRows(np.zeros((2, 1)), np.array([0, 1]), 2, np.full(2, 0.5))
    >>> found = ridge_rows(two, np.array([1.0]), "penalized")
    >>> found.training_loss.round(6).tolist(), found.leave_one_out_loss.round(6).tolist()
    ([[0.625, 0.625]], [[1.111111, 1.111111]])
    >>> ridge_rows(two, np.array([1.0]), "free").leave_one_out_loss.round(6).tolist()
    [[2.0, 2.0]]
    """
    n, p = len(rows), rows.features.shape[1] + 1
    shape = (len(penalties), n)
    found = RidgeRows(np.empty(shape), np.empty(shape), np.empty(shape, dtype=bool))
    alone = np.bincount(rows.labels, rows.shares > 0, rows.classes)[rows.labels] == 1
    for part, index, scores, out in (_gram if n >= p else _kernel)(rows, penalties, intercept == "free"):
        labels = rows.labels[part]
        targets = one_hot(labels, rows.classes)
        found.training_loss[index, part] = ((scores - targets) ** 2).sum(axis=1)
        some = np.flatnonzero(alone[part])
        out[some, labels[some]] = 0.0  # a class without rows scores exactly 0: ties do not hang on rounding
        found.leave_one_out_loss[index, part] = ((out - targets) ** 2).sum(axis=1)
        found.leave_one_out_wrong[index, part] = out.argmax(axis=1) != labels
    return found


Part = tuple[slice, int, Matrix, Matrix]
"""A block of rows, a penalty's index, scores of the fit and of the fit without each row."""


def _blocks(rows: WeightedRows, centre: Matrix | None) -> Iterator[tuple[slice, Matrix]]:
    """Features in float64: centred, or with the constant."""
    for start in range(0, len(rows), BLOCK):
        part = slice(start, min(start + BLOCK, len(rows)))
        x = np.asarray(rows.features[part], dtype=np.float64)
        yield part, (np.column_stack([x, np.ones(len(x))]) if centre is None else x - centre)


def _centre(rows: WeightedRows) -> Matrix:
    total = np.zeros(rows.features.shape[1])
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        total += rows.shares[part] @ np.asarray(rows.features[part], dtype=np.float64)
    return total


def _gram(rows: WeightedRows, penalties: Matrix, free: bool) -> Iterator[Part]:
    centre, mean = (_centre(rows), rows.class_shares) if free else (None, np.zeros(rows.classes))
    p = rows.features.shape[1] + (not free)
    square, cross = np.zeros((p, p)), np.zeros((p, rows.classes))
    for part, x in _blocks(rows, centre):
        root = np.sqrt(rows.shares[part, None])
        scaled = root * x
        square += scaled.T @ scaled
        cross += scaled.T @ (root * (one_hot(rows.labels[part], rows.classes) - mean))
    values, vectors = scipy.linalg.eigh(square)
    values, inner = np.maximum(values, 0.0), vectors.T @ cross
    for part, x in _blocks(rows, centre):
        turned, s, targets = x @ vectors, rows.shares[part], one_hot(rows.labels[part], rows.classes)
        size = (turned**2).sum(axis=1)
        for index, penalty in enumerate(penalties):
            shrink = 1 / (values + penalty)
            scores = turned @ (shrink[:, None] * inner) + mean
            left = 1 - s * (turned**2 @ shrink) - s * free
            # exact arithmetic is never below this: s_i x_iᵀH⁻¹x_i of the fit without the row is at most `most`
            rest = np.maximum(1 - s, 1e-300)
            most = s * (1 / rest + size / (rest**2 * penalty)) if free else s * size / penalty
            yield part, index, scores, targets + (scores - targets) / np.maximum(left, 1 / (1 + most))[:, None]


def _kernel(rows: WeightedRows, penalties: Matrix, free: bool) -> Iterator[Part]:
    centre, mean = (_centre(rows), rows.class_shares) if free else (None, np.zeros(rows.classes))
    x = np.concatenate([block for _, block in _blocks(rows, centre)])
    targets, root = one_hot(rows.labels, rows.classes), np.sqrt(rows.shares)[:, None]
    scaled, aims = root * x, root * (targets - mean)
    base = scipy.linalg.null_space(root.T) if free else np.eye(len(rows))
    values, vectors = scipy.linalg.eigh(base.T @ (scaled @ scaled.T) @ base)
    values, vectors = np.maximum(values, 0.0), base @ vectors
    inner = vectors.T @ aims
    counted = rows.shares > 0
    for index, penalty in enumerate(penalties):
        shrink = penalty / (values + penalty)
        residual = vectors @ (shrink[:, None] * inner)  # √s_i times what the fit leaves of the targets
        scores = x @ (scaled.T @ residual) / penalty + mean
        out = scores.copy()
        left = (vectors[counted] ** 2) @ shrink
        out[counted] = targets[counted] - residual[counted] / (left[:, None] * root[counted])
        yield slice(0, len(rows)), index, scores, out
