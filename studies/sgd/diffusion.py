"""R1: how far a trained ResNet-18 wanders at a constant learning rate under three sampling orders, and how fast.

From one checkpoint at rest, E‖θ_{k+t} − θ_k‖² ∝ t^c. Measured over all origins, from the recorder's sketch, with an
interval: displacement and local exponent c(t) = d ln E‖Δ_t‖²/d ln t; and exactly, the distance from the checkpoint.
Predicted from the curvature (leading eigenpairs and spectral density, BatchNorm as in training) and the noise at the
checkpoint: discrete law (independent batches), Langevin, epoch law (reshuffled), same-order law (periodic);
and `free`, the same noise without any curvature: what independent batches do to flat directions, η²tr C/(1 − β)² a
step in the long run.

drift     Measured displacement holds motion that no fluctuation about a minimum makes. Its share at lag t is
          t²η²⟨v̄₁, v̄₂⟩/E‖Δ_t‖², v̄ the mean velocity of each half of the run: independent noise has product 0.
virial    2⟨θ − θ_ref, g⟩/(η(1 + β)‖v‖²) = 1 at equilibrium under independent batches, whatever the loss; 0 for modes
          that diffuse freely: about the share of ‖v‖² in directions that have equilibrated, if nothing drifts.

Source: Kunin et al., arXiv:2107.09133, figure 1 (ImageNet, width 64, one run each: c = 1.08 for ResNet-18, and .73 for
a precursor on CIFAR-100); neither fits this machine. There the sampling order was the same in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from studies.sgd.common import Place, Report, Run, main, ratio
from studies.sgd.network import FULL, Network, Settings

from limen.measure.dynamics.attach import attached
from limen.measure.recorder.read import read_run
from limen.theory.sgd import Modes, discrete, epoch, langevin, same_order_displacement
from limen.verdict.dynamics.problem import run_problem

SAMPLINGS = ("iid", "reshuffle", "same-order")
BLOCKS = 8
COLUMNS = ("discrete", "langevin", "epoch", "same-order", "free")
LAGS = (1, 4, 16, 64, 128, 256, 512, 1024, 4096)


@dataclass(frozen=True)
class Predicted:
    """Displacement of the whole network at some lags by each law, between any two times at equilibrium."""

    problem: Modes
    steps_per_epoch: int

    def laws(self, lags: np.ndarray) -> dict[str, np.ndarray]:
        """By name [T]."""
        p, m = self.problem, self.steps_per_epoch
        return {
            "discrete": discrete(p).displacement(lags),
            "langevin": langevin(p).displacement(lags),
            "epoch": epoch(p, m).displacement(lags),
            "same-order": same_order_displacement(p, m, lags),
            "free": discrete(replace(p, curvature=np.zeros(len(p.curvature)), weight_decay=0.0)).displacement(lags),
        }


def recipe(place: Place, settings: Settings) -> Report:
    """Three continuations of one checkpoint, measured beside four laws."""
    report = Report("R1 diffusion: a trained ResNet-18 at a constant learning rate under three sampling orders")
    network = Network(place, settings)
    start = place.part("start", [settings], lambda: described(network))
    report.table(
        ["training loss", "error", "test loss", "error", "leading eigenvalues", "edge 2(1 + β)/η", "tr Σ",
         "noise slope"],
        [[start["loss"], start["error"], start["test_loss"], start["test_error"],
          ", ".join(f"{value:.3g}" for value in start["eigenvalues"]), start["edge"], start["trace"], start["slope"]]],
        f"Checkpoint; {start['converged']} of {len(start['eigenvalues'])} pairs converged, BatchNorm as in training",
    )  # fmt: skip
    found = {}
    for sampling in SAMPLINGS:
        run = settings.run(sampling=sampling)
        found[sampling] = place.part("displacement", [settings, run], partial(_continued, network, run))
        _shown(report, sampling, found[sampling])
    report.say(*_said(found))
    return report


def _continued(network: Network, run: Run) -> dict[str, Any]:
    return analysed(network.continued(run))


def described(network: Network) -> dict[str, Any]:
    """Losses and what was measured at the checkpoint."""
    s, (curvature, noise) = network.settings, network.measured
    train = network.mean_loss(network.model(), network.images, min(2048, s.examples))
    test = network.mean_loss(network.model(), network.test_images, s.test)
    return {
        "loss": train[0], "error": train[1], "test_loss": test[0], "test_error": test[1],
        "eigenvalues": curvature.eigenvalues, "residuals": curvature.residuals,
        "converged": int(curvature.converged.sum()), "edge": 2 * (1 + s.momentum) / s.learning_rate,
        "trace": noise.trace.value, "slope": noise.slope.value, "variance": noise.variance,
        "products": curvature.products, "seconds": curvature.seconds, "noise_seconds": noise.seconds,
    }  # fmt: skip


def analysed(folder: Path) -> dict[str, Any]:
    """Displacements, exponents and laws at some lags; drift, virial and the verdict of `limen dynamics`."""
    import limen

    verdict = limen.dynamics(folder)
    trajectory = read_run(folder)
    problem = run_problem(trajectory, *attached(folder))
    assert problem.whole is not None
    assert problem.steps_per_epoch is not None
    stable = _stable(problem.whole)
    wanted = [lag for lag in LAGS if lag <= len(trajectory.step) // 2]
    kept = [min(verdict.lags, key=lambda at: abs(np.log(at.lag / lag))) for lag in wanted]
    lags = np.array([at.lag for at in kept])
    predicted = Predicted(stable, problem.steps_per_epoch)
    laws = predicted.laws(lags)
    around = [predicted.laws(np.maximum(1, np.round(lags * factor).astype(int))) for factor in (0.8, 1.25)]
    width = np.log(np.maximum(1, np.round(lags * 1.25)) / np.maximum(1, np.round(lags * 0.8)))
    return {
        "sketch_tests": [sum(t.name == "sketch" for t in trajectory.info.self_tests), sum(
            t.name == "sketch" and not t.passed for t in trajectory.info.self_tests)],
        "steps": len(trajectory.step), "steps_per_epoch": problem.steps_per_epoch, "law": verdict.law,
        "verdict": verdict.verdict, "reason": verdict.reason, "warnings": verdict.warnings,
        "unequilibrated": verdict.unequilibrated_modes,
        "modes_beyond_the_edge": len(problem.whole.curvature) - len(stable.curvature),
        "lags": lags, "displacement": [_numbers(at.measured) for at in kept],
        "exponent": [_numbers(at.exponent) for at in kept], "laws": laws,
        "law_exponents": {name: _slope(around[0][name], around[1][name], width) for name in laws},
        "drift": drift(trajectory, lags), "virial": virial(trajectory), **course(trajectory),
        "from_checkpoint": from_checkpoint(trajectory, lags), "fixed": discrete(stable).displacement(lags, "fixed"),
        "local": float(np.mean(trajectory.step_norm2[len(trajectory.step) // 2 :])),
    }  # fmt: skip


def drift(trajectory: Any, lags: np.ndarray) -> list[float]:
    """t²η²⟨v̄₁, v̄₂⟩ [T]: squared distance that the velocity common to both halves of the run covers in t steps."""
    half = len(trajectory.sketch) // 2
    common = float(
        trajectory.sketch[:half].mean(axis=0, dtype=float) @ trajectory.sketch[half:].mean(axis=0, dtype=float)
    )
    return [float((lag * trajectory.info.learning_rate) ** 2 * common) for lag in lags]


def virial(trajectory: Any) -> list[float]:
    """2⟨θ − θ_ref, g⟩/(η(1 + β)‖v‖²) over the second half of the run, and its jackknife error over blocks."""
    half = len(trajectory.step) // 2
    length = half // BLOCKS
    above, below = (
        series[-BLOCKS * length :].reshape(BLOCKS, length).sum(axis=1)
        for series in (trajectory.offset_dot_gradient, trajectory.velocity_norm2)
    )
    scale = 2 / (trajectory.info.learning_rate * (1 + trajectory.info.momentum))
    left = scale * (above.sum() - above) / (below.sum() - below)
    error = np.sqrt((BLOCKS - 1) / BLOCKS * ((left - left.mean()) ** 2).sum())
    return [float(scale * above.sum() / below.sum()), float(error)]


def course(trajectory: Any) -> dict[str, list[float]]:
    """Means over the first and the last sixth of the run: loss of a batch, and ‖g‖² of its gradient."""
    part = len(trajectory.step) // 6
    ends = (slice(None, part), slice(-part, None))
    return {
        "losses": [float(trajectory.loss[end].mean()) for end in ends],
        "gradients": [float(trajectory.gradient_norm2[end].mean()) for end in ends],
    }


def from_checkpoint(trajectory: Any, lags: np.ndarray) -> list[float]:
    """‖θ_t − θ_0‖², exact."""
    at = {int(step): float(value) for step, value in zip(trajectory.step, trajectory.offset_norm2, strict=True)}
    return [at[int(lag)] for lag in lags]


def _stable(problem: Modes) -> Modes:
    """Modes below the edge of stability: no law has an equilibrium for the others."""
    kept = problem.learning_rate * problem.stiffness < 2 * (1 + problem.momentum)
    cut = {name: getattr(problem, name)[kept] for name in ("curvature", "noise", "offset", "weight")}
    return replace(problem, **cut)


def _numbers(estimate: Any) -> list[float | None]:
    return [estimate.value, estimate.low, estimate.high]


def _slope(below: np.ndarray, above: np.ndarray, width: np.ndarray) -> list[float | None]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return [float(s) if np.isfinite(s) else None for s in np.log(above / below) / width]


def _own(found: dict[str, Any]) -> str:
    return str(found["law"])


def _shown(report: Report, sampling: str, found: dict[str, Any]) -> None:
    laws, own = found["laws"], _own(found)
    rows = []
    for i, lag in enumerate(found["lags"]):
        value, low, high = found["displacement"][i]
        slope, slope_low, slope_high = found["exponent"][i]
        rows.append([
            lag, value, (low, high), *(laws[name][i] for name in COLUMNS),
            ratio(value, laws[own][i]), slope, (slope_low, slope_high), found["law_exponents"][own][i],
            found["drift"][i] / value, found["from_checkpoint"][i],
            ratio(found["from_checkpoint"][i], found["fixed"][i]),
        ])  # fmt: skip
    report.table(
        ["lag", "E‖Δ‖²", "95 %", *COLUMNS, f"measured/{own}", "c", "95 %",
         f"c {own}", "drift's share", "from the checkpoint", "over discrete"],
        rows, f"**{sampling}**: {found['steps']} steps, {found['steps_per_epoch']} an epoch; `limen dynamics`: "
        f"{found['verdict']}; sketch outside its tolerance in {found['sketch_tests'][1]} of {found['sketch_tests'][0]} "
        f"self-tests; virial {found['virial'][0]:.3f} ± {found['virial'][1]:.3f}; loss of a batch "
        f"{found['losses'][0]:.3f} → {found['losses'][1]:.3f}, "
        f"‖g‖² of its gradient {found['gradients'][0]:.3g} → {found['gradients'][1]:.3g}",
    )  # fmt: skip


def _said(found: dict[str, dict[str, Any]]) -> list[str]:
    said = []
    for sampling, one in found.items():
        own = _own(one)
        ratios = [ratio(d[0], law) for d, law in zip(one["displacement"], one["laws"][own], strict=True)]
        short, long = ratios[0], ratios[-1]
        share = one["drift"][-1] / one["displacement"][-1][0]
        c = one["exponent"][-1][0]
        said.append(
            f"Under {sampling} sampling one step is {_times(short)} the {own} law's and {one['lags'][-1]} steps are "
            f"{_times(long)} it; c ends at {c:.2f} (law: {_maybe(one['law_exponents'][own][-1])}), "
            f"and a steady drift makes {100 * share:.0f} % of the longest displacement."
        )
    iid = found["iid"]
    share = ratio(iid["displacement"][-1][0], iid["laws"]["free"][-1])
    said.append(
        f"With independent batches the longest displacement is {_times(share)} that of noise without curvature."
    )
    last = {name: one["displacement"][-1][0] for name, one in found.items()}
    order = sorted(last, key=lambda name: -last[name])
    said.append("Furthest to least far: " + ", ".join(f"{name} ({last[name]:.3g})" for name in order) + ".")
    rise = [one["gradients"][1] / one["gradients"][0] for one in found.values()]
    said.append(
        f"The checkpoint is no equilibrium: from the first to the last sixth of the runs ‖g‖² of a batch became "
        f"{min(rise):.2g} to {max(rise):.2g} times what it was, while the laws keep the checkpoint's noise."
        if min(abs(np.log(r)) for r in rise) > 0.1
        else "‖g‖² of a batch stayed within 10 %."
    )
    if any(one["verdict"] != "stationary" for one in found.values()):
        said.append(
            "Not every run is stationary by the recorded modes: laws of equilibrium are shown beside, not tested."
        )
    return said


def _times(value: float | None) -> str:
    return "without a prediction by" if value is None else f"{value:.2g} times"


def _maybe(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main("diffusion", recipe, Settings(), FULL)
