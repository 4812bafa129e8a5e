"""Everything one page shows: budgets, comparisons, the interface along checkpoints, recorded runs, cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from limen.records.budget import Budget
from limen.records.closed_forms import Ranking
from limen.records.comparison import Comparison
from limen.records.dynamics import Dynamics
from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint of a pretraining run seen from both rooms of the chain."""

    encoder: str
    """Encoder reference such as `scratch#0@1000`."""
    step: int
    empirical_pretraining_loss: Estimate
    pretraining_loss: Estimate
    pretraining_gap: Estimate
    pretraining_optimization_gap: Estimate | None = None
    """L_pre above the least there is; None where the caller did not ask, not identified where that is unknown."""
    floors: Mapping[str, Estimate] = field(default_factory=dict)
    """Task name → minimal adaptation loss on this encoder."""
    adaptation_losses: Mapping[str, Estimate] = field(default_factory=dict)
    errors: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interface:
    """Pretraining loss against the floor along the checkpoints of one run."""

    run: str
    """Encoder and seed, such as `scratch#0`."""
    objective: str
    loss_name: str
    """What L_pre is, in full: objective, batch, temperature, augmentation."""
    checkpoints: tuple[Checkpoint, ...]
    kendall_tau: Mapping[str, Estimate] = field(default_factory=dict)
    """Task name → rank correlation of L_pre and the floor over checkpoints; grade `point` beyond this run."""
    slope: Mapping[str, Estimate] = field(default_factory=dict)
    """Task name → d floor / d L_pre over checkpoints."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded pretraining run held against theory."""

    encoder: str
    """Encoder reference such as `scratch` or `scratch#2`."""
    dynamics: Dynamics | None
    """The verdict; its `run` is the name that `limen dynamics` knows, `study.toml::scratch`."""
    reason: str = ""
    """Why there is no verdict; empty where there is one."""


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What happened to one cell of a study."""

    key: str
    stage: str
    label: str
    outcome: str
    """`cached`, `run`, `failed`, `skipped`, `waiting`."""
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a page, a Markdown file, a CSV table and a JSON document are made from."""

    name: str
    budgets: tuple[Budget, ...]
    comparisons: tuple[Comparison, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    cells: tuple[CellOutcome, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Recipe card: command, study file text, data hashes, versions, threads, seconds."""
    rankings: tuple[Ranking, ...] = ()
    """Every transferability score's order of the encoders of a task, beside the measured one."""
    recorded: tuple[Recorded, ...] = ()
    """Every run of the study with `record = "dynamics"` that is published."""
