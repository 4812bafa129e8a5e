"""What a recorded run holds: settings, exact scalars of every step, projections, sketch, displacements.

Row k = 1, 2, … is update k, which takes θ_{k−1} to θ_k with gradient g_{k−1} = ∇ℓ_B(θ_{k−1}) + λθ_{k−1} (λ only where
the decay is coupled) and leaves the velocity v_k. Three columns belong to the weights before it, the rest to the state
after it:

    before   loss ℓ_B(θ_{k−1}), gradient_norm2 ‖g_{k−1}‖², offset_dot_gradient ⟨θ_{k−1} − θ_ref, g_{k−1}⟩
    after    velocity_norm2 ‖v_k‖², offset_dot_velocity ⟨θ_k − θ_ref, v_k⟩, offset_norm2 ‖θ_k − θ_ref‖²,
             step_norm2 ‖θ_k − θ_{k−1}‖², positions Uᵀ(θ_k − θ_ref), velocities Uᵀv_k, sketch S v_k

θ_ref are the weights when recording began. v_k is minus the momentum buffer of SGD, −g_{k−1} without momentum, and
(θ_k − θ_{k−1})/η for Adam and AdamW (`approximate`: whoever reads it as SGD assumes a frozen preconditioner).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Steps = NDArray[np.int64]

RECORDED, NOT_FINITE, SKIPPED = 0, 1, 2
"""Codes of `Trajectory.excluded`: a good row; loss or weights not finite; an update that the scaler skipped."""


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """One setting of the optimizer, in torch's words."""

    name: str
    """`SGD`, `Adam` or `AdamW`."""
    learning_rate: float
    momentum: float
    """β; β₁ of Adam."""
    dampening: float
    """Of the buffer b ← βb + (1 − dampening)·g; β₁ of Adam."""
    nesterov: bool
    weight_decay: tuple[float, ...]
    """λ of every parameter group."""
    decoupled: bool
    """Whether the decay acts on the weights (AdamW) and not through the gradient."""
    maximize: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """Updates start … stop made under one setting."""

    start: int
    stop: int
    settings: OptimizerSettings
    """Of its last update."""
    batch_size: int | None
    varying: bool
    """Whether the learning rate kept changing inside (warm-up, a schedule by the step)."""

    def __post_init__(self) -> None:
        if not 1 <= self.start <= self.stop:
            raise ValueError(f"segment: expected 1 ≤ start ≤ stop, got {self.start}, {self.stop}")


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A quantity held in two ways while recording, and how far they were apart."""

    step: int
    name: str
    """`sketch` (exact anchor), `recursion` (all scalars anew), `drift` (positions anew)."""
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What was trained, how, and what the recording covers."""

    optimizer: OptimizerSettings
    """Of the last update."""
    batch_size: int | None
    sampling: str | None
    examples: int | None
    parameters: int
    """Numbers in θ: those that the optimizer moves."""
    left_out: int
    """Numbers of the model that it does not: frozen, or in no parameter group."""
    approximate: str
    """Why v, positions and sketch are approximations of SGD's; empty for SGD."""
    segments: tuple[Segment, ...]
    sketch_dimension: int
    sketch_seed: int
    eigenvalues: tuple[float, ...]
    """Of the recorded modes."""
    steps: int
    """Updates recorded durably."""
    not_finite: int
    skipped: int
    damaged: int
    """Shards that cannot be read; their steps are missing."""
    resumed: tuple[int, ...]
    """Updates made when recording was taken up again."""
    ended: bool
    """Whether the run ended in order; False after a kill or an exception."""
    self_tests: tuple[SelfTest, ...]
    basis: str = ""
    """SHA-256 of the recorded modes' vectors (float32, as the weights lie in memory); empty without modes."""

    @property
    def learning_rate(self) -> float:
        """η of the last update."""
        return self.optimizer.learning_rate

    @property
    def momentum(self) -> float:
        """β of the last update."""
        return self.optimizer.momentum

    @property
    def excluded(self) -> int:
        """Rows that no mean may use."""
        return self.not_finite + self.skipped


@dataclass(frozen=True, slots=True)
class Displacements:
    """‖θ_{birth+lag} − θ_birth‖², exact, at log-spaced lags from a few fixed births."""

    birth: Steps
    lag: Steps
    value: Floats


@dataclass(frozen=True, slots=True)
class Correlation:
    """Over all origins of one segment, from the sketch: displacement and velocity correlation at log-spaced lags.

    Lags 2^m·(9 … 16) use every 2^m-th update as origin and end. `*_error` is the standard error over time (blocks);
    the sketch adds a relative error of √(2/(d r)) with r the participation ratio of the increments' covariance.
    """

    start: int
    """Updates made when it began."""
    lag: Steps
    origins: Steps
    displacement: Floats
    """Mean of ‖θ_{k+lag} − θ_k‖²."""
    displacement_error: Floats
    """NaN where fewer than 16 blocks have passed."""
    velocity: Floats
    """Mean of ⟨v_{k+lag}, v_k⟩."""
    velocity_error: Floats


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A recorded run; T rows, k modes, sketch of dimension d."""

    info: RunInfo
    step: Steps
    """[T], increasing; every update up to 10^5, then thinned."""
    loss: Floats
    learning_rate: Floats
    velocity_norm2: Floats
    gradient_norm2: Floats
    offset_dot_gradient: Floats
    offset_dot_velocity: Floats
    offset_norm2: Floats
    step_norm2: Floats
    positions: Floats32
    """[T, k]"""
    velocities: Floats32
    """[T, k]"""
    excluded: NDArray[np.uint8]
    """[T]: RECORDED, NOT_FINITE or SKIPPED."""
    sketch_step: Steps
    """[T']: rows whose sketch was kept."""
    sketch: Floats32
    """[T', d]: S v."""
    displacements: Displacements
    correlations: tuple[Correlation, ...]
    """One a segment long enough, in order."""

    @property
    def correlator(self) -> Correlation | None:
        """Of the last segment long enough."""
        return self.correlations[-1] if self.correlations else None

    @property
    def sketch_error(self) -> float:
        """√(2/d): relative standard deviation of one squared sketched length, at worst."""
        return float(np.sqrt(2 / self.info.sketch_dimension))
