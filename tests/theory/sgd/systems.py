"""The slow obvious reference: each optimizer's update as a 2 × 2 system, its powers, sums and Lyapunov equation."""

from __future__ import annotations

from itertools import product

import numpy as np
import scipy.linalg

from limen.theory.sgd import Modes


def system(modes: Modes, dampened: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """M [2, 2] and w [2] of z′ = Mz + wn, z = (x, v), written down from the update rule of the one mode."""
    eta, beta, h = modes.learning_rate, modes.momentum, float(modes.stiffness[0])
    force = 1 - modes.dampening if dampened and beta > 0 else 1.0  # torch dampens what goes into the buffer
    v_row, v_noise = np.array([-force * h, beta]), -force
    x_row, x_noise = np.array([modes.shrink, 0.0]), 0.0
    if modes.nesterov:
        x_row = x_row + eta * (beta * v_row + np.array([-h, 0.0]))
        x_noise = eta * (beta * v_noise - 1)
    else:
        x_row, x_noise = x_row + eta * v_row, eta * v_noise
    return np.array([x_row, v_row]), np.array([x_noise, v_noise])


def stationary(modes: Modes) -> np.ndarray:
    """P = MPMᵀ + wwᵀC."""
    m, w = system(modes)
    return scipy.linalg.solve_discrete_lyapunov(m, np.outer(w, w) * modes.step_noise[0])


def from_fixed(modes: Modes, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean x and Var x after t = 0 … last updates from (offset, v = 0); the first gradient is not dampened."""
    mean, covariance = np.array([modes.offset[0], 0.0]), np.zeros((2, 2))
    means, variances = [mean[0]], [0.0]
    for t in range(last):
        m, w = system(modes, dampened=t > 0)
        mean = m @ mean
        covariance = m @ covariance @ m.T + np.outer(w, w) * modes.step_noise[0]
        means.append(mean[0])
        variances.append(covariance[0, 0])
    return np.array(means), np.array(variances)


def zoo() -> list[Modes]:
    """One-mode problems over regimes, momenta and kinds of update; all stable."""
    found = []
    for a, eta, beta in product([1e-7, 1e-3, 0.0026334, 0.03, 0.3, 1.0, 1.9, 3.3], [0.1, 1.0], [0.0, 0.3, 0.9, 0.99]):
        for decay, decoupled, nesterov, dampening in [
            (0.0, False, False, 0.0), (0.01, False, False, 0.0), (0.01, True, False, 0.0), (0.0, False, True, 0.0),
            (0.02, True, True, 0.0), (0.0, False, False, 0.4),
        ]:  # fmt: skip
            if nesterov and beta == 0:
                continue
            modes = Modes([a / eta], [2.0], eta, beta, 4, decay, decoupled, nesterov, dampening, offset=[0.7])
            if np.abs(np.linalg.eigvals(system(modes)[0])).max() < 1:
                found.append(modes)
    return found


def name(modes: Modes) -> str:
    kind = "nesterov" if modes.nesterov else f"dampening {modes.dampening}" if modes.dampening else "heavy ball"
    decay = f" {'decoupled' if modes.decoupled else 'coupled'} decay" if modes.weight_decay else ""
    return f"{kind}{decay} h={modes.curvature[0]:g} lr={modes.learning_rate} momentum={modes.momentum}"
