"""R3: the two-dimensional process with a probability current, simulated by Euler steps, beside its exact law.

    dx = (b − Ax)dt + √(2D) dW,   A = V⁻¹ diag(4, 1) V,  V = [[−1, 1], [1, 1]],  b = (−.1, .05),  D = diag(4, 1)
    covariance B: AB + BAᵀ = 2D;   modified loss Ψ = ½(x − μ)ᵀU(x − μ), U = B⁻¹, μ = A⁻¹b;   Q = AB − D = −Qᵀ
    current J = −QU(x − μ)p: the mean velocity seen at x, E[(x_{k+1} − x_{k−1})/(2dt) | x], is −QU(x − μ)

A and D do not commute, so Q ≠ 0: the process circulates along the contours of Ψ, which are not those of the loss. The
Euler chain x_{k+1} = x_k + dt(b − Ax_k) + √(2dt) D^½ ξ has P = MPMᵀ + 2dt·D, M = 1 − dt·A, and the antisymmetric part
of E[x_{k+1}x_kᵀ] is exactly −dt·(AP − PAᵀ)/2, which plays Q's part. Each replica gives one time average: their
scatter is the error.

Source: Kunin et al., arXiv:2107.09133, figure of the Ornstein-Uhlenbeck process (there dt = 1e-4, one path of 10⁵
steps from (.09, 0), temperature dt/2; here temperature 1 and many replicas).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
from studies.sgd.common import Place, Report, main, ratio, z_of

from limen.arrays.random import stream
from limen.theory.sgd import PhaseSpace

V = np.array([[-1.0, 1.0], [1.0, 1.0]])
A = np.linalg.inv(V) @ np.diag([4.0, 1.0]) @ V
B_VECTOR = np.array([-0.1, 0.05])
D = np.diag([4.0, 1.0])
MEAN = np.linalg.solve(A, B_VECTOR)
REFUTED = 3.5
"""|z| that the largest of some 27 standard normal numbers exceeds in 1 of 80 cases."""


@dataclass(frozen=True)
class Settings:
    """Step sizes, each with its own chain; replicas; the time that is thrown away and the time that is averaged."""

    steps_of_time: tuple[float, ...] = (0.1, 0.01, 0.001)
    replicas: int = 2000
    settle: float = 10.0
    time: float = 40.0
    start: tuple[float, float] = (0.09, 0.0)
    seed: int = 0


FULL = Settings(steps_of_time=(0.1, 0.01, 0.001, 1e-4))
"""Down to the paper's dt: half a million steps of 2,000 replicas (minutes)."""


def recipe(place: Place, settings: Settings) -> Report:
    """Covariance, modified loss and current at each step size, beside both exact laws."""
    report = Report("R3 toy_current: covariance, modified loss and current of a two-dimensional process")
    flow = PhaseSpace(A, D, 1.0)
    worst, beyond = 0.0, {}
    for dt in settings.steps_of_time:
        given = {"dt": dt, "settings": settings.replicas, "settle": settings.settle, "time": settings.time,
                 "seed": settings.seed, "start": settings.start}  # fmt: skip
        measured = place.part("toy_current", given, partial(simulated, dt, settings))
        rows, zs = compared(measured, continuous(flow), chain(dt))
        report.table(
            ["quantity", "measured", "± (1 s.e.)", "Euler chain", "z", "continuous", "measured/continuous"],
            rows, f"dt = {dt:g}, {settings.replicas} replicas of {settings.time:g} units of time",
        )  # fmt: skip
        worst = max(worst, float(np.abs(zs).max()))
        continuous_z = [abs(z_of(row[1], row[2], row[5]) or 0.0) for row in rows]
        beyond[dt] = max(continuous_z)
    loss, modified = np.linalg.eigvalsh(A), np.linalg.eigvalsh(flow.modified_loss)
    ok = [f"{dt:g}" for dt, z in beyond.items() if z < REFUTED]
    off = [f"{dt:g} (z up to {z:.0f})" for dt, z in beyond.items() if z >= REFUTED]
    holds = "holds at every step size" if worst < REFUTED else "is refuted, which would be an error in this file"
    report.say(
        f"The Euler chain's own law {holds}: largest |z| {worst:.1f}.",
        f"The continuous law is within the error at dt = {', '.join(ok) or 'none'}"
        + (f" and is refuted at dt = {', '.join(off)}." if off else "."),
        f"The loss has axes of curvature {loss[1]:.3g} and {loss[0]:.3g}, the modified loss {modified[1]:.3g} and "
        f"{modified[0]:.3g}: the process spreads along the contours of the second, and circulates "
        f"(Q₁₂ = {flow.current[0, 1]:.3g}).",
    )
    return report


def simulated(dt: float, settings: Settings) -> dict[str, Any]:
    """Means over replicas, and standard errors, of the mean, P, and the antisymmetric part of E[x_{k+1}x_kᵀ]/dt."""
    rng = stream("studies/toy_current", settings.seed, repr(dt))
    r, settle, count = settings.replicas, round(settings.settle / dt), round(settings.time / dt)
    scale = np.sqrt(2 * dt * np.diag(D))
    step, push = np.eye(2) - dt * A, dt * B_VECTOR
    x = np.tile(np.asarray(settings.start), (r, 1))
    first, second, turn = np.zeros((r, 2)), np.zeros((r, 2, 2)), np.zeros(r)
    for k in range(settle + count):
        after = x @ step.T + push + scale * rng.standard_normal((r, 2))
        if k >= settle:
            y, z = x - MEAN, after - MEAN
            first += x
            second += y[:, :, None] * y[:, None, :]
            turn += z[:, 0] * y[:, 1] - z[:, 1] * y[:, 0]
        x = after
    each = {
        "mean": first / count,
        "P": second.reshape(r, 4)[:, [0, 1, 3]] / count,
        "Q": -turn[:, None] / (2 * dt * count),
    }
    return {
        name: {"value": v.mean(axis=0), "error": v.std(axis=0, ddof=1) / np.sqrt(r), "covariance": np.cov(v.T) / r}
        for name, v in each.items()
    }


def continuous(flow: PhaseSpace) -> tuple[np.ndarray, np.ndarray]:
    """B and Q of the continuous process."""
    return flow.covariance, flow.current


def chain(dt: float) -> tuple[np.ndarray, np.ndarray]:
    """P of the Euler chain, and (AP − PAᵀ)/2."""
    step = np.eye(2) - dt * A
    p = scipy.linalg.solve_discrete_lyapunov(step, 2 * dt * D)
    return p, (A @ p - p @ A.T) / 2


def compared(
    measured: dict[str, Any], flow: tuple[np.ndarray, np.ndarray], euler: tuple[np.ndarray, np.ndarray]
) -> tuple[list[list[Any]], np.ndarray]:
    """Rows of the table and their z against the Euler chain: mean, covariance, modified loss, current and its flow."""
    value = {name: np.asarray(found["value"]) for name, found in measured.items()}
    p = value["P"][[0, 1, 1, 2]].reshape(2, 2)
    q = value["Q"][0]
    names = ["mean₁", "mean₂", "B₁₁", "B₁₂", "B₂₂", "Q₁₂", "U₁₁", "U₁₂", "U₂₂"]
    numbers = [*value["mean"], *value["P"], q, *_triangle(np.linalg.inv(p))]
    errors = [*measured["mean"]["error"], *measured["P"]["error"], measured["Q"]["error"][0],
              *_inverse_errors(p, np.asarray(measured["P"]["covariance"]))]  # fmt: skip
    of = [[*MEAN, *_triangle(b), current[0, 1], *_triangle(np.linalg.inv(b))] for b, current in (euler, flow)]
    rows = [
        [name, float(m), float(e), float(a), z_of(m, e, a), float(c), ratio(float(m), float(c))]
        for name, m, e, a, c in zip(names, numbers, errors, *of, strict=True)
    ]
    return rows, np.array([row[4] for row in rows])


def _triangle(matrix: np.ndarray) -> list[float]:
    return [float(matrix[0, 0]), float(matrix[0, 1]), float(matrix[1, 1])]


def _inverse_errors(p: np.ndarray, covariance: np.ndarray) -> list[float]:
    """Standard errors of the entries of P⁻¹: dU = −U dP U."""
    u = np.linalg.inv(p)
    basis = [np.array([[1.0, 0], [0, 0]]), np.array([[0, 1.0], [1.0, 0]]), np.array([[0, 0], [0, 1.0]])]
    jacobian = np.array([_triangle(-u @ e @ u) for e in basis]).T
    return [float(error) for error in np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))]


if __name__ == "__main__":
    main("toy_current", recipe, Settings(), FULL)
