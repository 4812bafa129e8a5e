"""The quadratic problem of a recorded run: its modes, noise, optimizer and sampling, and the stretch that is analysed.

Tracked modes are the eigenvectors that were recorded: h = ρ + decay (where it is in the gradient), noise uᵀΣu as
measured. The whole network adds a bulk: the noise that is left, tr Σ − Σ uᵀΣu, spread over the nodes of the spectral
density below the tracked modes in proportion to (multiplicity)·(curvature)^slope; the slope of modes that span less
than a decade is not carried to it, but 1. Where there is no density, the
curvatures of the bulk are unknown but for their range: 0 (`whole`: it diffuses for ever) to the least tracked one
(`curved`: it is held as those are). What a law says of the network then lies between the two. Modes of negative
curvature have no law; they are counted.

A density of few of the run's examples has too few modes, and too sharp ones: the Hessian of n examples has a rank of
n times the outputs at most. Under noise in proportion to curvature every mode has the same variance, so that laws then
saturate too early, at a level low by that rank over the true one (docs/statements/sgd-dynamics.md). Said, not mended:
the missing curvatures are not in the data. Nodes of the quadrature that stand for many eigenvalues are harmless beside
it: they change a law by a twentieth within its lags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.records.curvature import Curvature
from limen.records.errors import BadInput, Problem
from limen.records.gradient_noise import GradientNoise
from limen.records.trajectory import RECORDED, Segment, Trajectory
from limen.theory.sgd import Law, Modes, discrete, epoch, langevin
from limen.verdict.dynamics.course import changed, cut_short, diverged

Floats = NDArray[np.float64]
VARIES = "the learning rate changes along the analysed stretch: no equilibrium belongs to it"
STEADY = 100
"""Updates from which a stretch of constant setting is preferred to a longer one whose learning rate varies."""
FEW = 0.5
"""Share of the run's examples below which a spectral density is called one of few."""
SPAN = 10.0
"""Factor of curvature that the modes must span for their slope to be carried to the bulk."""
SAME_MODES = 1e-4
"""Relative distance of eigenvalues up to which two lists are of the same modes."""


@dataclass(frozen=True)
class RunProblem:
    """A run and what theory needs to know of it."""

    trajectory: Trajectory
    rows: slice
    """Rows of the trajectory that are analysed: successive updates of one setting, none excluded."""
    segment: Segment
    curvature: Curvature | None
    noise: GradientNoise | None

    @property
    def steps(self) -> int:
        """Updates analysed."""
        return int(self.rows.stop - self.rows.start)

    @property
    def learning_rate(self) -> float:
        """η."""
        return self.segment.settings.learning_rate

    @property
    def momentum(self) -> float:
        """β."""
        return self.segment.settings.momentum

    @property
    def plain(self) -> bool:
        """Whether x_{k+1} = x_k + ηv_{k+1} at one η: heavy ball, which the identities are of."""
        return not self.not_plain

    @property
    def not_plain(self) -> str:
        """Why this is not heavy ball at one learning rate; empty where it is."""
        s = self.segment.settings
        decay = s.weight_decay[0] if s.weight_decay else 0.0
        dampened = s.dampening != 0 and s.momentum != 0
        if s.name != "SGD" or s.nesterov or (s.decoupled and decay) or dampened:
            what = s.name if s.name != "SGD" else "Nesterov" if s.nesterov else "dampened" if dampened else "decoupled"
            said = {"Nesterov": "Nesterov momentum", "dampened": "dampening", "decoupled": "decoupled decay"}
            return f"a formula of heavy ball without dampening or decoupled decay; this is {said.get(what, what)}"
        return VARIES if self.segment.varying else ""

    @cached_property
    def diverged(self) -> str:
        """Where the run diverged; empty where it did not."""
        return diverged(self.trajectory, self.rows)

    @property
    def cut_short(self) -> str:
        """That nothing after the stretch is finite; empty where it is, and where the run diverged."""
        cut = "" if self.diverged else cut_short(self.trajectory, self.rows)
        return f"not finite {cut}" if cut else ""

    @cached_property
    def changed(self) -> str:
        """That weights were moved between updates; empty where the recorder's tests hold."""
        return changed(self.trajectory, self.rows)

    @property
    def spoiled(self) -> str:
        """Why means over the stretch are of nothing: it diverged, or its rows do not hold."""
        return self.changed or (f"the run {self.diverged}" if self.diverged else "")

    @property
    def batch_size(self) -> int | None:
        """S of this segment."""
        return self.segment.batch_size or self.trajectory.info.batch_size

    @property
    def steps_per_epoch(self) -> int | None:
        """M = ⌊N/S⌋, None where either is unknown."""
        n, size = self.trajectory.info.examples, self.batch_size
        return None if n is None or size is None or n // size < 2 else n // size

    @property
    def sampling(self) -> str:
        """As the recording says; unknown where it does not."""
        return self.trajectory.info.sampling or "unknown"

    @property
    def law_name(self) -> str:
        """The law of this sampling."""
        if self.sampling == "same-order":
            return "same-order"
        return "epoch" if self.sampling == "reshuffle" and self.steps_per_epoch else "discrete"

    @cached_property
    def stiffness(self) -> Floats:
        """h_l of the tracked modes [k]."""
        return np.asarray(self.trajectory.info.eigenvalues, dtype=np.float64) + self._coupled_decay

    @cached_property
    def variances(self) -> Floats | None:
        """u_lᵀΣu_l of the tracked modes [k], one example; None without a measurement."""
        return None if self.noise is None else np.maximum(self.noise.variance, 0.0)

    @cached_property
    def noise_errors(self) -> Floats | None:
        """Relative standard errors of `variances` [k]; 0 where every example of the run was measured on its own.

        Of n among the N examples that the run draws from, single examples leave √(1 − n/N) of the error: the noise is
        that of these N, not of a population behind them.
        """
        if self.noise is None or self.variances is None:
            return None
        n, known = self.trajectory.info.examples, self.variances > 0
        left = 1.0 if n is None or not self.noise.per_sample else np.sqrt(max(0.0, 1 - self.noise.examples / n))
        found = np.zeros(len(known))
        found[known] = left * self.noise.variance_errors[known] / self.variances[known]
        return found

    @property
    def _coupled_decay(self) -> float:
        s = self.segment.settings
        return 0.0 if s.decoupled else s.weight_decay[0]

    @property
    def settings(self) -> Modes:
        """The optimizer's settings with the sharpest recorded mode, a flat one where none was recorded."""
        sharpest = max([*self.trajectory.info.eigenvalues, 0.0])
        return self._problem(np.array([sharpest]), np.zeros(1), np.ones(1))

    @property
    def settings_of_modes(self) -> Modes | None:
        """The recorded modes of curvature above 0 with noise in proportion to it; None without any."""
        rising = np.array([h for h in self.trajectory.info.eigenvalues if h > 0])
        return self._problem(rising, rising, np.ones(len(rising))) if len(rising) else None

    def modes(self, noise: Floats) -> Modes:
        """The tracked modes with this noise [k]."""
        return self._problem(np.asarray(self.trajectory.info.eigenvalues, dtype=np.float64), noise, np.ones(1))

    def mode(self, i: int) -> Modes:
        """Tracked mode i alone, with its noise as measured; without a measurement none."""
        noise = np.zeros(1) if self.variances is None else self.variances[[i]]
        return self._problem(np.array([self.trajectory.info.eigenvalues[i]]), noise, np.ones(1))

    def _problem(self, curvature: Floats, noise: Floats, weight: Floats) -> Modes:
        s, distinct = self.segment.settings, self.sampling in ("iid", "reshuffle", "same-order")
        return Modes(
            curvature, noise, s.learning_rate, s.momentum, self.batch_size or 1, s.weight_decay[0], s.decoupled,
            s.nesterov, s.dampening, self.trajectory.info.examples if distinct else None, weight=weight,
        )  # fmt: skip

    @cached_property
    def whole(self) -> Modes | None:
        """Tracked modes of curvature above 0 and the bulk; None without noise or for another optimizer than SGD."""
        return self._network(0.0)

    @cached_property
    def curved(self) -> Modes | None:
        """The same with a bulk of unknown curvature as curved as the least tracked mode; None where it is known."""
        eigenvalues = np.asarray(self.trajectory.info.eigenvalues, dtype=np.float64)
        sharp = eigenvalues[(self.stiffness > 0) & (eigenvalues > 0)]
        return self._network(float(sharp.min())) if self.flat_bulk and len(sharp) else None

    def _network(self, unknown: float) -> Modes | None:
        """Tracked modes and the bulk, which lies at curvature `unknown` where there is no density."""
        if self.variances is None or self.noise is None or self.unpredictable:
            return None
        eigenvalues = np.asarray(self.trajectory.info.eigenvalues, dtype=np.float64)
        # modes of negative curvature have no law; their noise acts, and is taken for that of flat directions
        curvature = np.where(self.stiffness > 0, eigenvalues, 0.0)
        noise, weight = self.variances, np.ones(len(eigenvalues))
        left = self.bulk_noise
        if left > 0:
            sharp = curvature[curvature > 0]
            bulk = self._bulk(float(sharp.min()) if len(sharp) else np.inf, unknown)
            share = bulk[1] * np.maximum(bulk[0], 0.0) ** self._slope if (bulk[0] > 0).any() else bulk[1]
            curvature = np.concatenate([curvature, bulk[0]])
            noise = np.concatenate([noise, left * share / share.sum() / bulk[1]])
            weight = np.concatenate([weight, bulk[1]])
        return self._problem(curvature, noise, weight) if len(curvature) else None

    @property
    def bulk_noise(self) -> float:
        """tr Σ − Σ uᵀΣu of one example: noise that no recorded mode carries; not below 0."""
        every = len(self.stiffness) >= self.trajectory.info.parameters
        if every or self.noise is None or self.variances is None:
            return 0.0
        return max(0.0, (self.noise.trace.value or 0.0) - float(self.variances.sum()))

    @property
    def flat_bulk(self) -> bool:
        """Whether the curvature of the directions it acts on is unknown, for want of a spectral density."""
        return self.bulk_noise > 0 and (self.curvature is None or self.curvature.density is None)

    @property
    def few_examples(self) -> str:
        """Why the bulk has too few modes; empty where its density is of enough of the run's examples."""
        n = self.trajectory.info.examples
        if n is None or self.curvature is None or self.curvature.density is None or not self.bulk_noise > 0:
            return ""
        seen = self.curvature.examples
        return f"the spectral density is of {seen:,} of {n:,} examples" if seen < FEW * n else ""

    @property
    def _slope(self) -> float:
        """Of the bulk's noise on its curvature: as measured, or 1 where it is not known from 0 or not over a decade."""
        if self.noise is None:
            return 1.0
        slope, rising = self.noise.slope, self.noise.eigenvalues[self.noise.eigenvalues > 0]
        wide = len(rising) > 0 and rising.max() >= SPAN * rising.min()
        known = wide and slope.value is not None and slope.low is not None and slope.low > 0
        return float(slope.value) if known and slope.value is not None else 1.0

    def _bulk(self, below: float, unknown: float) -> tuple[Floats, Floats]:
        """Curvatures ≥ 0 and how many modes each stands for; negative ones lie at 0."""
        density = None if self.curvature is None else self.curvature.density
        n = float(self.trajectory.info.parameters)
        if density is None:
            return np.full(1, unknown), np.array([n - len(self.stiffness)])
        nodes, weights = density.nodes.ravel(), density.weights.ravel() / len(density.nodes) * n
        kept = (nodes < below) & (weights > 0)
        return np.maximum(nodes[kept], 0.0), weights[kept]

    @cached_property
    def unpredictable(self) -> str:
        """Why no law of SGD is compared; empty where one is."""
        s = self.segment.settings
        if self.spoiled:
            return self.spoiled
        if self.trajectory.info.approximate:
            return f"{s.name} is not SGD: {self.trajectory.info.approximate}"
        if len(set(s.weight_decay)) > 1:
            return "parameter groups have different weight decay: no single quadratic problem"
        if self.batch_size is None:
            return "the batch size is not recorded: limen.record(…, batch_size=…)"
        if s.maximize:
            return "the optimizer maximises"
        if self.segment.varying:
            return VARIES
        return ""

    def laws(self, problem: Modes) -> dict[str, Law]:
        """The laws that exist for this optimizer and sampling, by name; unstable modes make all of them absent."""
        found: dict[str, Law] = {}
        try:
            found["discrete"] = discrete(problem)
            if not problem.nesterov:
                found["langevin"] = langevin(problem)
            if self.steps_per_epoch is not None:
                reshuffled = replace(problem, examples=self.trajectory.info.examples)
                found["epoch"] = epoch(reshuffled, self.steps_per_epoch)
        except BadInput:
            return {}
        return found


def run_problem(trajectory: Trajectory, curvature: Curvature | None, noise: GradientNoise | None) -> RunProblem:
    """The problem of a run: its last long segment of one setting, the longest stretch of good successive updates in it.

    Raises BadInput where curvature or noise are of other modes than those recorded, and where no stretch is left.
    """
    recorded = np.asarray(trajectory.info.eigenvalues, dtype=np.float64)
    problems = []
    for name, found in (("curvature", curvature), ("noise", noise)):
        if found is None:
            continue
        theirs = np.asarray(found.eigenvalues, dtype=np.float64)
        apart = recorded.shape != theirs.shape or not np.allclose(recorded, theirs, rtol=SAME_MODES, atol=0)
        if apart:
            what = (
                f"expected the {len(recorded)} modes that were recorded, got {len(theirs)} modes with other eigenvalues"
            )
            problems.append(Problem(name, what, fix=f"measure {name} with the Curvature that limen.record was given"))
    if problems:
        raise BadInput(problems)
    segment, rows = _stretch(trajectory)
    return RunProblem(trajectory, rows, segment, curvature, noise)


def _stretch(trajectory: Trajectory) -> tuple[Segment, slice]:
    """The longest run of good successive updates within one setting that does not vary; of equal ones the last."""
    step, good = trajectory.step, trajectory.excluded == RECORDED
    found = [
        (segment, slice(first, last))
        for segment in trajectory.info.segments
        for first, last in _runs(good & (step >= segment.start) & (step <= segment.stop), step)
    ]
    steady = [at for at in found if not at[0].varying and at[1].stop - at[1].start >= STEADY]
    best = max(steady or found, key=lambda at: (at[1].stop - at[1].start, at[1].start), default=None)
    if best is None:
        got = f"{len(step):,} rows of which none is usable" if len(step) else "none"
        raise BadInput(Problem(
            "run", f"expected recorded updates, got {got}",
            "the run diverged at once, or nothing was flushed before it was killed",
        ))  # fmt: skip
    return best


def _runs(inside: NDArray[np.bool_], step: NDArray[np.int64]) -> list[tuple[int, int]]:
    """[first, last) of rows that are inside and follow each other by one update."""
    at = np.flatnonzero(inside)
    if not len(at):
        return []
    breaks = np.flatnonzero((np.diff(at) != 1) | (np.diff(step[at]) != 1)) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(at, breaks)]


def segments_of(trajectory: Trajectory) -> tuple[Mapping[str, Any], ...]:
    """Segments as plain data."""
    return tuple(
        {
            "start": s.start, "stop": s.stop, "learning_rate": s.settings.learning_rate, "momentum":
            s.settings.momentum,
            "weight_decay": s.settings.weight_decay[0] if s.settings.weight_decay else 0.0, "batch_size": s.batch_size,
            "varying": s.varying,
        }
        for s in trajectory.info.segments
    )  # fmt: skip
