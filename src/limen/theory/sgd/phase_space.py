"""The published theory in matrices: drift, diffusion, modified loss and probability current for any noise covariance.

In phase space z = (x; v), x = θ − μ, v the velocity, with Hessian H + λI =: H_λ, per-example noise Σ, κ = S(1 − β²):

    dz = −Az dt + √(2D/κ) dW
    A = [[0, −I], [(2/(η(1 + β)))H_λ, (2(1 − β)/(η(1 + β)))I]]     D = [[0, 0], [0, (2(1 − β)/(η(1 + β)))Σ]]
    Cov z = B/κ,  AB + BAᵀ = 2D;   U = B⁻¹;   Q = AB − D = −Qᵀ;   A = (D + Q)U
    stationary density p ∝ exp(−κΨ), Ψ(z) = ½zᵀUz (modified loss); current J = −Q∇Ψ p

With A = R diag(α) R⁻¹ and D̂ = R⁻¹DR⁻ᵀ: B = R[2D̂_ij/(α_i + α_j)]Rᵀ, Q = R[D̂_ij(α_i − α_j)/(α_i + α_j)]Rᵀ. For Σ =
σ²H:

    B = σ²[[½η(1 + β)H H_λ⁻¹, 0], [0, H]],   Q = σ²[[0, −H], [H, 0]]:

without weight decay the weights spread alike in all directions although the loss does not, and the current is a pure
rotation. v is odd under time reversal, so that rotation dissipates nothing; [H, Σ] ≠ 0 does: E[x vᵀ] is antisymmetric
then. Kunin et al., Neural Computation 36 (2024), arXiv:2107.09133; general B and Q derived in
docs/statements/sgd-langevin.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from limen.records.errors import BadInput, Problem
from limen.theory.sgd.problem import Floats, Modes

# shapes: d parameters; phase space 2d


@dataclass(frozen=True, slots=True)
class PhaseSpace:
    """The process of one problem, matrices over z = (x; v), [2d, 2d]."""

    drift: Floats
    """A, 1/time; a step is η of time."""
    diffusion: Floats
    """D."""
    kappa: float
    """S(1 − β²)."""

    @property
    def covariance(self) -> Floats:
        """B, κ times the covariance of z at equilibrium."""
        return np.asarray(scipy.linalg.solve_continuous_lyapunov(self.drift, 2 * self.diffusion))

    @property
    def modified_loss(self) -> Floats:
        """U = B⁻¹, on the range of B (noise-free directions do not move): Ψ(z) = ½zᵀUz."""
        return np.asarray(scipy.linalg.pinvh(self.covariance))

    @property
    def current(self) -> Floats:
        """Q = AB − D, antisymmetric."""
        return np.asarray(self.drift @ self.covariance - self.diffusion)

    def mean(self, start: ArrayLike, time: float) -> Floats:
        """e^{−At}z_0."""
        return np.asarray(scipy.linalg.expm(-self.drift * time) @ np.asarray(start, dtype=float))

    def covariance_at(self, time: float) -> Floats:
        """(B − e^{−At}Be^{−Aᵀt})/κ from a known start."""
        left = scipy.linalg.expm(-self.drift * time)
        b = self.covariance
        return np.asarray((b - left @ b @ left.T) / self.kappa)


def phase_space(hessian: ArrayLike, noise: ArrayLike, settings: Modes) -> PhaseSpace:
    """The process for H [d, d] and Σ [d, d]; learning rate, momentum, batch size and decay from `settings`.

    >>> settings = Modes([1.0], [1.0], learning_rate=0.1, momentum=0.5, batch_size=2)
    >>> space = phase_space(np.eye(1), np.eye(1), settings)
    >>> np.diag(space.covariance / space.kappa).round(8).tolist(), float(space.current[1, 0].round(8))
    ([0.05, 0.66666667], 1.0)

    Raises BadInput for matrices that are not square and symmetric, negative curvature, Nesterov and decoupled decay.
    """
    h, sigma = symmetric("hessian", hessian), symmetric("noise", noise)
    p, problems = settings, []
    if p.nesterov or (p.decoupled and p.weight_decay) or p.dampening:
        problems.append(
            Problem("settings", "expected heavy ball with coupled decay and no dampening, got another rule")
        )
    if h.shape != sigma.shape:
        problems.append(Problem("noise", f"expected shape {h.shape}, as the Hessian's, got {sigma.shape}"))
    if problems:
        raise BadInput(problems)
    d, eta, beta = len(h), p.learning_rate, p.momentum
    rate = 2 / (eta * (1 + beta))
    zero, one = np.zeros((d, d)), np.eye(d)
    drift = np.block([[zero, -one], [rate * (h + p.weight_decay * one), rate * (1 - beta) * one]])
    diffusion = np.block([[zero, zero], [zero, rate * (1 - beta) * sigma]])
    finite = 1.0 if p.examples is None else (p.examples - 1) / (p.examples - p.batch_size)
    return PhaseSpace(drift, diffusion, p.batch_size * finite * (1 - beta**2))


def symmetric(name: str, matrix: ArrayLike) -> Floats:
    """`matrix` as float64 [d, d] if it is finite, square and symmetric to 1e-8."""
    found = np.asarray(matrix, dtype=np.float64)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not np.isfinite(found).all():
        raise BadInput(Problem(name, f"expected a finite square matrix, got shape {found.shape}"))
    if np.abs(found - found.T).max() > 1e-8 * max(np.abs(found).max(), 1e-300):
        raise BadInput(Problem(name, "expected a symmetric matrix, got one that is not"))
    return (found + found.T) / 2
