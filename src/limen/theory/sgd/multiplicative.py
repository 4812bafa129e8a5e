"""Gradient noise that grows with the distance from the minimum: variance, and the boundary of heavy tails.

Linear regression y = θᵀx + ε, Var ε = σ², batches of S fresh examples, x Gaussian with E xxᵀ = H. At θ − μ the
gradient of one example has covariance σ²H + H tr(HG) + HGH in the mean over θ, G = Cov θ: noise feeds on itself. In
the eigenbasis

    κ_l = ηρ_l(1 + β)/(S(1 − β)h_l(2(1 + β) − ηh_l)),    W = Σ_l ρ_lκ_l/(1 − κ_lρ_l),    τ = σ²W/(1 − W)
    Var x_l = κ_l(σ² + τ)/(1 − κ_lρ_l)

is finite iff W < 1 and κ_lρ_l < 1: beyond, moments of second order do not exist (tail index α ≤ 2, as of Kesten
processes; Hodgkinson and Mahoney, arXiv:2006.06293). One mode, no momentum: η < 2/(ρ(1 + 2/S)). Additive noise is low
by the factor 1/(1 − W) and more. A finite data set drawn with replacement: Σ(G) = Σ(μ) + (1/N)Σ_i x_ix_iᵀ(x_iᵀGx_i) −
HGH (`finite_data_covariance`). Derivation: docs/statements/sgd-multiplicative.md; Ziyin, Liu, Mori, Ueda, ICLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.discrete import discrete
from limen.theory.sgd.matrices import StationaryCovariance, stationary_covariance
from limen.theory.sgd.problem import Floats, Modes

SWEEPS = 10_000
CONVERGED = 1e-12


@dataclass(frozen=True, slots=True)
class GaussianRegression:
    """Online least squares with Gaussian features."""

    position_variance: Floats
    """Var x_l [L]; infinite beyond the boundary."""
    feedback: float
    """W: share of the noise that the fluctuation itself makes; variance is finite iff below 1."""
    heavy_tailed: bool
    """Whether second moments are infinite."""
    additive_ratio: Floats
    """Additive-noise variance over this one [L]; 0 beyond the boundary."""


def gaussian_regression(problem: Modes, residual_variance: float) -> GaussianRegression:
    """The law of `problem` with noise σ²ρ_l at the minimum and Gaussian features; σ² = `residual_variance`, loss².

    One mode without momentum at S = 1: finite iff ηρ < 2/3.

    >>> gaussian_regression(Modes([1.0], [1.0], learning_rate=0.66), 1.0).heavy_tailed
    False
    >>> gaussian_regression(Modes([1.0], [1.0], learning_rate=0.67), 1.0).heavy_tailed
    True

    Raises BadInput for flat or negative curvature, Nesterov, dampening, weight decay (a ridge minimum adds the noise
    Hmmᵀ H, m its distance from the true weights), residual_variance ≤ 0.
    """
    p = problem
    if p.nesterov or p.dampening or p.weight_decay or (p.curvature <= 0).any() or residual_variance <= 0:
        expected = "heavy ball without dampening and decay, curvature above 0 and residual_variance above 0"
        raise BadInput(Problem("problem", f"expected {expected}, got another problem"))
    discrete(p)  # raises beyond the edge of stability
    eta, beta, rho, h = p.learning_rate, p.momentum, p.curvature, p.stiffness
    kappa = eta * rho * (1 + beta) / (p.batch_size * (1 - beta) * h * (2 * (1 + beta) - eta * h))
    own = kappa * rho
    feedback = float(p.weight @ (own / (1 - own))) if (own < 1).all() else np.inf
    if feedback >= 1:
        return GaussianRegression(np.full(rho.shape, np.inf), feedback, True, np.zeros(rho.shape))
    total = residual_variance / (1 - feedback)  # σ² + τ
    variance = kappa * total / (1 - own)
    return GaussianRegression(variance, feedback, False, kappa * residual_variance / variance)


def finite_data_covariance(
    features: ArrayLike, residuals: ArrayLike, settings: Modes
) -> tuple[StationaryCovariance, Floats]:
    """Stationary second moments and noise Σ(G) for least squares on N rows [N, d] drawn with replacement.

    `residuals` [N] are those at the (ridge) minimum, loss ½(y − θᵀx)². Found by iterating P ↔ Σ(G), which is linear.
    Raises BadInput when shapes differ or the iteration grows without bound (second moments do not exist).
    """
    x, e = np.asarray(features, dtype=np.float64), np.asarray(residuals, dtype=np.float64)
    if x.ndim != 2 or e.shape != (len(x),):
        raise BadInput(Problem("residuals", f"expected one per row of features, got {e.shape} for {x.shape}"))
    h = x.T @ x / len(x)
    gradients = -x * e[:, None]
    centred = gradients - gradients.mean(axis=0)
    still = centred.T @ centred / len(x)
    sigma = still
    for _ in range(SWEEPS):
        found = stationary_covariance(h, sigma, settings)
        g = found.positions
        spread = (x * np.einsum("ni,ij,nj->n", x, g, x)[:, None]).T @ x / len(x) - h @ g @ h
        change = scipy.linalg.norm(still + spread - sigma)
        sigma = still + spread
        if not np.isfinite(change) or np.trace(sigma) > 1e12 * np.trace(still):
            break
        if change <= CONVERGED * scipy.linalg.norm(sigma):
            return stationary_covariance(h, sigma, settings), sigma
    raise BadInput(
        Problem("settings", "expected second moments to exist, but the noise feeds on itself without bound",
                "the learning rate is beyond the heavy-tail boundary W = 1", "lower it or raise the batch size")
    )  # fmt: skip
