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

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.linalg

from limen.adapt.feature_map import Matrix
from limen.measure.logme import logme
from limen.records.estimate import Estimate
from limen.records.task import Floats, Integers

# shapes: n rows, d features, r rank, K target classes with rows, Z source classes


@dataclass(frozen=True, slots=True)
class Score:
    """One score of one encoder on one task; higher is better."""

    name: str
    value: float
    low: float
    high: float
    """Least and greatest value that any features could get on these labels."""
    unit: str
    reference: str
    caution: str = ""
    """Why this value says little, where it does."""


@dataclass(frozen=True, slots=True)
class Transferability:
    """Scores and the loss they are meant to predict: a score is a guess of an order, `measured_loss` is the answer."""

    scores: tuple[Score, ...]
    measured_loss: Estimate | None = None
    """Loss of the adapted encoder on held-out rows of the same task; None until it is measured."""

    def beside(self, measured_loss: Estimate) -> Transferability:
        """The same scores beside a measured loss."""
        return replace(self, measured_loss=measured_loss)

    def text(self) -> str:
        """One line per score, the measured loss last.

        >>> print(Transferability((Score("NCE", -0.5, -0.7, 0.0, "nats per row", ""),)).text())
        NCE: -0.500 nats per row
        measured loss: not measured; scores do not replace it
        """
        lines = [
            f"{s.name}: {s.value:.3f} {s.unit}".rstrip() + (f" ({s.caution})" * bool(s.caution)) for s in self.scores
        ]
        loss = self.measured_loss
        return "\n".join(
            [*lines, f"measured loss: {loss.text() if loss else 'not measured; scores do not replace it'}"]
        )


def transferability(features: Floats, labels: Integers, source_probabilities: Floats | None = None) -> Transferability:
    """All scores of features [n, d] and labels [n]; LEEP and NCE if the source model's probabilities [n, Z] are given.

    >>> x, y = np.array([[1.0], [3.0], [-1.0], [-3.0]]), np.array([0, 0, 1, 1])  # between 4, within 1
    >>> [(s.name, round(s.value, 3)) for s in transferability(x, y, np.eye(2)[y]).scores[1:]]
    [('H-score', 0.8), ('H-score, shrunk', 0.8), ('LEEP', 0.0), ('NCE', 0.0)]

    Raises ValueError for features that are not finite, labels of another length, rows of probabilities that do not
    sum to 1.
    """
    rows, d = features.shape
    counts = np.unique(labels, return_counts=True)[1]
    most, entropy = float(len(counts) - 1), float(-(counts / rows) @ np.log(counts / rows))
    crowded = f"{rows} rows in {d} features: " if rows <= d else ""
    noiseless = crowded and crowded + "the noise may be estimated as 0"
    trivial = crowded and crowded + "K − 1 whatever the labels"
    evidence = logme(features, labels)
    scores = [
        Score("LogME", evidence, -math.inf, math.inf, "nats per row", "You et al., ICML 2021", noiseless),
        Score("H-score", h_score(features, labels), 0.0, most, "", "Bao et al., ICIP 2019", trivial),
        Score("H-score, shrunk", h_score(features, labels, "ledoit-wolf"), 0.0, most, "", "Ibrahim et al., 2021"),
    ]
    if source_probabilities is not None:
        hard = np.argmax(source_probabilities, axis=1)
        soft = leep(source_probabilities, labels)
        scores += [
            Score("LEEP", soft, -entropy, 0.0, "nats per row", "Nguyen et al., ICML 2020"),
            Score("NCE", nce(hard, labels), -entropy, 0.0, "nats per row", "Tran et al., ICCV 2019"),
        ]
    return Transferability(tuple(scores))


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
    variances = singular[kept] ** 2 / len(f)
    alpha = _ledoit_wolf(centred, variances) if shrinkage == "ledoit-wolf" else shrinkage
    if not 0 <= alpha <= 1:
        raise ValueError(f"shrinkage: expected a number in [0, 1], got {alpha}")
    aligned = ((left[:, kept].T @ ((labels[:, None] == classes) / np.sqrt(counts))) ** 2).sum(axis=1)
    between = (1 - alpha) * variances
    return float(aligned @ (between / (between + alpha * variances.sum() / f.shape[1])))


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


def _ledoit_wolf(centred: Matrix, variances: Matrix) -> float:
    """Shrinkage α of Ledoit and Wolf: expected squared error of Σ over its squared distance to (tr Σ/d)I, at most 1."""
    n, d = centred.shape
    size = float((variances**2).sum())
    distance = size - float(variances.sum()) ** 2 / d
    error = (float(((centred**2).sum(axis=1) ** 2).mean()) - size) / n
    return min(error / distance, 1.0) if distance > 1e-12 * size else 0.0  # Σ is its own target
