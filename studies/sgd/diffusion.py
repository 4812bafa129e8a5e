"""R1: how far a trained network wanders at a constant learning rate under three sampling orders, and how fast.

From one checkpoint at rest, E‖θ_{k+t} − θ_k‖² ∝ t^c. Measured over all origins after a burn-in, from the recorder's
sketch: displacement and exponent c(t) = ln(D(2t)/D(t/2))/ln 4 (from 1 at t = 1); and exactly, the distance from the
checkpoint. Errors and z are Student's over seeds, or over 8 blocks of one run up to lags of half a block.
Predicted from the noise and the curvature at the checkpoint: discrete law (independent batches), Langevin, epoch law
(reshuffled), same-order law (periodic), each with the slope between the same lags; and `free`, the same noise without
any curvature: what independent batches do to flat directions, η²tr C/(1 − β)² a step in the long run. Noise outside
the recorded modes is ∝ curvature, the paper's assumption, unless these span a decade and so tell its slope. Curvature
is leading eigenpairs and spectral density (BatchNorm as in training), or every eigenpair of a small network, with
curvature and noise averaged over the path of another run (at the checkpoint alone: beside it).

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
from typing import Any

import numpy as np
import scipy.stats
from studies.sgd.common import Place, Report, Run, main, ratio, z_of
from studies.sgd.network import ARMS, FULL, Network, Settings

from limen.measure.dynamics.attach import attached
from limen.measure.recorder.read import read_run
from limen.records.estimate import not_identified
from limen.records.gradient_noise import GradientNoise
from limen.theory.sgd import Modes, discrete, epoch, langevin, same_order_displacement
from limen.verdict.dynamics.problem import run_problem

SAMPLINGS = ("iid", "reshuffle", "same-order")
OWN = {"iid": "discrete", "reshuffle": "epoch", "same-order": "same-order"}
BLOCKS = 8
SPAN = 10.0
"""Ratio of the recorded modes' curvatures from which their slope of noise is carried over to the bulk."""
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

    def from_rest(self, own: str, lags: np.ndarray) -> list[float | None]:
        """Distance from the minimum where a run began at rest, at the start of an epoch [T]; one order for ever only
        within its first epoch, where it is any reshuffling's."""
        if own == "discrete":
            return [float(value) for value in discrete(self.problem).displacement(lags, "fixed")]
        found = epoch(self.problem, self.steps_per_epoch).displacement(lags, "fixed")
        known = (lags <= self.steps_per_epoch) | (own == "epoch")
        return [float(value) if ok else None for value, ok in zip(found, known, strict=True)]


def recipe(place: Place, settings: Settings) -> Report:
    """Three continuations of one checkpoint (or several of each kind), measured beside the laws."""
    name = "a small network without kinks or BatchNorm" if settings.architecture == "mlp" else "a trained ResNet-18"
    report = Report(f"R1 diffusion: {name} at a constant learning rate under three sampling orders")
    network = Network(place, settings)
    start = place.part("start", [settings], lambda: described(network))
    report.table(
        ["training loss", "error", "test loss", "error", "leading eigenvalues", "edge 2(1 + β)/η", "tr Σ",
         "noise slope"],
        [[start["loss"], start["error"], start["test_loss"], start["test_error"],
          ", ".join(f"{value:.3g}" for value in start["eigenvalues"][:6]), start["edge"], start["trace"],
          start["slope"]]],
        f"Checkpoint; {start['converged']} of {len(start['eigenvalues'])} pairs converged, BatchNorm as in training",
    )  # fmt: skip
    found = {}
    for sampling in SAMPLINGS:
        runs = [settings.run(sampling=sampling, seed=settings.seed + seed) for seed in range(settings.seeds)]
        given = [settings, runs, LAGS, *([] if settings.architecture == "mlp" else [SPAN])]
        found[sampling] = place.part("moved", given, partial(_continued, network, runs))
        _shown(report, sampling, found[sampling])
    report.say(*_said(found))
    return report


def _continued(network: Network, runs: list[Run]) -> dict[str, Any]:
    each = [analysed(network, run) for run in runs]
    return {**each[0], **joined(each), "runs": len(each)}


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


def analysed(network: Network, run: Run) -> dict[str, Any]:
    """Displacements, exponents and laws of one run at some lags; drift, virial and the verdict of `limen dynamics`."""
    import limen

    folder, burn = network.continued(run), network.settings.burn
    verdict = limen.dynamics(folder)
    trajectory = read_run(folder)
    curvature, noise = attached(folder)
    assert noise is not None
    problem = run_problem(trajectory, curvature, proportional(noise))
    exact = network.exact or {"trace_error": 0.0}
    whole = exact.get("path", problem.whole)
    assert whole is not None
    assert problem.steps_per_epoch is not None
    stable, own = _stable(whole), OWN[run.sampling]
    predicted = Predicted(stable, problem.steps_per_epoch)
    lags = np.array([lag for lag in LAGS if lag <= (len(trajectory.step) - burn) // 2])
    path = trajectory.info.learning_rate * np.cumsum(trajectory.sketch, axis=0, dtype=np.float64)
    laws = predicted.laws(lags)
    below, above = (predicted.laws(at) for at in _around(lags))
    bare = Predicted(exact["checkpoint"], problem.steps_per_epoch).laws(lags)[own] if network.exact else None
    sketch = [test.passed for test in trajectory.info.self_tests if test.name == "sketch"]
    return {
        "sketch_tests": [len(sketch), sum(not passed for passed in sketch)],
        "steps": len(trajectory.step), "burn": burn, "steps_per_epoch": problem.steps_per_epoch, "law": own,
        "verdict": verdict.verdict, "reason": verdict.reason, "p": verdict.p_value, "warnings": verdict.warnings,
        "unequilibrated": verdict.unequilibrated_modes, "heat": _heat(verdict),
        "modes_beyond_the_edge": len(whole.curvature) - len(stable.curvature),
        "trace_error": exact["trace_error"],
        "checkpoint": bare,
        "lags": lags, "units": in_blocks(path[burn:], lags), "laws": laws,
        "law_exponents": {name: _exponents(below[name], above[name], lags) for name in laws},
        "drift": drift(trajectory, lags), "virial": virial(trajectory), **course(trajectory),
        "from_checkpoint": from_checkpoint(trajectory, lags), "fixed": predicted.from_rest(own, lags),
        "local": float(np.mean(trajectory.step_norm2[len(trajectory.step) // 2 :])),
    }  # fmt: skip


def proportional(noise: GradientNoise) -> GradientNoise:
    """The same, its slope held for unknown (then the bulk's noise is ∝ curvature) where its modes span too little.

    A slope over a third of an octave, carried three decades down, moves a displacement by factors.
    """
    rising = noise.eigenvalues[noise.eigenvalues > 0]
    if len(rising) and rising.max() >= SPAN * rising.min():
        return noise
    return replace(noise, slope=not_identified(f"modes span less than a factor {SPAN:g} of curvature"))


def in_blocks(path: np.ndarray, lags: np.ndarray) -> dict[str, Any]:
    """Displacement and exponent over all origins [T], and over those of each block [BLOCKS, T]; NaN where lags do not
    fit: beyond the path, and beyond half a block."""
    low, high = _around(lags)
    every = np.unique(np.concatenate([low, lags, high]))
    parts = [path, *np.array_split(path, BLOCKS)]
    found = np.array([[_moved(part, lag, len(part) // (1 if i == 0 else 2)) for lag in every]
                      for i, part in enumerate(parts)])  # fmt: skip
    at = {int(lag): found[:, i] for i, lag in enumerate(every)}
    values = np.array([at[int(lag)] for lag in lags]).T
    slopes = np.array([_exponents(at[int(a)], at[int(b)], t) for a, b, t in zip(low, high, lags, strict=True)]).T
    return {"whole": [values[0], slopes[0]], "blocks": [values[1:], slopes[1:]]}


def joined(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds with Student's errors over them; of one run, over its blocks."""
    numbers: dict[str, Any] = {}
    for i, name in enumerate(("displacement", "exponent")):
        whole = np.array([one["units"]["whole"][i] for one in each], dtype=float)
        units = whole if len(each) > 2 else np.concatenate([np.array(one["units"]["blocks"][i]) for one in each])
        error = units.std(axis=0, ddof=1) / np.sqrt(len(units))
        half = scipy.stats.t.ppf(0.975, len(units) - 1) * error
        mean = whole.mean(axis=0)
        numbers |= {name: [[m, m - h, m + h] for m, h in zip(mean, half, strict=True)], f"{name}_error": error}
    far = np.array([one["from_checkpoint"] for one in each])
    return numbers | {
        "from_checkpoint": far.mean(axis=0), "drift": np.mean([one["drift"] for one in each], axis=0),
        "virial": [np.mean([one["virial"][0] for one in each]),
                   np.sqrt(np.sum([one["virial"][1] ** 2 for one in each])) / len(each)],
        "verdicts": {v: sum(one["verdict"] == v for one in each) for v in dict.fromkeys(o["verdict"] for o in each)},
        "heat": [part for one in each for part in one["heat"]], "p": [one["p"] for one in each],
        "sketch_tests": [sum(one["sketch_tests"][i] for one in each) for i in (0, 1)],
        "losses": np.mean([one["losses"] for one in each], axis=0),
        "gradients": np.mean([one["gradients"] for one in each], axis=0),
    }  # fmt: skip


def _around(lags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(1, lags // 2), 2 * lags


def _exponents(below: Any, above: Any, lags: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(above / below) / np.log(2 * lags / np.maximum(1, lags // 2))
    return np.where(np.isfinite(found), found, np.nan)


def _moved(path: np.ndarray, lag: int, most: int) -> float:
    """Mean over origins of ‖q_{k+t} − q_k‖²."""
    if lag > most:
        return float("nan")
    apart = path[lag:] - path[:-lag]
    return float(np.einsum("ij,ij->", apart, apart) / len(apart))


def _heat(verdict: Any) -> list[list[float]]:
    """Temperature over the law's, and z, of each mode that has equilibrated."""
    found = [(mode.temperature.measured.value, mode.temperature) for mode in verdict.modes]
    return [[value / at.predicted, at.z] for value, at in found if value and at.predicted and at.z is not None]


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
    """Modes below the edge of stability that do not fall: no law has an equilibrium for the others."""
    kept = (problem.learning_rate * problem.stiffness < 2 * (1 + problem.momentum)) & (problem.stiffness >= 0)
    cut = {name: getattr(problem, name)[kept] for name in ("curvature", "noise", "offset", "weight")}
    return replace(problem, **cut)


def _shown(report: Report, sampling: str, found: dict[str, Any]) -> None:
    laws, own = found["laws"], found["law"]
    rows = []
    for i, lag in enumerate(found["lags"]):
        value, low, high = found["displacement"][i]
        error = np.hypot(found["displacement_error"][i] or np.nan, found["trace_error"] * laws[own][i])
        slope, slope_low, slope_high = found["exponent"][i]
        predicted, bend = laws[own][i], found["law_exponents"][own][i]
        rows.append([
            lag, value, (low, high), ratio(value, predicted), _z(value, error, predicted),
            *(laws[name][i] for name in COLUMNS), slope, (slope_low, slope_high), bend,
            _z(slope, found["exponent_error"][i], bend), found["drift"][i] / value, found["from_checkpoint"][i],
            ratio(found["from_checkpoint"][i], found["fixed"][i]),
        ])  # fmt: skip
    verdicts = ", ".join(f"{name} {count} of {found['runs']}" for name, count in found["verdicts"].items())
    report.table(
        ["lag", "E‖Δ‖²", "95 %", f"measured/{own}", "z", *COLUMNS, "c", "95 %", f"c {own}", "z", "drift's share",
         "from the checkpoint", f"over {own} from rest"],
        rows, f"**{sampling}**: {found['steps']} steps, {found['burn']} of them left out, "
        f"{found['steps_per_epoch']} an epoch; `limen dynamics`: {verdicts}{_modes(found)}; sketch outside its "
        f"tolerance in {found['sketch_tests'][1]} of {found['sketch_tests'][0]} "
        f"self-tests; virial {found['virial'][0]:.3f} ± {found['virial'][1]:.3f}; loss of a batch "
        f"{found['losses'][0]:.3f} → {found['losses'][1]:.3f}, "
        f"‖g‖² of its gradient {found['gradients'][0]:.3g} → {found['gradients'][1]:.3g}",
    )  # fmt: skip


def _modes(found: dict[str, Any]) -> str:
    if not found["heat"]:
        return f" ({found['reason']})"
    over, z = np.array(found["heat"]).T
    within = int((np.abs(z) < 2).sum())
    return (
        f" ({found['reason']}; temperature of {len(z)} modes {over.min():.2g} to {over.max():.2g} of the law's, "
        f"{within} of them with |z| < 2)"
    )


def _z(measured: float | None, error: float | None, predicted: float | None) -> float | None:
    if measured is None or error is None or predicted is None or not np.isfinite(error):
        return None
    return z_of(measured, error, predicted)


def _said(found: dict[str, dict[str, Any]]) -> list[str]:
    said = []
    for sampling, one in found.items():
        own, last = one["law"], len(one["lags"]) - 1
        ratios = [ratio(d[0], law) for d, law in zip(one["displacement"], one["laws"][own], strict=True)]
        share = one["drift"][-1] / one["displacement"][-1][0]
        bent = max((i for i in range(last + 1) if one["exponent"][i][0] is not None), default=0)
        if one["checkpoint"]:
            bare = [ratio(d[0], law) for d, law in zip(one["displacement"], one["checkpoint"], strict=True)]
            said.append(
                f"Under {sampling} sampling the law with curvature and noise of the checkpoint alone would make these "
                f"ratios {bare[0]:.3f} at one step and {bare[-1]:.3f} at the last lag."
            )
        said.append(
            f"Under {sampling} sampling one step is {_times(ratios[0])} the {own} law's and {one['lags'][-1]} steps "
            f"are {_times(ratios[-1])} it; c at lag {one['lags'][bent]} is {_maybe(one['exponent'][bent][0])} (law: "
            f"{_maybe(one['law_exponents'][own][bent])}), and "
            + (
                f"a steady drift makes {100 * share:.0f} % of the longest displacement."
                if share > 0
                else "both halves of the run share no drift."
            )
        )
    iid = found["iid"]
    share = ratio(iid["displacement"][-1][0], iid["laws"]["free"][-1])
    said.append(
        f"With independent batches the longest displacement is {_times(share)} that of noise without curvature."
    )
    ends = {name: one["displacement"][-1][0] for name, one in found.items()}
    order = sorted(ends, key=lambda name: -ends[name])
    said.append("Furthest to least far: " + ", ".join(f"{name} ({ends[name]:.3g})" for name in order) + ".")
    rise = [one["gradients"][1] / one["gradients"][0] for one in found.values()]
    said.append(
        f"The checkpoint is no equilibrium: from the first to the last sixth of the runs ‖g‖² of a batch became "
        f"{min(rise):.2g} to {max(rise):.2g} times what it was, while the laws keep the checkpoint's noise."
        if max(abs(np.log(r)) for r in rise) > 0.1
        else "‖g‖² of a batch stayed within 10 %."
    )
    tested = [name for name, one in found.items() if one["verdicts"].get("stationary", 0) == one["runs"]]
    said.append(
        f"Stationary by the recorded modes in every run: {', '.join(tested) or 'none'}; elsewhere laws of equilibrium "
        "are shown beside, not tested."
    )
    return said


def _times(value: float | None) -> str:
    return "without a prediction by" if value is None else f"{value:.2g} times"


def _maybe(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main("diffusion", recipe, Settings(), FULL, ARMS)
