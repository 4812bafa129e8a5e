"""Scores that rank encoders without fitting an adapter, to be set beside a measured loss; higher is better for all.

score     value                                                                     range               unit
LogME     mean over classes of the greatest log evidence of linear regression       ℝ                   nats per row
H-score   tr(Σ⁺ Σ_B), Σ covariance, Σ_B covariance of the class means               [0, K − 1]          none
 shrunk   (1 − α) tr(Σ_α⁻¹ Σ_B), Σ_α = (1 − α)Σ + α(tr Σ/d)I                        [0, H-score]        none
LEEP      (1/n) Σ ln Σ_z P̂(y_i|z) θ_z(x_i), P̂(y, z) = (1/n) Σ_{i: y_i = y} θ_z(x_i)  [−Ĥ(Y|Z), 0]        nats per row
NCE       −H(Y|Z) of the label counts, Z hard labels of the source model            [−H(Y), 0]          nats per row

θ(x): class probabilities of the source model; Ĥ(Y|Z) ≤ H(Y) is taken under P̂. LEEP ≥ −Ĥ(Y|Z) by Jensen, and LEEP = NCE
when every θ(x) is one-hot. Otherwise neither bounds the other; LEEP ≥ NCE + (1/n) Σ ln max_z θ_z(x_i) needs P̂(y|z) of
the soft counts inside NCE: with the hard counts θ = (½ ± ε) on two rows of two labels breaks it.
LogME: You et al., ICML 2021. H-score: Bao et al., ICIP 2019; shrunk: Ibrahim, Ponomareva, Mazumder (arXiv 2110.06893),
α of Ledoit, Wolf, J. Multivar. Anal. 88 (2004). LEEP: Nguyen et al., ICML 2020. NCE: Tran et al., ICCV 2019.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.linalg

from limen.adapt.feature_map import Matrix
from limen.records.task import Floats, Integers

# shapes: n rows, d features, r rank, K target classes with rows, Z source classes


def h_score(features: Floats, labels: Integers, shrinkage: float | Literal["ledoit-wolf"] = 0.0) -> float:
    """H-score of features [n, d]: Σ_k ρ_k², the squared canonical correlations of features and labels, if not shrunk.

    `shrinkage` α in [0, 1], or chosen as Ledoit and Wolf do. Unshrunk it is invariant to invertible affine maps;
    shrunk to rotations, shifts and one scale.

    >>> round(h_score(np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([0, 0, 1, 1])), 12)
    1.0
    >>> round(h_score(np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.array([0, 0, 1, 1])), 12)
    0.0

    Raises ValueError for features that are not finite, labels of another length, α outside [0, 1].
    """
    f = np.asarray(features, dtype=np.float64)
    if f.ndim != 2 or labels.shape != (len(f),) or not np.isfinite(f).all():
        raise ValueError(f"expected finite features [n, d] and n labels, got {f.shape} and {labels.shape}")
    classes, counts = np.unique(labels, return_counts=True)
    centred = f - f.mean(axis=0)
    left, singular, _ = scipy.linalg.svd(centred, full_matrices=False)
    kept = singular > max(f.shape) * float(np.finfo(np.float64).eps) * max(float(np.abs(f).max()), 1e-300)
    if not kept.any():
        return 0.0  # constant features
    aligned = ((left[:, kept].T @ ((labels[:, None] == classes) / np.sqrt(counts))) ** 2).sum(axis=1)
    fourth = float(((centred**2).sum(axis=1) ** 2).mean())
    return h_score_of_moments(singular[kept] ** 2 / len(f), aligned, (len(f), f.shape[1], fourth), shrinkage)


def h_score_of_moments(
    variances: Matrix,
    aligned: Matrix,
    size: tuple[int, int, float],
    shrinkage: float | Literal["ledoit-wolf"] = 0.0,
) -> float:
    """H-score from eigenvalues t [r] of Σ and aligned_k = u_kᵀΣ_B u_k/t_k [r]; `size` = (n, d, mean ‖x − x̄‖⁴).

    >>> h_score_of_moments(np.array([1.0]), np.array([1.0]), (4, 1, 1.0), 0.25)
    0.75

    Raises ValueError for α outside [0, 1].
    """
    alpha = ledoit_wolf(variances, size) if shrinkage == "ledoit-wolf" else shrinkage
    if not 0 <= alpha <= 1:
        raise ValueError(f"shrinkage: expected a number in [0, 1], got {alpha}")
    between = (1 - alpha) * variances
    return float(aligned @ (between / (between + alpha * variances.sum() / size[1])))


def leep(source_probabilities: Floats, labels: Integers) -> float:
    """LEEP of the source model's class probabilities [n, Z] on the target labels [n].

    A source that always says ½, ½ leaves the frequencies of the labels: −ln 2 for two equal classes.

    >>> bool(np.isclose(leep(np.full((2, 2), 0.5), np.array([0, 1])), -np.log(2)))
    True

    Raises ValueError for rows that are not probabilities, labels of another length.
    """
    theta = np.asarray(source_probabilities, dtype=np.float64)
    if theta.ndim != 2 or labels.shape != (len(theta),):
        raise ValueError(f"expected probabilities [n, Z] and n labels, got {theta.shape} and {labels.shape}")
    if not (theta >= 0).all() or not np.allclose(theta.sum(axis=1), 1.0, rtol=0, atol=1e-4):
        raise ValueError("expected rows of probabilities: at least 0, summing to 1; pass a softmax, not scores")
    classes, index = np.unique(labels, return_inverse=True)
    joint = (labels[:, None] == classes).T.astype(np.float64) @ theta  # [K, Z]
    total = joint.sum(axis=0)
    conditional = joint / np.where(total > 0, total, 1.0)
    return float(np.log((conditional[index] * theta).sum(axis=1)).mean())


def nce(source_labels: Integers, labels: Integers) -> float:
    """NCE of the source model's hard labels [n] and the target labels [n]: minus their conditional entropy.

    >>> bool(np.isclose(nce(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])), -np.log(2) / 2))
    True

    Raises ValueError when there is not one source label per target label.
    """
    if source_labels.shape != labels.shape or labels.ndim != 1:
        raise ValueError(f"expected one source label per label, got {source_labels.shape} and {labels.shape}")
    z, y = (np.unique(values, return_inverse=True)[1] for values in (source_labels, labels))
    joint = np.zeros((int(y.max()) + 1, int(z.max()) + 1))
    np.add.at(joint, (y, z), 1.0)
    return float(np.log(joint[y, z] / joint.sum(axis=0)[z]).mean())


def ledoit_wolf(variances: Matrix, size: tuple[int, int, float]) -> float:
    """Shrinkage α of Ledoit and Wolf: expected squared error of Σ over its squared distance to (tr Σ/d)I, at most 1.

    At 1 nothing of Σ is left and the shrunk H-score is 0 whatever the labels. Arguments as in `h_score_of_moments`.

    >>> ledoit_wolf(np.array([2.0, 0.0]), (4, 2, 8.0))
    0.5
    """
    n, d, fourth = size
    spread = float((variances**2).sum())
    distance = spread - float(variances.sum()) ** 2 / d
    error = (fourth - spread) / n
    return min(error / distance, 1.0) if distance > 1e-12 * spread else 0.0  # Σ is its own target
