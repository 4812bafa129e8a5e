"""R5: do the sharpest modes of a trained network rotate in phase space as predicted?

Along each recorded eigenvector u, x = uᵀ(θ_k − mean), v = uᵀv_k of the continuation with independent batches:

    turn            angle a step in coordinates that make the ellipse of (x, v) a circle: atan2(W₂₁ − W₁₂, W₁₁ + W₂₂) of
                    the step W there. Measured from products of successive states, jackknife over 12 blocks; predicted
                    by the discrete law, W = L⁻¹ML, LLᵀ its covariance
    autocorrelation E[x_k x_{k+t}]/Var x and the same of v at some lags: measured, discrete law, Langevin law

    unseen          uᵀHu on images that the Hessian was not of, where nothing flatters an eigenvector; the turn there
    slow share      s of r = (1 − s)·law + s over lags up to 10: the part of x² that the moving minimum would make

The errors of autocorrelations are Bartlett's for the law's own process: Var r̂(t) ≈ (1/T) Σ_j [r(j)² + r(j + t)r(j − t)
− 4r(t)r(j)r(j − t) + 2r(t)²r(j)²], so z holds the measured one against the law as a whole.

Source: Kunin et al., arXiv:2107.09133, figure 6 (two modes, last 2,000 steps, moving average of 20).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from studies.sgd.common import Place, Report, main
from studies.sgd.contours import _single
from studies.sgd.network import FULL, Network, Settings

from limen.measure.dynamics.attach import attached
from limen.measure.recorder.read import read_run
from limen.theory.sgd import discrete, langevin
from limen.verdict.dynamics.problem import run_problem

LAGS = (1, 2, 5, 10, 20, 50)
MODES = 4
BLOCKS = 12
STUDENT = 2.2
"""97.5 % point of Student's distribution with 11 degrees of freedom."""


def recipe(place: Place, settings: Settings) -> Report:
    """Turn and autocorrelations of the sharpest recorded modes beside both laws."""
    report = Report("R5 oscillation: rotation of the sharpest modes of a trained ResNet-18")
    network = Network(place, settings)
    run = settings.run(sampling="iid")
    found = place.part("rotation", [settings, run, LAGS, MODES], lambda: analysed(network))
    report.table(
        ["curvature", "ηh", "regime", "a turn takes, steps", "turn a step (rad)", "95 %", "discrete", "inside",
         "curvature unseen", "turn there",
         "slow share of x²"],
        [[m["curvature"], m["a"], m["regime"], m["period"], m["turn"], (m["turn_low"], m["turn_high"]),
          m["turn_predicted"], m["inside"], m["unseen"], m["turn_unseen"], slow_share(m, found["lags"])]
         for m in found["modes"]],
        f"Rotation over {found['window']} steps",
    )  # fmt: skip
    for name in ("x", "v"):
        rows = [
            [m["curvature"], lag, *(m[name + column][i] for column in ("", "_error", "_law", "_z", "_flow"))]
            for m in found["modes"] for i, lag in enumerate(found["lags"])
        ]  # fmt: skip
        heads = ["curvature", "lag", "measured", "± (1 s.e.)", "discrete", "z", "Langevin"]
        report.table(heads, rows, f"Autocorrelation of {'position' if name == 'x' else 'velocity'}")
    report.say(*_said(found))
    return report


def analysed(network: Network) -> dict[str, Any]:
    """Measured and predicted, mode by mode."""
    folder = network.continued(network.settings.run(sampling="iid"))
    trajectory = read_run(folder)
    problem = run_problem(trajectory, *attached(folder))
    assert problem.variances is not None
    window = len(trajectory.step) * 3 // 4
    lags = [lag for lag in LAGS if lag < window // 4]
    every = problem.modes(problem.variances)
    edge = 2 * (1 + problem.momentum) / problem.learning_rate
    found = []
    stable = [i for i in range(len(every.curvature)) if 0 < every.stiffness[i] < edge][:MODES]
    unseen = network.unseen_curvature(max(stable) + 1)
    for i in stable:
        modes = _single(every, i)
        law, flow = discrete(modes), langevin(modes)
        one: dict[str, Any] = {"curvature": every.curvature[i], "a": problem.learning_rate * every.stiffness[i],
                               "regime": str(law.regime[0]), "period": _period(law)}  # fmt: skip
        series = {"x": trajectory.positions, "v": trajectory.velocities}
        series = {name: values[-window:, i].astype(np.float64) for name, values in series.items()}
        one |= _turn(turn(series["x"], series["v"]), predicted_turn(law))
        one |= {"unseen": unseen[i], "turn_unseen": None}
        if 0 < unseen[i] < edge:
            one["turn_unseen"] = predicted_turn(discrete(replace(modes, curvature=np.array([unseen[i]]))))
        for name, values in series.items():
            measured = autocorrelation(values, lags)
            exact = law.position_autocorrelation if name == "x" else law.velocity_autocorrelation
            smooth = flow.position_autocorrelation if name == "x" else flow.velocity_autocorrelation
            expected = exact(lags)[:, 0]
            error = bartlett(exact(np.arange(window))[:, 0], lags, window)
            one |= {name: measured, f"{name}_law": expected, f"{name}_flow": smooth(lags)[:, 0], f"{name}_error": error,
                    f"{name}_z": (measured - expected) / error}  # fmt: skip
        found.append(one)
    return {"modes": found, "lags": lags, "window": window}


def autocorrelation(values: np.ndarray, lags: list[int]) -> np.ndarray:
    """Of a series less its mean.

    >>> autocorrelation(np.tile([1.0, -1.0], 500), [1, 2]).round(2).tolist()
    [-1.0, 1.0]
    """
    x = values - values.mean()
    return np.array([(x[lag:] @ x[: len(x) - lag]) / (x @ x) for lag in lags])


def bartlett(r: np.ndarray, lags: list[int], length: int) -> np.ndarray:
    """Standard errors of autocorrelations measured over `length` steps of a process of autocorrelation r [length]."""
    most = max(lags)
    full = np.concatenate([r[::-1], r[1:]])
    centre = len(r) - 1
    j = np.arange(-(len(r) - 1 - most), len(r) - most)
    at = full[centre + j]
    errors = []
    for t in lags:
        ahead, behind, own = full[centre + j + t], full[centre + j - t], r[t]
        total = at**2 + ahead * behind - 4 * own * at * behind + 2 * own**2 * at**2
        errors.append(np.sqrt(max(float(total.sum()), 0.0) / length))
    return np.array(errors)


def turn(x: np.ndarray, v: np.ndarray) -> tuple[float, float]:
    """Mean angle a step in the measured ellipse, and its jackknife error.

    >>> angle = 0.3 * np.arange(2400)
    >>> [round(value, 3) for value in turn(3 * np.cos(angle), np.sin(angle))]
    [0.3, 0.0]
    """
    z = np.stack([x - x.mean(), v - v.mean()])
    white = np.linalg.solve(np.linalg.cholesky(np.cov(z)), z).T
    before, after = white[:-1], white[1:]
    length = len(before) // BLOCKS
    cross, dot = (
        series[-BLOCKS * length :].reshape(BLOCKS, length).sum(axis=1)
        for series in (after[:, 1] * before[:, 0] - after[:, 0] * before[:, 1], (after * before).sum(axis=1))
    )
    left = np.arctan2(cross.sum() - cross, dot.sum() - dot)
    error = np.sqrt((BLOCKS - 1) / BLOCKS * ((left - left.mean()) ** 2).sum())
    return float(np.arctan2(cross.sum(), dot.sum())), float(error)


def predicted_turn(law: Any) -> float:
    """The same angle by the discrete law of one mode of heavy ball."""
    p = law.problem
    eta, beta, h = p.learning_rate, p.momentum, float(p.stiffness[0])
    step = np.array([[1 - eta * h, eta * beta], [-h, beta]])
    speed = float(law.velocity_variance[0])
    covariance = [[float(law.position_variance[0]), eta / 2 * speed], [eta / 2 * speed, speed]]
    root = np.linalg.cholesky(np.array(covariance))
    w = np.linalg.solve(root, step @ root)
    return float(np.arctan2(w[1, 0] - w[0, 1], w[0, 0] + w[1, 1]))


def slow_share(mode: dict[str, Any], lags: list[int], name: str = "x") -> float:
    """s of r = (1 − s)·law + s that fits lags up to 10: a share of x² (or v²) that does not forget in that time.

    >>> slow_share({"x": [0.6, 0.2], "x_law": [0.5, 0.0]}, [1, 2])
    0.2
    """
    short = np.array(lags) <= 10
    law = np.array(mode[f"{name}_law"])[short]
    return float((np.array(mode[name])[short] - law) @ (1 - law) / ((1 - law) @ (1 - law)))


def _turn(measured: tuple[float, float], predicted: float) -> dict[str, Any]:
    value, error = measured
    low, high = value - STUDENT * error, value + STUDENT * error
    inside = "yes" if low <= predicted <= high else "no"
    return {"turn": value, "turn_low": low, "turn_high": high, "turn_predicted": predicted, "inside": inside}


def _period(law: Any) -> float | None:
    a, b = float(law.recursion.a[0]), float(law.recursion.b[0])
    cosine = (1 + b - a) / (2 * np.sqrt(b))
    return float(2 * np.pi / np.arccos(cosine)) if abs(cosine) < 1 else None


def _said(found: dict[str, Any]) -> list[str]:
    turns = [m for m in found["modes"] if m["turn"] is not None and m["turn_predicted"] is not None]
    inside = sum(m["inside"] == "yes" for m in turns)
    said = [f"{inside} of {len(turns)} predicted turns lie inside the measured interval."] if turns else []
    other = [m for m in turns if m["turn_unseen"] is not None]
    if other:
        held = sum(m["turn_low"] <= m["turn_unseen"] <= m["turn_high"] for m in other)
        parts = [m["unseen"] / m["curvature"] for m in other]
        said.append(
            f"On images that the Hessian was not of, curvature along its eigenvectors is {min(parts):.2f} to "
            f"{max(parts):.2f} of it; with that curvature {held} of {len(other)} turns are inside."
        )
    for name, word in (("x", "position"), ("v", "velocity")):
        z = np.array([value for m in found["modes"] for value in m[f"{name}_z"] if value is not None])
        if len(z):
            said.append(
                f"Of {len(z)} autocorrelations of {word}, {int((np.abs(z) < 2).sum())} are within two standard errors "
                f"of the discrete law; the largest |z| is {np.abs(z).max():.1f}."
            )
    x, v = ([100 * slow_share(m, found["lags"], name) for m in found["modes"]] for name in "xv")
    said.append(
        f"Beside the law's, positions have a part not forgotten in ten steps, {min(x):.0f} to {max(x):.0f} % "
        f"of x²; of v² such a part would be {min(v):.0f} to {max(v):.0f} %."
    )
    gaps = [abs(a - b) for m in found["modes"] for a, b in zip(m["x_law"], m["x_flow"], strict=True)]
    said.append(f"The two laws themselves differ by at most {max(gaps):.2g} here.")
    return said


if __name__ == "__main__":
    main("oscillation", recipe, Settings(), FULL)
