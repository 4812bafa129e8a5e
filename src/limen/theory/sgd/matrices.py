"""The exact discrete law in matrices, for noise that does not share the Hessian's eigenvectors, and identities it
obeys.

    z_{k+1} = M z_k + (ηn_k; n_k),  M = [[I − ηH_λ, ηβI], [−H_λ, βI]],  P = MPMᵀ + N,  N = [[η²C, ηC], [ηC, C]]

In the eigenbasis of H_λ (a_i = ηh_i, Ω_i = 2h_i/(η(1 + β))) the blocks of P are, for any covariance C of a batch's
gradient,

    G_ij = E[x_i x_j] = η²(1 − β²)C_ij / [(1 − β)²((1 + β)(a_i + a_j) − a_ia_j) + β(a_i − a_j)²]
    V_ij = E[v_i v_j] = ½(Ω_i + Ω_j)G_ij
    X_ij = E[x_i v_j] = (a_i − a_j)/(2η(1 − β))·G_ij + ½ηV_ij

Identities at any learning rate, from stationarity alone (also for noise that depends on θ; only E[n_k | past] = 0
enters):

    (V)  V = (H_λG + GH_λ)/(η(1 + β))               (X)  X + Xᵀ = ηV
    (L)  X − Xᵀ = (H_λG − GH_λ)/(1 − β)             (F)  (1 − β²)V = C + H_λGH_λ − β(H_λX + XᵀH_λ)

V is Yaida's fluctuation-dissipation relation in matrix form (arXiv:1810.00004); L measures the angular momentum of the
stationary state, 0 iff H and C commute. Derivation: docs/statements/sgd-discrete.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.phase_space import symmetric
from limen.theory.sgd.problem import Floats, Modes


@dataclass(frozen=True, slots=True)
class StationaryCovariance:
    """Second moments at equilibrium, [d, d], heavy ball."""

    positions: Floats
    """G = E[xxᵀ], parameter²."""
    velocities: Floats
    """V = E[vvᵀ], (loss/parameter)²."""
    mixed: Floats
    """X = E[xvᵀ], row x: v is the velocity that led to x."""

    @property
    def joint(self) -> Floats:
        """P over (x; v), [2d, 2d]."""
        return np.block([[self.positions, self.mixed], [self.mixed.T, self.velocities]])


def stationary_covariance(hessian: ArrayLike, noise: ArrayLike, settings: Modes) -> StationaryCovariance:
    """Second moments for H [d, d] and per-example noise Σ [d, d]; the optimizer from `settings`, C as its step_noise.

    >>> settings = Modes([1.0], [1.0], learning_rate=0.1, momentum=0.5)
    >>> stationary_covariance([[2.0]], [[3.0]], settings).positions.round(12)
    array([[0.16071429]])

    Raises BadInput for an unstable or flat direction, matrices that do not fit, Nesterov, dampening, decoupled decay.
    """
    h, sigma = symmetric("hessian", hessian), symmetric("noise", noise)
    p = settings
    if p.nesterov or p.dampening or (p.decoupled and p.weight_decay) or h.shape != sigma.shape:
        raise BadInput(Problem("settings", "expected heavy ball with coupled decay and matrices of one shape"))
    values, basis = np.linalg.eigh(h + p.weight_decay * np.eye(len(h)))
    eta, beta = p.learning_rate, p.momentum
    a = eta * values
    if a.min() <= 0 or a.max() >= 2 * (1 + beta):
        got = f"h from {values.min():g} to {values.max():g}"
        raise BadInput(
            Problem("hessian", f"expected 0 < h < {2 * (1 + beta) / eta:g}, the edge of stability, got {got}")
        )
    c = basis.T @ sigma @ basis * batch_factor(p)
    total, product, apart = a[:, None] + a, a[:, None] * a, a[:, None] - a
    g = eta**2 * (1 - beta**2) * c / ((1 - beta) ** 2 * ((1 + beta) * total - product) + beta * apart**2)
    v = total / (eta**2 * (1 + beta)) * g
    x = apart / (2 * eta * (1 - beta)) * g + eta / 2 * v
    return StationaryCovariance(*(basis @ block @ basis.T for block in (g, v, x)))


def batch_factor(settings: Modes) -> float:
    """C/Σ: 1/S, times (N − S)/(N − 1) for batches of distinct examples."""
    n, size = settings.examples, settings.batch_size
    return 1 / size * (1.0 if n is None else (n - size) / max(n - 1, 1))


def identities(
    hessian: ArrayLike, noise: ArrayLike, covariance: StationaryCovariance, settings: Modes
) -> dict[str, Floats]:
    """Left minus right side of V, X, L and F, each [d, d]; `noise` is Σ of one example at equilibrium."""
    h = symmetric("hessian", hessian)
    h = h + settings.weight_decay * np.eye(len(h))
    c = symmetric("noise", noise) * batch_factor(settings)
    g, v, x = covariance.positions, covariance.velocities, covariance.mixed
    eta, beta = settings.learning_rate, settings.momentum
    return {
        "V": v - (h @ g + g @ h) / (eta * (1 + beta)),
        "X": x + x.T - eta * v,
        "L": x - x.T - (h @ g - g @ h) / (1 - beta),
        "F": (1 - beta**2) * v - (c + h @ g @ h - beta * (h @ x + x.T @ h)),
    }
