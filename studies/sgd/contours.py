"""R4: the path of a network in the plane of a sharp and a weak eigenvector, against the contours of three surfaces.

On the plane θ_0 + au₁ + bu_w: the training loss, the test loss (both in batches as training sees them) and the modified
loss Ψ ∝ Σ (1 + λ/ρ)(x − μ)²/(η(1 + β)), whose contours are circles up to weight decay. Extents of the path follow

    loss            sd₁/sd_w = √(h_w/h₁)                       a Boltzmann law of the loss: anisotropic
    modified loss   sd₁/sd_w = √((ρ₁/h₁)/(ρ_w/h_w)) ≈ 1       Σ ∝ H: isotropic
    discrete law    Var x of each with its measured noise      and over the window seen, (1/T) Σ_{k<T} (1 − k/T) D(k),
                    D(k) the displacement: what a path too short for a weak mode can show of its variance

Curvatures of the measured surfaces along both axes come from a least-squares quadratic over the grid, beside the
Hessian's.

Source: Kunin et al., arXiv:2107.09133, figures 4 and 5 (ImageNet; u₁ and u₃₀; extents about 8e-3 and 9e-3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from studies.sgd.common import Place, Report, main, ratio
from studies.sgd.network import FULL, Network, Settings

from limen.measure.dynamics.attach import attached
from limen.measure.recorder.read import read_run
from limen.theory.sgd import Modes, discrete
from limen.verdict.dynamics.problem import run_problem

GRID = 5
"""Points an axis."""
IMAGES = 1024
"""Training and test images behind each point, at most."""
DEEP = Settings(modes=16, curvature_examples=128, probes=2, probe_steps=5)
"""The checkpoint of the other recipes with more eigenvectors, of fewer images: the last one is the weak one."""


def recipe(place: Place, settings: Settings) -> Report:
    """Extents of the continuation with independent batches, and curvatures of both surfaces in the same plane."""
    report = Report("R4 contours: a path against the contours of training loss, test loss and modified loss")
    network = Network(place, settings)
    run = settings.run(sampling="iid")
    spread = place.part("spread", [settings, run], lambda: spreads(network))
    grid = place.part("grid", [settings, run, GRID, IMAGES], lambda: surfaces(network, spread))
    first, weak = spread["modes"]
    errors = [_share_error(settings, mode, spread["window"]) for mode in (first, weak)]
    spreading = [mode["measured"] * error for mode, error in zip((first, weak), errors, strict=True)]
    aspect = first["measured"] / weak["measured"]
    heads = [f"along {name} (ρ = {mode['curvature']:.3g})" for name, mode in (("u₁", first), ("the weak one", weak))]
    report.table(
        ["quantity", *heads, "ratio"],
        [
            ["measured sd", first["measured"], weak["measured"], aspect],
            ["± (1 s.e. of a path of the law's memory)", *spreading, aspect * float(np.hypot(errors[0], errors[1]))],
            ["from the loss, √(h_w/h₁)", None, None, spread["by_loss"]],
            ["from the modified loss", None, None, spread["by_modified"]],
            ["discrete law, equilibrium", first["law"], weak["law"], ratio(first["law"], weak["law"])],
            ["discrete law, in this window", first["window"], weak["window"], ratio(first["window"], weak["window"])],
            ["relaxation, steps", first["relaxation"], weak["relaxation"], None],
            ["largest distance from the checkpoint", first["far"], weak["far"], ratio(first["far"], weak["far"])],
        ],
        f"Extent of the path over {spread['window']} steps after {spread['settled']}",
    )  # fmt: skip
    report.table(
        ["surface", "curvature along u₁", "along the weak one", "√ of their ratio", "least at (a, b)"],
        [["training loss", *grid["train"]["curvature"], grid["train"]["aspect"], tuple(grid["train"]["lowest"])],
         ["test loss", *grid["test"]["curvature"], grid["test"]["aspect"], tuple(grid["test"]["lowest"])],
         ["Hessian of the training loss", first["curvature"], weak["curvature"],
          float(np.sqrt(first["curvature"] / weak["curvature"])), None]],
        f"Quadratic fitted to {GRID}×{GRID} losses over the path's extent",
    )  # fmt: skip
    report.say(*_said(spread, grid))
    return report


def _share_error(settings: Settings, mode: dict[str, Any], window: int) -> float:
    """Standard error of a measured standard deviation over itself, √(Σ_j r(j)²/(2T)), r the discrete law's."""
    one = np.array([mode["curvature"]])
    law = discrete(Modes(one, one, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay))
    memory = law.position_autocorrelation(np.arange(1, window))[:, 0]
    return float(np.sqrt((1 + 2 * (memory**2).sum()) / (2 * window)))


def spreads(network: Network) -> dict[str, Any]:
    """Standard deviation of positions along the first and the weakest rising recorded mode, and what each law says."""
    s = network.settings
    folder = network.continued(s.run(sampling="iid"))
    trajectory = read_run(folder)
    problem = run_problem(trajectory, *attached(folder))
    assert problem.variances is not None
    rho = np.asarray(trajectory.info.eigenvalues)
    settled = len(trajectory.step) // 4
    window = len(trajectory.step) - settled
    first, weak = 0, int(np.flatnonzero(rho > 0)[-1])
    found = []
    for i in (first, weak):
        x = trajectory.positions[settled:, i].astype(np.float64)
        one = {"index": i, "curvature": rho[i], "measured": x.std(), "far": np.abs(trajectory.positions[:, i]).max(),
               "centre": x.mean(), "law": None, "window": None, "relaxation": None}  # fmt: skip
        modes = problem.modes(problem.variances)
        edge = 2 * (1 + s.momentum) / s.learning_rate
        if modes.stiffness[i] < edge:
            law = discrete(_single(modes, i))
            lags = np.arange(1, window)
            seen = law.mode_displacement(lags)[:, 0] @ (1 - lags / window) / window
            one |= {"law": float(np.sqrt(law.position_variance[0])), "window": float(np.sqrt(seen)),
                    "relaxation": float(law.relaxation_steps[0])}  # fmt: skip
        found.append(one)
    h = rho[[first, weak]] + s.weight_decay
    return {
        "modes": found, "settled": settled, "window": window, "by_loss": float(np.sqrt(h[1] / h[0])),
        "by_modified": float(np.sqrt((rho[first] / h[0]) / (rho[weak] / h[1]))),
    }  # fmt: skip


def surfaces(network: Network, spread: dict[str, Any]) -> dict[str, Any]:
    """Training and test loss on the grid that the path spans, and the quadratic through each."""
    curvature, _ = network.measured
    modes = spread["modes"]
    reach = [max(2 * mode["measured"], abs(mode["centre"])) for mode in modes]
    axes = [np.linspace(-2, 2, GRID) * r for r in reach]
    model = network.model()
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    u = [torch.from_numpy(np.ascontiguousarray(curvature.vectors[mode["index"]])) for mode in modes]
    values: dict[str, list[list[float]]] = {"train": [], "test": []}
    count = min(IMAGES, network.settings.test, network.settings.examples)
    for a in axes[0]:
        rows: dict[str, list[float]] = {"train": [], "test": []}
        for b in axes[1]:
            moved = flat + float(a) * u[0] + float(b) * u[1]
            torch.nn.utils.vector_to_parameters(moved, model.parameters())
            rows["train"].append(network.mean_loss(model, network.images, count)[0])
            rows["test"].append(network.mean_loss(model, network.test_images, count)[0])
        for name in values:
            values[name].append(rows[name])
    return {name: {"loss": found, **quadratic(axes, np.array(found))} for name, found in values.items()} | {
        "axes": axes
    }


def quadratic(axes: list[np.ndarray], values: np.ndarray) -> dict[str, Any]:
    """Curvature along both axes of the least-squares quadratic, √ of their ratio, and where the grid is lowest.

    >>> x = np.linspace(-1, 1, 5)
    >>> found = quadratic([x, x], 2 * x[:, None] ** 2 + 0.5 * x**2)
    >>> [round(c, 9) for c in found["curvature"]], round(found["aspect"], 9), found["lowest"]
    ([4.0, 1.0], 2.0, [0.0, 0.0])
    """
    a, b = (g.ravel() for g in np.meshgrid(*axes, indexing="ij"))
    scale = np.array([np.abs(axes[0]).max(), np.abs(axes[1]).max()])
    p, q = a / scale[0], b / scale[1]
    design = np.stack([np.ones_like(p), p, q, p * p, q * q, p * q], axis=1)
    fit = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    curvature = 2 * fit[3:5] / scale**2
    at = int(values.argmin())
    aspect = float(np.sqrt(curvature[0] / curvature[1])) if (curvature > 0).all() else None
    return {"curvature": curvature.tolist(), "aspect": aspect, "lowest": [float(a[at]), float(b[at])]}


def _single(modes: Any, i: int) -> Any:
    cut = {name: getattr(modes, name)[i : i + 1] for name in ("curvature", "noise", "offset", "weight")}
    return replace(modes, **cut)


def _said(spread: dict[str, Any], grid: dict[str, Any]) -> list[str]:
    first, weak = spread["modes"]
    measured = first["measured"] / weak["measured"]
    guesses = {"the loss": spread["by_loss"], "the modified loss": spread["by_modified"]}
    if first["window"] and weak["window"]:
        guesses["the discrete law with measured noise in this window"] = first["window"] / weak["window"]
    near = min(guesses, key=lambda name: abs(np.log(guesses[name] / measured)))
    said = [f"Measured ratio of extents {measured:.3g}; nearest is {near} ({guesses[near]:.3g})."]
    if weak["relaxation"] and spread["window"] < 5 * weak["relaxation"]:
        said.append(
            f"The weak mode relaxes in {weak['relaxation']:.0f} steps: {spread['window']} steps are too few for its "
            "equilibrium."
        )
    moved = abs(weak["centre"]) > 2 * weak["measured"] or abs(first["centre"]) > 2 * first["measured"]
    if moved:
        said.append("The path's centre has moved from the checkpoint by more than two of its standard deviations.")
    train, test = grid["train"]["curvature"], grid["test"]["curvature"]
    said.append(
        f"On the path's scale the training loss has curvature {train[0]:.3g} along u₁ (Hessian "
        f"{first['curvature']:.3g}) and {train[1]:.3g} along the weak one (Hessian "
        f"{weak['curvature']:.3g}); the test loss {test[0]:.3g} and "
        f"{test[1]:.3g}."
    )
    return said


if __name__ == "__main__":
    main("contours", recipe, DEEP, FULL)
