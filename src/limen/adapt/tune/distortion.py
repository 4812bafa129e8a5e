"""How far tuning moved the features, and how well the head it started from points: why LP-FT may win out of domain.

    distortion   D(P) = E_{x∼P} ‖f(x) − f₀(x)‖,   relative: √(E‖f − f₀‖² / E‖f₀ − E f₀‖²)
    alignment    φ² = |(v₀ᵀv*)² − (v*ᵀv*)²|, cos = v₀ᵀv*/(‖v₀‖‖v*‖)          (matrices: Frobenius inner product)

v* is the head that the task needs on the frozen features; φ = 0 where the first head has its component of v* right.
In the two-layer linear model ŷ = vᵀBx under gradient flow from (v₀, B₀), squared loss, Kumar et al. 2022
(arXiv:2202.10054) show that B moves on the span S of the training inputs only: D = 0 on inputs orthogonal to S, while
the head turns to the distorted features. `one_direction` gives the distortion on S itself where S is one direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from limen.adapt.feature_map import Matrix
from limen.arrays.means import Mean, mean_of
from limen.records.errors import BadInput, Problem
from limen.records.task import Floats, Integers


@dataclass(frozen=True, slots=True)
class Distortion:
    """Of one population: mean distance with its standard error over rows (or groups), and relative to the spread."""

    distance: Mean
    relative: float
    """NaN where all frozen features are the same."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Of the first head with the head that the task needs."""

    gap: float
    """φ."""
    cosine: float
    """NaN for a head of norm 0."""


def feature_distortion(frozen: Floats, tuned: Floats, groups: Integers | None = None) -> Distortion:
    """Of rows [n, d] before and after tuning; n ≥ 2. Raises BadInput for shapes that differ.

    >>> moved = feature_distortion(np.array([[0.0], [2.0]]), np.array([[0.0], [4.0]]))
    >>> moved.distance.value, round(moved.relative**2, 9)
    (1.0, 2.0)
    """
    if frozen.shape != tuned.shape or frozen.ndim != 2 or len(frozen) < 2:
        what = f"expected two matrices of one shape with 2 rows or more, got {frozen.shape} and {tuned.shape}"
        raise BadInput(Problem("features", what))
    before, after = np.asarray(frozen, dtype=np.float64), np.asarray(tuned, dtype=np.float64)
    squared = ((after - before) ** 2).sum(axis=1)
    spread = float(((before - before.mean(axis=0)) ** 2).sum(axis=1).mean())
    relative = math.sqrt(float(squared.mean()) / spread) if spread > 0 else math.nan
    return Distortion(mean_of(np.sqrt(squared), groups), relative)


def head_alignment(first: Matrix, needed: Matrix) -> Alignment:
    """φ and cosine of two heads of one shape, vectors [d] or matrices [K, d].

    >>> head_alignment(np.array([0.0, 3.0]), np.array([0.0, 2.0]))
    Alignment(gap=4.47213595499958, cosine=1.0)
    >>> head_alignment(np.array([5.0, 2.0]), np.array([0.0, 2.0])).gap
    0.0
    """
    if first.shape != needed.shape:
        raise BadInput(Problem("heads", f"expected heads of one shape, got {first.shape} and {needed.shape}"))
    own, cross = float((needed**2).sum()), float((first * needed).sum())
    size = float(np.linalg.norm(first)) * math.sqrt(own)
    return Alignment(math.sqrt(abs(cross**2 - own**2)), cross / size if size > 0 else math.nan)


def one_direction(length: float, slope: float) -> float:
    """‖B_∞ e − B₀ e‖ of ŷ = vᵀBx fine-tuned from v₀ = 0 to y = slope·⟨e, x⟩ on inputs along the unit vector e.

    Gradient flow keeps vvᵀ − BBᵀ (Arora, Cohen, Hazan 2018: balancedness), and v stays along B₀e. With c = ‖B₀e‖,
    α = ‖v‖, β = ‖Be‖: α² − β² = −c² and αβ = |slope| at the end, so β² = (c² + √(c⁴ + 4·slope²))/2 and the distance is
    β − c.

    >>> round(one_direction(1.0, 12**0.5), 9)  # β² = (1 + √49)/2 = 4
    1.0
    """
    if not length > 0:
        raise BadInput(Problem("length", f"expected ‖B₀e‖ > 0, got {length}", "from v₀ = 0 and B₀e = 0 nothing moves"))
    return math.sqrt((length**2 + math.sqrt(length**4 + 4 * slope**2)) / 2) - length
