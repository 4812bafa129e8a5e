"""Phase portraits: the path of a mode through (position, velocity), the ellipse and the turn that the law predicts.

In coordinates that make the stationary ellipse a circle (Cholesky factor of the covariance of (x, v)) a step takes
z to Wz plus noise; the mean turn is atan2(W₂₁ − W₁₂, W₁₁ + W₂₂): measured from lagged products, predicted with W =
L⁻¹ML.
"""

from __future__ import annotations

import numpy as np

from limen.measure.dynamics.series import Batches, batch_means
from limen.records.dynamics import ModeVerdict, Orbit
from limen.records.estimate import Estimate, not_identified
from limen.theory.sgd import Law
from limen.verdict.dynamics.modes import cut_of, series
from limen.verdict.dynamics.problem import Floats, RunProblem

PORTRAITS = 4
POINTS = 400
LEAST = 1e-300


def orbits(problem: RunProblem, modes: tuple[ModeVerdict, ...], laws: dict[str, Law]) -> tuple[Orbit, ...]:
    """Portraits of the first modes of positive curvature that have equilibrated."""
    which = [i for i, mode in enumerate(modes) if mode.equilibrated and mode.curvature > 0][:PORTRAITS]
    found = []
    for i in which:
        cut = cut_of(problem, modes[i].relaxation_steps or 0.0)
        assert cut is not None
        found.append(_orbit(problem, modes[i], i, cut, laws.get(problem.law_name)))
    return tuple(found)


def _orbit(problem: RunProblem, mode: ModeVerdict, i: int, cut: Batches, law: Law | None) -> Orbit:
    x, v = series(problem, i)
    x, v = x - x[-cut.steps :].mean(), v - v[-cut.steps :].mean()
    ellipse, turn = None, None
    if law is not None and problem.plain and mode.position_variance.predicted is not None:
        spread, speed = float(law.position_variance[i]), float(law.velocity_variance[i])
        ellipse = (spread, problem.learning_rate / 2 * speed, speed)
        if problem.law_name == "discrete":
            turn = _turn(problem, mode.curvature, ellipse)
    return Orbit(
        mode.curvature, tuple(x[-POINTS:].tolist()), tuple(v[-POINTS:].tolist()), ellipse, turn, _measured(x, v, cut)
    )


def _turn(problem: RunProblem, h: float, ellipse: tuple[float, float, float]) -> float | None:
    eta, beta = problem.learning_rate, problem.momentum
    step = np.array([[1 - eta * h, eta * beta], [-h, beta]])
    root = np.linalg.cholesky(np.array([[ellipse[0], ellipse[1]], [ellipse[1], ellipse[2]]]))
    w = np.linalg.solve(root, step @ root)
    return float(np.arctan2(w[1, 0] - w[0, 1], w[0, 0] + w[1, 1]))


def _measured(x: Floats, v: Floats, cut: Batches) -> Estimate:
    """From whitened states: atan2 of the mean cross and dot products of successive ones, jackknife over batches."""
    z = np.stack([x, v], axis=1)[-cut.steps - 1 :]
    covariance = np.cov(z.T)
    if np.linalg.det(covariance) <= LEAST:
        return not_identified("positions and velocities lie on a line")
    white = np.linalg.solve(np.linalg.cholesky(covariance), z.T).T
    before, after = white[:-1], white[1:]
    cross = batch_means(after[:, 1] * before[:, 0] - after[:, 0] * before[:, 1], _last(cut, len(before)))
    dot = batch_means((after * before).sum(axis=1), _last(cut, len(before)))
    whole = float(np.arctan2(cross.sum(), dot.sum()))
    left = np.arctan2(cross.sum() - cross, dot.sum() - dot)
    error = float(np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum()))
    return Estimate(whole, whole - 2 * error, whole + 2 * error, 0.95, "statistical", cut.count,
                    "mean turn a step in the measured ellipse, jackknife over batches")  # fmt: skip


def _last(cut: Batches, rows: int) -> Batches:
    return cut if rows >= cut.steps else Batches(rows // cut.count, cut.count)
