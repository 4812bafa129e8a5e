"""The law of a learning curve, its least-squares fit, its predictions and the label count that reaches a target.

    train(n) = E − A n^−a + C n^−2a,     test(n) = E + A n^−a + C n^−2a,     E ≥ 0, A ≥ 0, one E and one a for both.

For a regular parametric model a = 1 and the two sides move symmetrically to first order: E train = L* − c/n + O(1/n²),
E test = L* + c/n + O(1/n²), so E is the floor. Without a train side: test(n) = E + A n^−a, the weakest estimator of a
floor in simulation (biases to −0.86 where the two-sided law is within 0.13). Source: docs/how-sure.md, learning curve.

Fit by variable projection: at a fixed exponent the law is linear in (E, A, C), a non-negative least-squares problem
with one solution. So the exponent is searched over a dense grid and polished within its cell: no starting points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar, nnls

from limen.arrays.checks import Floats, vector

EXPONENTS = (0.05, 2.0)
"""Prior range of the exponent: slower is flat at any n one can label, faster than n^−2 has no known mechanism."""
GRID = np.geomspace(*EXPONENTS, 241)
LEAST_SIZES = 4
"""Distinct label counts below which the law is not fitted: it has four parameters."""
MOST_LABELS = 10**12


@dataclass(frozen=True, slots=True)
class NotIdentified:
    """What these points cannot tell, as a value: the reason, in words a person can act on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Law:
    """Fitted parameters; `curvature` is 0 and `two_sided` false for the law without a train side."""

    asymptote: float
    amplitude: float
    curvature: float
    exponent: float
    two_sided: bool
    residual: float
    """Root mean square of the weighted residuals, in units of the loss."""


def fit_law(
    n: ArrayLike, train: ArrayLike | None, test: ArrayLike, weights: ArrayLike | None = None
) -> Law | NotIdentified:
    """Least-squares fit of the law to points in any order.

    `n`, `train`, `test`, `weights` [k]: label counts > 0, mean losses, weights > 0 of the squared residuals at each n
    (equal by default). `train` None fits the test-only law. Raises ValueError for arrays of different length.

    >>> n = np.array([100, 200, 400, 800])
    >>> law = fit_law(n, 0.5 - 20 / n, 0.5 + 20 / n)
    >>> round(law.asymptote, 6), round(law.amplitude, 4), round(law.exponent, 6)
    (0.5, 20.0, 1.0)
    >>> fit_law(n[:3], None, [0.9, 0.8, 0.7]).reason
    'the law needs 4 or more distinct label counts, got 3'
    """
    sizes, sides, roots = _points(n, train, test, weights)
    distinct = np.unique(sizes).size
    if distinct < LEAST_SIZES:
        return NotIdentified(f"the law needs {LEAST_SIZES} or more distinct label counts, got {distinct}")
    smallest = float(sizes.min())
    ratio = np.log(sizes / smallest)
    target = np.concatenate([side * roots for side in sides])
    two_sided = len(sides) == 2

    def rss(exponent: float) -> float:
        return float(nnls(_design(exponent, ratio, roots, two_sided), target)[1]) ** 2

    on_grid = _free_rss(ratio, roots, two_sided, target)
    for i in np.flatnonzero(np.isnan(on_grid)):
        on_grid[i] = rss(float(GRID[i]))
    best = int(np.argmin(on_grid))
    if best in (0, GRID.size - 1):
        edge, advice = (
            ("smallest", "add larger label counts") if best == 0 else ("largest", "leave out the smallest label counts")
        )
        prior = f"{EXPONENTS[0]} to {EXPONENTS[1]}"
        return NotIdentified(f"{advice}, for the best exponent is the {edge} of its prior range {prior}")
    polished = minimize_scalar(rss, bounds=(GRID[best - 1], GRID[best + 1]), method="bounded", options={"xatol": 1e-13})
    exponent = float(polished.x) if polished.fun < on_grid[best] else float(GRID[best])
    coefficients, norm = nnls(_design(exponent, ratio, roots, two_sided), target)
    if coefficients[1] == 0.0:
        return NotIdentified("the curve does not fall with the label count: amplitude 0, any exponent fits")
    curvature = float(coefficients[2] - coefficients[3]) if two_sided else 0.0
    return Law(
        asymptote=float(coefficients[0]),
        amplitude=float(coefficients[1]) * smallest**exponent,
        curvature=curvature * smallest ** (2 * exponent),
        exponent=exponent,
        two_sided=two_sided,
        residual=float(norm) / math.sqrt(float(np.sum(roots**2)) * len(sides)),
    )


def predict(law: Law, n: ArrayLike) -> Floats:
    """Held-out loss of the law at label counts `n` of any shape.

    >>> predict(Law(0.5, 20.0, 0.0, 1.0, True, 0.0), [100, 200]).tolist()
    [0.7, 0.6]
    """
    x = np.asarray(n, dtype=np.float64) ** -law.exponent
    return np.asarray(law.asymptote + law.amplitude * x + law.curvature * x**2)


def labels_needed(law: Law, target: float) -> int | NotIdentified:
    """Smallest label count at which the law's held-out loss is at most `target`.

    Solved on the branch that falls to the asymptote (with C < 0 the law turns over at small n, where it is no law).

    >>> labels_needed(Law(0.5, 20.0, 0.0, 1.0, True, 0.0), 0.6)
    200
    >>> labels_needed(Law(0.5, 20.0, 0.0, 1.0, True, 0.0), 0.5).reason
    'no number of labels reaches the target by the fitted law: it lies below the asymptote, 0.5 against 0.5'
    """
    above = target - law.asymptote
    if not above > 0:
        return NotIdentified(
            f"no number of labels reaches the target by the fitted law: it lies below the asymptote, {target:.4g} "
            f"against {law.asymptote:.4g}"
        )
    turn = math.inf if law.curvature >= 0 else law.amplitude / (-2 * law.curvature)
    under_root = law.amplitude**2 + 4 * law.curvature * above
    x = turn if under_root < 0 else min(turn, 2 * above / (law.amplitude + math.sqrt(under_root)))
    log_labels = -math.log(x) / law.exponent
    if log_labels > math.log(MOST_LABELS):
        return NotIdentified(f"the law reaches the target only past {MOST_LABELS:.0e} labels")
    # Within one part in 10^12 of a whole number, rounding decides, not the law.
    labels = math.exp(log_labels)
    return max(1, math.ceil(labels * (1 - 1e-12)))


def _points(
    n: ArrayLike, train: ArrayLike | None, test: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, list[Floats], Floats]:
    sizes = vector("n", n)
    sides = [vector("test", test)] if train is None else [vector("train", train), vector("test", test)]
    w = np.ones_like(sizes) if weights is None else vector("weights", weights)
    lengths = [sizes.size, *(side.size for side in sides), w.size]
    if len(set(lengths)) > 1:
        raise ValueError(f"n, train, test, weights: expected one length, got {lengths}")
    if sizes.min() <= 0 or w.min() <= 0:
        raise ValueError(f"n, weights: expected numbers above 0, got {sizes.min()} and {w.min()}")
    order = np.argsort(sizes, kind="stable")
    return sizes[order], [side[order] for side in sides], np.sqrt(w[order])


def _free_rss(ratio: Floats, roots: Floats, two_sided: bool, target: Floats) -> Floats:
    """Residual sum of squares on the whole grid [G] where the signs hold unforced, NaN where they must be forced."""
    designs = _design(GRID, ratio, roots, two_sided)[..., :3]
    q, r = np.linalg.qr(designs)
    projected = np.einsum("gij,i->gj", q, target)
    coefficients = np.linalg.solve(r, projected[..., None])[..., 0]
    residuals = target - np.einsum("gij,gj->gi", q, projected)
    feasible = (coefficients[:, 0] >= 0) & (coefficients[:, 1] >= 0)
    return np.asarray(np.where(feasible, np.sum(residuals**2, axis=1), np.nan))


def _design(exponent: float | Floats, ratio: Floats, roots: Floats, two_sided: bool) -> Floats:
    """Columns of the law at one exponent [points, columns], or at a grid of them [G, points, columns]."""
    # Label counts enter as n/min n, so that columns stay near 1; C is free, hence a column of each sign.
    x = np.exp(-np.multiply.outer(exponent, ratio)) * roots
    one = np.broadcast_to(roots, x.shape)
    if not two_sided:
        return np.stack([one, x], axis=-1)
    square = x**2 / roots
    sides = [np.stack([one, sign * x, square, -square], axis=-1) for sign in (-1, 1)]
    return np.concatenate(sides, axis=-2)
