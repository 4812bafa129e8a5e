"""How much of what a task's labels need lies outside the strongest directions of pretraining.

On a finite population with w_{xx'} = P(x, x⁺ = x'), w_x its margin, Ā = w_{xx'}/√(w_x w_x'), 1 = α_1 ≥ α_2 ≥ … its
eigenvalues, λ_k = 1 − α_k, P_k the projection on its k first eigenvectors and Y the one-hot labels less their mean:

    outside(k) = ‖(I − P_k) √w Y‖²/‖√w Y‖² ≤ (φ/λ_{k+1})/‖√w Y‖²,      φ = Σ w_{xx'} 1[y(x) ≠ y(x')].

Exact, by an eigendecomposition. The first eigenvector is the constant. For features the k directions are those of the
largest variance over *pretraining* inputs, and outside(k) is the residual share of the best linear fit, with intercept,
of the task's one-hot labels on them. Its estimate is a ratio of midpoints: with residuals r_i of the fit and leverages
h_i, mean of ½‖r_i‖²(1 + (1 − h_i)⁻²) over the same of the fit by a constant; training and leave-one-out err by about
±k/n, which the midpoint takes out. Interval: t of the ratio's linearisation.

Source: theory §4.1, Q5; HaoChen, Wei, Gaidon, Ma 2021 (arXiv:2106.04156). The bound is proved there and tested here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.measure.risk import loss_estimate
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.shift import StructuralShift

Matrix = NDArray[np.float64]
Labels = NDArray[np.integer]

TIED = 1e-9
REFERENCE = "HaoChen, Wei, Gaidon, Ma 2021"


def graph_shift(similar: Matrix, labels: Labels, top: Sequence[int]) -> StructuralShift:
    """Exact, from the joint law w [V, V] of positive pairs and a label for every input [V].

    Two blocks of two inputs, labels by block and labels across them:

    >>> w = np.kron(np.eye(2), np.ones((2, 2))) / 8
    >>> [round(graph_shift(w, np.array(y), [2]).outside[0].value, 9) for y in ([0, 0, 1, 1], [0, 1, 0, 1])]
    [0.0, 1.0]

    Raises BadInput for w that is not a symmetric law, labels of another length or of one class, k outside 1 … V.
    """
    w, encoded = _law(similar, labels, top)
    margin = w.sum(axis=1)
    values, vectors = scipy.linalg.eigh(w / np.sqrt(np.outer(margin, margin)))
    values, vectors = values[::-1], vectors[:, ::-1]
    signal = np.sqrt(margin)[:, None] * (encoded - margin @ encoded)
    variance = float((signal**2).sum())
    along = ((vectors.T @ signal) ** 2).sum(axis=1)
    disagreement = float(w[encoded.argmax(axis=1)[:, None] != encoded.argmax(axis=1)[None, :]].sum())
    shares, bounds = [], []
    for k in top:
        following = float(values[k]) if k < len(values) else -np.inf
        tied = values[k - 1] - following < TIED
        said = ("eigenvalues k and k + 1 are equal: other eigenvectors would give another share",) if tied else ()
        share = max(float(along[k:].sum()), 0.0) / variance
        shares.append(
            Estimate(share, grade="exact", method="eigendecomposition", assumptions=said, reference=REFERENCE)
        )
        gap = 1 - following
        bounds.append(None if gap < TIED else disagreement / gap / variance if np.isfinite(gap) else 0.0)
    return StructuralShift(tuple(top), tuple(shares), tuple(bounds), disagreement)


def feature_structure(
    pretraining: Matrix, task: tuple[Matrix, Labels], top: Sequence[int], confidence: float = 0.95
) -> StructuralShift:
    """The same read off features: pretraining inputs' [N, d], the task's rows (features [n, d], labels [n]).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 3)) * [4.0, 2.0, 1.0]
    >>> found = feature_structure(x, (x, (x[:, 2] > 0).astype(int)), [1, 3])
    >>> abs(found.outside[0].value - 1) < 0.02, abs(found.outside[1].value - (1 - 2 / np.pi)) < 0.05
    (True, True)

    k is not identified from n ≤ k + 1 rows. Raises BadInput for features of different width, one class, k above d.
    """
    features, labels = np.asarray(task[0], np.float64), np.asarray(task[1])
    base = np.asarray(pretraining, np.float64)
    _check_features(base, features, labels, top)
    classes, coded = np.unique(labels, return_inverse=True)
    encoded = np.eye(len(classes))[coded]
    directions = scipy.linalg.svd(base - base.mean(axis=0), full_matrices=False)[2]
    whole = _midpoints(np.ones((len(features), 1)), encoded)
    coordinates = (features - base.mean(axis=0)) @ directions.T
    found = [_share(coordinates[:, :k], encoded, whole, confidence) for k in top]
    return StructuralShift(tuple(top), tuple(found))


def _share(coordinates: Matrix, encoded: Matrix, whole: Matrix, confidence: float) -> Estimate:
    n, k = coordinates.shape
    common: dict[str, Any] = {"method": "midpoint of training and leave-one-out residuals", "reference": REFERENCE}
    if n <= k + 1:
        return not_identified(f"{n} rows for {k} directions: more than {k + 1} rows would do", n=n, **common)
    left = _midpoints(np.hstack([np.ones((n, 1)), coordinates]), encoded)
    if not np.isfinite(left).all():
        return not_identified("a row alone decides a direction: more rows would do", n=n, **common)
    ratio = float(left.mean() / whole.mean())
    rows = ratio + (left - ratio * whole) / whole.mean()
    found = loss_estimate(rows, None, confidence)
    return found.but(assumptions=(*found.assumptions, "the pretraining directions are given"), **common)


def _midpoints(design: Matrix, encoded: Matrix) -> Matrix:
    """½‖r_i‖²(1 + (1 − h_i)⁻²) of every row."""
    basis, triangle = scipy.linalg.qr(design, mode="economic", pivoting=True)[:2]
    diagonal = np.abs(np.diag(triangle))
    basis = basis[:, diagonal > max(design.shape) * np.finfo(np.float64).eps * diagonal[0]]
    residual = ((encoded - basis @ (basis.T @ encoded)) ** 2).sum(axis=1)
    free = 1 - (basis**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows: Matrix = np.where(free > 1e-9, residual * (1 + 1 / free**2) / 2, np.inf)
    return rows


def _law(similar: Matrix, labels: Labels, top: Sequence[int]) -> tuple[Matrix, Matrix]:
    w, y = np.asarray(similar, np.float64), np.asarray(labels)
    problems = []
    if w.ndim != 2 or w.shape[0] != w.shape[1] or not np.allclose(w, w.T) or (w < 0).any():
        problems.append(Problem("similar", f"expected a symmetric law of pairs, got shape {w.shape}"))
    elif abs(w.sum() - 1) > 1e-9 or (w.sum(axis=1) <= 0).any():
        problems.append(Problem("similar", f"expected probabilities that add up to 1, got a sum of {w.sum():.6g}"))
    if y.shape != w.shape[:1] or len(np.unique(y)) < 2:
        problems.append(Problem("labels", f"expected a label for each of {len(w)} inputs, of 2 classes or more"))
    problems += _bad_top(top, len(w))
    if problems:
        raise BadInput(problems)
    return w, np.eye(len(np.unique(y)))[np.unique(y, return_inverse=True)[1]]


def _check_features(base: Matrix, features: Matrix, labels: Labels, top: Sequence[int]) -> None:
    problems = []
    if base.ndim != 2 or features.ndim != 2 or base.shape[1] != features.shape[1] or len(base) < 2:
        what = f"expected features of one encoder, got shapes {base.shape} and {features.shape}"
        raise BadInput(Problem("pretraining", what))
    if not (np.isfinite(base).all() and np.isfinite(features).all()):
        problems.append(Problem("task", "expected finite features, got NaN or infinite"))
    if labels.shape != (len(features),) or len(np.unique(labels)) < 2:
        problems.append(Problem("labels", f"expected a label for each of {len(features)} rows, of 2 classes or more"))
    problems += _bad_top(top, min(base.shape))
    if problems:
        raise BadInput(problems)


def _bad_top(top: Sequence[int], most: int) -> list[Problem]:
    wrong = [k for k in top if not 1 <= k <= most]
    return [Problem("top", f"expected numbers of directions from 1 to {most}, got {k}") for k in wrong]
