"""R2: spirals in phase space: linear regression on CIFAR-10's pixels along the sharpest direction of its Hessian.

Loss ½ Σ_c (z_c − 1[c = y])² of a linear layer on normalised pixels: exactly quadratic, H = I₁₀ ⊗ E[(x,1)(x,1)ᵀ], every
eigenvalue 10-fold. From (μ + x₀u, v = 0) along the top eigenvector u, heavy ball with batches of S distinct images:

    exact      x_{k+1} = φx_k − βx_{k−1} + ηn,  φ = 1 + β − ηρ;   roots √β e^{±iψ}, cos ψ = φ/(2√β)
    Langevin   e^{−γk}(cos δk + (γ/δ) sin δk),  γ = (1 − β)/(1 + β), δ² = 2ηρ/(1 + β) − γ²
    band       ± 1.96 √Var x, Var x = ηC(1 + β)/((1 − β)ρ(2(1 + β) − ηρ)), C = uᵀΣu/S·(N − S)/(N − 1), uᵀΣu measured

Measured: frequency and envelope from the least-squares recursion over all replicas (given the past, the noise of a step
has mean 0: errors are White's); the mean path over replicas against each law's; the share of the
states inside the band once the path has settled, and the variance there. u is the eigenvector that
`limen.curvature` found.

Source: Kunin et al., arXiv:2107.09133, figure 2: η = 1e-5, S = 512, β = .9, .99, .999, last 2,000 steps of one path
round the mean of its end, σ² set by hand. Here the start, the minimum and the noise are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from studies.sgd.common import NORMAL, Images, Place, Report, Run, cifar, main, ratio, recording, z_of

from limen.theory.sgd import Modes, discrete, langevin

CLASSES = 10
CHUNK = 5000
"""Rows in float64 at once."""


@dataclass(frozen=True)
class Settings:
    """Pairs (learning rate, momentum), batch, replicas of each, steps of each, images, modes asked for."""

    pairs: tuple[tuple[float, float], ...] = ((1e-5, 0.9), (1e-5, 0.99), (1e-5, 0.999), (1e-3, 0.9))
    batch_size: int = 512
    replicas: int = 4
    steps: int = 1000
    examples: int = 20_000
    modes: int = 10
    offset: float = 4.0
    """x₀ in standard deviations of the stationary law."""


FULL = Settings(replicas=20, steps=4000, examples=50_000)
"""All training images; 20 paths of 4,000 steps for each setting."""


def recipe(place: Place, settings: Settings) -> Report:
    """Spectrum and copies found; then one table for each learning rate and momentum."""
    report = Report("R2 spirals: linear regression on CIFAR-10 along its sharpest direction")
    world = World(place, settings)
    found = place.part("spectrum", _key(settings), world.spectrum)
    report.table(
        ["exact eigenvalue (10-fold)", "copies found by limen.curvature", "largest relative error", "converged",
         "products"],
        _copies(found), f"{settings.examples:,} images, {settings.modes} modes asked for",
    )  # fmt: skip
    rows = [_row(place, settings, world, found, pair) for pair in settings.pairs]
    report.table(
        ["η", "β", "ηρ", "measured frequency", "exact", "z", "Langevin", "z", "measured envelope", "exact", "z",
         "Langevin", "z"],
        [row["motion"] for row in rows], "Frequency (radians a step) and envelope (factor a step)",
    )  # fmt: skip
    report.table(
        ["η", "β", "mean path: rms error/x₀, exact", "Langevin", "expected of replicas", "Var x settled", "exact law",
         "ratio", "± (1 s.e.)", "Langevin", "inside the 95 % band", "settled steps"],
        [row["spread"] for row in rows], "Mean path and stationary band",
    )  # fmt: skip
    report.say(*_said(rows))
    return report


class World:
    """The regression problem: pixels, exact Hessian and minimum, in float64; made when first needed."""

    def __init__(self, place: Place, settings: Settings) -> None:
        self.place, self.settings = place, settings
        self.problem = cache(self._problem)
        self.measured = cache(self._measured)

    def _problem(self) -> dict[str, Any]:
        images = cifar(self.place, "train", self.settings.examples)
        rows = features(images)
        moment, cross = np.zeros((rows.shape[1],) * 2), np.zeros((rows.shape[1], CLASSES))
        targets = np.eye(CLASSES, dtype=np.float32)[images.labels]
        for first in range(0, len(rows), CHUNK):
            part = rows[first : first + CHUNK].astype(np.float64)
            moment += part.T @ part / len(rows)
            cross += part.T @ targets[first : first + CHUNK] / len(rows)
        # a ridge of 1e-10 of the trace: pixels at the border are nearly collinear
        moment += 1e-10 * np.trace(moment) / len(moment) * np.eye(len(moment))
        return {"rows": rows, "targets": targets, "moment": moment, "minimum": np.linalg.solve(moment, cross)}

    def model(self) -> Any:
        """The linear layer at its minimum; the bias is the weight of a constant feature."""
        import torch

        # float64: steps of η = 1e-5 are of the size of float32's rounding of the weights
        layer = torch.nn.Linear(self.problem()["rows"].shape[1], CLASSES, bias=False, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.problem()["minimum"].T.copy()))
        return layer

    def _measured(self) -> tuple[Any, Any]:
        """Curvature and noise at the minimum, read back where they were measured before."""
        import torch

        import limen
        from limen.measure.dynamics.attach import attached

        folder = self.place.folder("minimum", _key(self.settings))
        folder.mkdir(parents=True, exist_ok=True)
        if all(part is not None for part in attached(folder)):
            return attached(folder)
        rows, targets = (torch.from_numpy(self.problem()[name]) for name in ("rows", "targets"))
        batch = [(rows[at : at + CHUNK].double(), targets[at : at + CHUNK]) for at in range(0, len(rows), CHUNK)]
        curvature = limen.curvature(self.model(), squares, batch, modes=self.settings.modes)
        noise = limen.gradient_noise(
            self.model(), squares, batch, curvature, batch_size=self.settings.batch_size, sampling=None
        )
        limen.attach(folder, curvature=curvature, noise=noise)
        return curvature, noise

    def spectrum(self) -> dict[str, Any]:
        """Exact leading eigenvalues of the second moment; what `limen.curvature` found; the noise along the first."""
        import scipy.linalg

        moment = self.problem()["moment"]
        exact = scipy.linalg.eigvalsh(moment, subset_by_index=[len(moment) - 4, len(moment) - 1])[::-1]
        curvature, noise = self.measured()
        return {
            "exact": exact, "found": curvature.eigenvalues, "converged": curvature.converged,
            "bounds": curvature.error_bounds, "products": curvature.products, "recovered": curvature.recovered,
            "noise": noise.variance, "noise_errors": noise.variance_errors, "trace": noise.trace.value,
            "gradient": curvature.gradient_norm, "seconds": curvature.seconds,
        }  # fmt: skip

    def paths(self, learning_rate: float, momentum: float, start: float) -> dict[str, Any]:
        """Positions along u [replicas, steps + 1] of recorded runs from μ + start·u, at rest."""
        import torch

        from limen.measure.recorder.read import read_run

        problem, s = self.problem(), self.settings
        curvature = self.measured()[0]
        rows, targets = torch.from_numpy(problem["rows"]), torch.from_numpy(problem["targets"])
        positions = []
        for seed in range(s.replicas):
            run = Run(learning_rate, momentum, s.batch_size, s.steps, seed=seed)
            model = self.model()
            with torch.no_grad():
                model.weight += start * torch.from_numpy(curvature.vectors[0]).reshape(model.weight.shape)
            folder = self.place.folder("spiral", [_key(s), run, start])
            recording(folder, model, squares, lambda at: (rows[at].double(), targets[at]), len(rows), run, curvature)
            positions.append([start, *(start + read_run(folder).positions[:, 0].astype(np.float64))])
        return {"positions": positions}


def features(images: Images) -> np.ndarray:
    """Pixels less their channel's mean over its standard deviation, and a constant: [N, 3073], float32."""
    pixels = images.images.astype(np.float32) / 255
    mean, spread = pixels.mean(axis=(0, 1, 2), dtype=np.float64), pixels.std(axis=(0, 1, 2), dtype=np.float64)
    rows = ((pixels - mean) / spread).astype(np.float32).reshape(len(pixels), -1)
    return np.concatenate([rows, np.ones((len(rows), 1), dtype=np.float32)], axis=1)


def squares(model: Any, batch: Any, reduction: str = "mean") -> Any:
    """½ Σ_c (z_c − t_c)², the mean over the batch or one of each example."""
    losses = 0.5 * (model(batch[0]) - batch[1]).square().sum(dim=1)
    return losses.mean() if reduction == "mean" else losses


def _key(settings: Settings) -> dict[str, Any]:
    return {"examples": settings.examples, "modes": settings.modes, "batch_size": settings.batch_size}


def _copies(found: dict[str, Any]) -> list[list[Any]]:
    exact, values = np.array(found["exact"]), np.array(found["found"])
    nearest = np.abs(values[:, None] - exact).argmin(axis=1)
    rows = []
    for i, value in enumerate(exact):
        own = values[nearest == i]
        error = float(np.abs(own / value - 1).max()) if len(own) else None
        good = f"{int(np.sum(np.array(found['converged'])[nearest == i]))} of {len(own)}"
        rows.append([float(value), len(own), error, good, found["products"] if i == 0 else None])
    return rows


def _row(place: Place, s: Settings, world: World, found: dict[str, Any], pair: tuple[float, float]) -> dict[str, Any]:
    eta, beta = pair
    first = np.array([found["found"][0]]), np.array([found["noise"][0]])
    problem = Modes(*first, eta, beta, s.batch_size, examples=s.examples)
    exact, flow = discrete(problem), langevin(problem)
    start = s.offset * float(np.sqrt(exact.position_variance[0]))
    given = [_key(s), pair, s.replicas, s.steps, start]
    x = np.array(place.part("paths", given, lambda: world.paths(eta, beta, start))["positions"])
    a = float(exact.recursion.a[0])
    root = _root(float(1 + beta - a), beta)
    rates = _root_of_flow(flow)
    phi, b, covariance = _recursion(x)
    size, angle = np.abs(_root(phi, b)), np.angle(_root(phi, b))
    errors = _root_errors(phi, b, covariance)
    motion = [eta, beta, a, angle, np.angle(root), z_of(angle, errors[1], float(np.angle(root))), rates[1],
              z_of(angle, errors[1], rates[1]), size, np.abs(root), z_of(size, errors[0], float(np.abs(root))),
              rates[0], z_of(size, errors[0], rates[0])]  # fmt: skip
    return {
        "motion": [float(m) if m is not None else None for m in motion],
        "spread": _spread(x, start, pair, (exact, flow)),
    }


def _spread(x: np.ndarray, start: float, pair: tuple[float, float], laws: tuple[Any, Any]) -> list[Any]:
    at = np.arange(x.shape[1])
    mean = x.mean(axis=0)
    exact, flow = laws
    paths = _mean_path(exact, at), flow.position_autocorrelation(at)[:, 0]
    errors = [float(np.sqrt(np.mean((mean / start - path) ** 2))) for path in paths]
    noise = exact.mode_displacement(at, "fixed")[:, 0]  # no offset in the law: variance alone
    expected = float(np.sqrt(noise.mean() / len(x)) / start)
    settled = int(5 * float(exact.relaxation_steps[0]))
    late = x[:, settled:] if settled < x.shape[1] // 2 else x[:, :0]
    if not late.size:
        return [*pair, *errors, expected, None, float(exact.position_variance[0]), None, None,
                float(flow.position_variance[0]), None, 0]  # fmt: skip
    variance, predicted = float((late**2).mean()), float(exact.position_variance[0])
    inside = float((np.abs(late) < NORMAL * np.sqrt(predicted)).mean())
    memory = exact.position_autocorrelation(np.arange(1, late.shape[1]))[:, 0]
    error = float(np.sqrt(2 * (1 + 2 * (memory**2).sum()) / late.size))  # of a Gaussian path of the law's memory
    return [*pair, *errors, expected, variance, predicted, ratio(variance, predicted), error,
            float(flow.position_variance[0]), inside, late.size]  # fmt: skip


def _mean_path(law: Any, at: np.ndarray) -> np.ndarray:
    """E x_k/x₀ of the exact law from (x₀, v = 0): the recursion itself."""
    phi, b = float(1 + law.recursion.b[0] - law.recursion.a[0]), float(law.recursion.b[0])
    path = [1.0, 1.0 - float(law.recursion.a[0])]
    while len(path) < len(at):
        path.append(phi * path[-1] - b * path[-2])
    return np.array(path[: len(at)])


def _recursion(x: np.ndarray) -> tuple[float, float, np.ndarray]:
    """φ, b of x_{k+1} = φx_k − bx_{k−1} + noise by least squares over all replicas, and their covariance.

    The noise of a batch grows with the distance from the minimum: the covariance is White's.
    """
    now, before, after = x[:, 1:-1].ravel(), x[:, :-2].ravel(), x[:, 2:].ravel()
    design = np.stack([now, -before], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ after
    rest = after - design @ found
    scores = design * rest[:, None]
    return float(found[0]), float(found[1]), inverse @ (scores.T @ scores) @ inverse


def _root(phi: float, b: float) -> complex:
    return complex((phi + np.sqrt(complex(phi**2 - 4 * b))) / 2)


def _root_of_flow(flow: Any) -> tuple[float, float]:
    """Envelope and frequency of the Langevin law; frequency 0 where it does not rotate."""
    turn = float(flow.frequency2[0] - flow.friction[0] ** 2)
    return float(np.exp(-flow.friction[0] + np.sqrt(max(-turn, 0.0)))), float(np.sqrt(max(turn, 0.0)))


def _root_errors(phi: float, b: float, covariance: np.ndarray) -> tuple[float, float]:
    """Standard errors of |root| and angle, by derivatives."""
    step = 1e-7
    base = _root(phi, b)
    moved = [_root(phi + step, b), _root(phi, b + step)]
    jacobian = np.array([[(np.abs(m) - np.abs(base)) / step, (np.angle(m) - np.angle(base)) / step] for m in moved]).T
    return tuple(np.sqrt(np.diag(jacobian @ covariance @ jacobian.T)))


def _said(rows: list[dict[str, Any]]) -> list[str]:
    said = []
    for row in rows:
        eta, beta, a, frequency, _, z, _, flow_z, *_ = row["motion"]
        if z is None or flow_z is None:
            said.append(f"At η = {eta:g}, β = {beta:g} the path does not rotate.")
            continue
        verdict = "both laws agree with it" if abs(z) < 3 and abs(flow_z) < 3 else (
            f"the exact law agrees (z {z:.1f}) and the Langevin law does not (z {flow_z:.1f})" if abs(z) < 3
            else f"the exact law is off (z {z:.1f})")  # fmt: skip
        said.append(
            f"η = {eta:g}, β = {beta:g} (ηρ = {a:.3g}): a turn takes {2 * np.pi / frequency:.1f} steps; {verdict}."
        )
    ratios = [row["spread"][7] for row in rows if row["spread"][7] is not None]
    if ratios:
        said.append(
            f"Settled variance over the exact law's with measured noise: {min(ratios):.3g} to {max(ratios):.3g}."
        )
    return said


if __name__ == "__main__":
    main("spirals", recipe, Settings(), FULL)
