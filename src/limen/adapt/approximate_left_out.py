"""Scores of a logistic probe at each row if that row had been left out, from one fit: approximate leave-one-out.

Leaving row i out keeps every other term of F as it is, s_j and the absolute λ (as `limen.adapt.ridge` does): the
minimiser of F − s_i ℓ_i. One Newton step towards it from the minimiser of F, where ∇(F − s_iℓ_i) = −s_i(p_i − e_y)u_iᵀ:

    z̃_i = z_i + (I − A_i D_i)⁻¹ A_i (p_i − e_y),      A_i = s_i (u_i ⊗ I)ᵀ N (u_i ⊗ I),   D_i = diag p_i − p_i p_iᵀ,
    N = (Σ_j s_j D_j ⊗ u_j u_jᵀ + λI)⁻¹        (λ = 0 on a free intercept)

by Woodbury; exact for a quadratic loss (Rad & Maleki, JRSS B 82, 2020). D_i 1 = 0, so classes that sum to 0 are enough.

On the sphere ‖W‖ = B of a binding ball, λ is its multiplier and the step stays tangent: with w = W and H = N⁻¹,
N becomes H⁻¹ − H⁻¹wwᵀH⁻¹/(wᵀH⁻¹w) (`sphere`).

Two curvatures. "full Hessian", (K − 1)·r unknowns, up to `MOST_UNKNOWNS`. Beyond, "class blocks": the coupling −p_c p_d
is left out of N and of D alike, and each class has a number a_ic = s_i u_iᵀ(Σ_j s_j p_jc(1 − p_jc) u_j u_jᵀ + λI)⁻¹u_i:

    z̃_ic = z_ic + a_ic (p_ic − [c = y])/(1 − a_ic p_ic(1 − p_ic)),       0 ≤ a_ic p_ic(1 − p_ic) < 1.

The same blocks with the full D_i are not positive definite together and fail (docs/decisions/2026-11-25-leave-one-out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from limen.adapt.feature_map import Matrix
from limen.adapt.losses import residuals
from limen.adapt.probe_rows import ProbeRows
from limen.records.task import Integers

Curvature = Literal["full Hessian", "class blocks"]

MOST_UNKNOWNS = 3500
"""(K − 1)·r up to which the Hessian is built: 100 MB."""
BLOCK_NUMBERS = 4_000_000
"""Numbers of the K × K matrices of a block of rows."""
NEGLIGIBLE = 0.01
"""A class whose score would move by less than this, as a bound, stays where it is: z̃ is exact but for p_ic·0.01."""
SINGLE_PRECISION_CONDITION = 1e4
"""Condition of the blocks up to which float32 gives a_ic to 1e-3 or better."""


def curvature_of(rows: ProbeRows) -> Curvature:
    """Which of the two the size asks for."""
    unknowns = (rows.classes - 1) * rows.coordinates.shape[1]
    return "full Hessian" if unknowns <= MOST_UNKNOWNS else "class blocks"


def approximate_left_out(rows: ProbeRows, weights: Matrix, penalty: float, sphere: bool = False) -> Matrix:
    """z̃ [n, K] at a minimiser `weights` [K, r] of F; `sphere`: of the ball ‖W‖ ≤ ‖weights‖ with multiplier `penalty`.

    A constant alone, two labels, λ = ½: D = ½ and N = 1 on the contrast (1, −1)/√2, A = ½, z̃ = (2/3)(p − e_y):

    >>> from limen.adapt.probe_rows import WeightedRows, probe_rows
    >>> two = probe_rows(WeightedRows(np.zeros((2, 1)), np.array([0, 1]), 2, np.full(2, 0.5)), "penalized")
    >>> approximate_left_out(two, np.zeros((2, 2)), 0.5).round(6).tolist()
    [[-0.333333, 0.333333], [0.333333, -0.333333]]

    Raises LinAlgError where the penalty is below rounding.
    """
    if curvature_of(rows) == "full Hessian":
        return _full(rows, weights, penalty, sphere)
    return _blocks_on_sphere(rows, weights, penalty) if sphere else _blocks(rows, weights, penalty)


def _full(rows: ProbeRows, weights: Matrix, penalty: float, sphere: bool) -> Matrix:
    u, k = rows.coordinates, rows.classes - 1
    scores = u @ weights.T
    turn = _contrasts(rows.classes)
    pull = residuals(scores.copy(), rows.labels, "log")
    p = pull.copy()
    p[np.arange(len(p)), rows.labels] += 1
    inverse = _inverse_hessian(rows, p, penalty, turn)
    r = u.shape[1]
    if sphere:
        along = inverse @ (turn.T @ weights).ravel()
        inverse -= np.outer(along, along) / ((turn.T @ weights).ravel() @ along)
    table = inverse.reshape(k, r, k, r)
    leverage = np.empty((len(rows), k, k))
    for a in range(k):
        for b in range(a, k):
            leverage[:, a, b] = leverage[:, b, a] = rows.shares * ((u @ table[a, :, b]) * u).sum(axis=1)
    size = max(1, BLOCK_NUMBERS // rows.classes**2)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        spread = _spread(p[part], turn)
        moved = leverage[part] @ (pull[part] @ turn)[:, :, None]
        scores[part] += np.linalg.solve(np.eye(k) - leverage[part] @ spread, moved)[:, :, 0] @ turn.T
    return scores


def _contrasts(classes: int) -> Matrix:
    """Orthonormal basis [K, K − 1] of Σ_c = 0."""
    basis: Matrix = np.linalg.qr(np.eye(classes)[:, 1:] - 1 / classes)[0]
    return basis


def _spread(p: Matrix, turn: Matrix) -> Matrix:
    """D_i in the contrasts: [m, K] → [m, K − 1, K − 1]."""
    inner = p @ turn
    outer: Matrix = np.einsum("ca,ic,cb->iab", turn, p, turn, optimize=True)
    outer -= inner[:, :, None] * inner[:, None, :]
    return outer


def _inverse_hessian(rows: ProbeRows, p: Matrix, penalty: float, turn: Matrix) -> Matrix:
    """(Σ s_i D_i ⊗ u_i u_iᵀ + λ)⁻¹ in the contrasts: [(K − 1)·r, (K − 1)·r]."""
    u, k, r = rows.coordinates, rows.classes - 1, rows.coordinates.shape[1]
    hessian = np.zeros((k, r, k, r))
    size = max(1, BLOCK_NUMBERS // rows.classes**2)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        spread = _spread(p[part], turn) * rows.shares[part, None, None]
        for a in range(k):
            for b in range(a, k):
                hessian[a, :, b] += (u[part] * spread[:, a, b, None]).T @ u[part]
    for a in range(k):
        for b in range(a):
            hessian[a, :, b] = hessian[b, :, a]
    flat = hessian.reshape(k * r, k * r)
    flat[np.diag_indices(k * r)] += penalty * np.tile(rows.on, k)
    return _inverted(flat)


def _inverted(symmetric: Matrix) -> Matrix:
    """The inverse of a positive definite matrix; LinAlgError where rounding made it indefinite."""
    factor, failed = scipy.linalg.lapack.dpotrf(symmetric, lower=1, clean=1)
    if failed:
        raise np.linalg.LinAlgError("the Hessian with its penalty is not positive definite in float64")
    inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    inverse += np.tril(inverse, -1).T
    return np.asarray(inverse)


def _blocks(rows: ProbeRows, weights: Matrix, penalty: float) -> Matrix:
    at = _Classes.of(rows, weights, penalty)
    # a_ic ≤ s_i‖u_i‖²/λ: no class whose probability times this is small moves
    most = np.full(len(rows), np.inf)
    if penalty > 0 and rows.on.all():
        most = rows.shares * (rows.coordinates**2).sum(axis=1) / penalty
    for c in range(rows.classes):
        some = np.flatnonzero((at.p[:, c] * most > NEGLIGIBLE) | (rows.labels == c))
        half = at.half(c, some)
        a = rows.shares[some] * np.einsum("ji,ji->i", half, half)
        at.scores[some, c] += a * at.pull[some, c] / (1 - a * at.spread[some, c])
    return at.scores


def _blocks_on_sphere(rows: ProbeRows, weights: Matrix, penalty: float) -> Matrix:
    """A_i = diag a_i − γ_i v_i v_iᵀ, v_ic = u_iᵀB_c⁻¹w_c, γ_i = s_i/Σ_c w_cᵀB_c⁻¹w_c, D_i = diag p_i(1 − p_i)."""
    at = _Classes.of(rows, weights, penalty)
    every, length = np.arange(len(rows)), 0.0
    a, v = np.empty_like(at.p), np.empty_like(at.p)
    for c in range(rows.classes):
        half = at.half(c, every)
        own = scipy.linalg.solve_triangular(at.factor, weights[c].astype(half.dtype), lower=True, check_finite=False)
        a[:, c] = rows.shares * np.einsum("ji,ji->i", half, half)
        v[:, c], length = own @ half, length + float(own @ own)
    gamma = (rows.shares / length)[:, None]
    moved = a * at.pull - gamma * v * (v * at.pull).sum(axis=1, keepdims=True)
    # I − A_iD_i = diag(1 − a·q) + γ·v(q·v)ᵀ, inverted by Sherman and Morrison
    left = 1 - a * at.spread
    pull, push = moved / left, v / left
    share = (at.spread * v * pull).sum(axis=1, keepdims=True)
    size = (at.spread * v * push).sum(axis=1, keepdims=True)
    at.scores += pull - gamma * push * share / (1 + gamma * size)
    return at.scores


@dataclass(slots=True)
class _Classes:
    """Scores, p, p − e_y, q = p(1 − p) [n, K] at a fit, and the blocks B_c = Σ_j s_j q_jc u_j u_jᵀ + λI one by one."""

    rows: ProbeRows
    scores: Matrix
    p: Matrix
    pull: Matrix
    spread: Matrix
    u: NDArray[np.floating]
    ridge: Matrix
    factor: NDArray[np.floating]
    """Of the block asked for last."""

    @classmethod
    def of(cls, rows: ProbeRows, weights: Matrix, penalty: float) -> _Classes:
        """Everything but the blocks."""
        scores = rows.coordinates @ weights.T
        pull = residuals(scores.copy(), rows.labels, "log")
        p = pull.copy()
        p[np.arange(len(p)), rows.labels] += 1
        spread = p * (1 - p)
        condition = rows.largest * float((rows.shares @ spread).max())
        single = bool(rows.on.all()) and condition <= SINGLE_PRECISION_CONDITION * penalty
        u: NDArray[np.floating] = rows.coordinates.astype(np.float32) if single else rows.coordinates
        return cls(rows, scores, p, pull, spread, u, penalty * rows.on, u[:0])

    def half(self, c: int, some: Integers) -> NDArray[np.floating]:
        """L⁻¹u_i of some rows [r, m], LLᵀ = B_c."""
        scaled = self.u * np.sqrt(self.rows.shares * self.spread[:, c]).astype(self.u.dtype)[:, None]
        block = scaled.T @ scaled
        block[np.diag_indices(len(block))] += self.ridge.astype(self.u.dtype)
        self.factor = scipy.linalg.cholesky(block, lower=True, overwrite_a=True, check_finite=False)
        solved: NDArray[np.floating] = scipy.linalg.solve_triangular(
            self.factor, self.u[some].T, lower=True, check_finite=False
        )
        return solved
