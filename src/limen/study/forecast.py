"""What a study will cost, counted without building its cells: a grid of 10⁷ cells is forecast in milliseconds.

    cells = Σ seeds of pretrained encoders + Σ references × (tables of their tasks) + Σ references × ways to fit

exact, except that encoders of equal meaning under two names are counted twice. Minutes are a range (a third of the
estimate to three times it would be certain; half to twice is typical) on the given number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limen.records.errors import BadInput, Problem
from limen.records.units import duration, human
from limen.study.contradictions import starts_of
from limen.study.cost import (
    START,
    START_TORCH,
    Cost,
    dimension_of,
    features_cost,
    fit_cost,
    models,
    pretrain_cost,
    tune_cost,
)
from limen.study.encoders import EXTRAS, Encoder, Pretrain
from limen.study.files import Files
from limen.study.plan import pairs, populations, references, tuned
from limen.study.reference import parse_reference
from limen.study.spec import Study, Task
from limen.study.ways import fit_specs, tune_specs

CELL_LIMIT = 100_000
HOUR_LIMIT = 24.0
SPREAD = 2.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Counts and costs of everything in a study, as if nothing had been computed."""

    cells: int
    models: int
    """Fitted models: label counts × seeds over all fits."""
    seconds: float
    """On one core."""
    disk_bytes: int
    memory_bytes: int
    """Of one worker at its largest cell."""
    workers: int = 1
    pretraining: float = 0.0
    """The part of `seconds` in which runs are pretrained, while nothing else can start."""
    runs: int = 1
    """Pretraining runs: no more workers than these are busy with them."""

    @property
    def minutes(self) -> tuple[float, float]:
        """Low and high wall-clock minutes."""
        first = self.pretraining / min(self.workers, self.runs)
        middle = (first + (self.seconds - self.pretraining) / self.workers) / 60
        return middle / SPREAD, middle * SPREAD

    @property
    def large(self) -> bool:
        """Whether a person should say `--yes` first."""
        return self.cells > CELL_LIMIT or self.minutes[0] > 60 * HOUR_LIMIT

    def text(self) -> str:
        """One line for a person."""
        low, high = self.minutes
        return (
            f"{self.cells:,} cells ({self.models:,} fitted models), {duration(60 * low)} to {duration(60 * high)}"
            f" on {self.workers} worker{'s' * (self.workers > 1)}, {human(self.disk_bytes)} on disk,"
            f" {human(self.memory_bytes)} of memory a worker"
        )

    def to_json(self) -> dict[str, Any]:
        """The keys of `limen check`."""
        low, high = self.minutes
        return {
            "cells": self.cells,
            "models": self.models,
            "minutes": {"low": low, "high": high},
            "disk_bytes": self.disk_bytes,
            "memory_bytes": self.memory_bytes,
        }


def forecast(study: Study, files: Files, workers: int = 1) -> Forecast:
    """The forecast of a study. Raises BadInput for tables that are not there."""
    total = _Total()
    runs: dict[str, None] = {}
    tables: dict[tuple[str, str, object], int] = {}
    for _, task, name, encoder in pairs(study):
        count = _references(name, encoder, task)
        for table in populations(task).values():
            place = (name, table, task.column)
            tables[place] = max(tables.get(place, 0), count)
        runs |= dict.fromkeys(starts_of(name, study.encoder) if isinstance(encoder, Pretrain) else ())
        rows, width = files.describe(task.train).rows, dimension_of(encoder, files, task.train)
        for how in fit_specs(study.adapt, study.seed):
            if study.adapt.options(how["method"]) is not None:
                tuned_ones, per_row = _tuned_references(name, encoder, task), _per_row(encoder, task, files)
                total.add_tuned(tuned_ones, (rows, per_row), study, how)
                continue
            total.add(count, fit_cost(how["method"], rows, width, study.adapt))
            total.models += count * models(study.adapt, rows)
    for name in runs:
        run = study.encoder[name]
        assert isinstance(run, Pretrain)  # limen.study.contradictions refuses a start that is none
        seeds, cost = _runs(name, run, study), pretrain_cost(run, files.describe(run.data).rows)
        total.add(seeds, cost)
        total.runs += seeds
        total.pretraining += seeds * cost.seconds
    for (name, table, _), count in tables.items():
        total.add(count, features_cost(study.encoder[name], table, files))
    torch = any(encoder.source in EXTRAS for encoder in study.encoder.values())
    seconds = total.seconds + (START_TORCH if torch else START) * workers
    first = (total.pretraining, max(1, total.runs))
    return Forecast(total.cells, total.models, seconds, total.disk, total.memory, workers, *first)


def approve(found: Forecast, yes: bool) -> None:
    """Raise BadInput for a study so large that it must be asked for, unless it was (`yes`)."""
    if found.large and not yes:
        what = f"this study is large: {found.text()}"
        fix = "pass --yes to run it, or shorten labels, seeds, checkpoints or encoders"
        raise BadInput(Problem("study", what, "lists multiply: encoders × checkpoints × seeds × tasks × methods", fix))


class _Total:
    def __init__(self) -> None:
        self.cells, self.models, self.seconds, self.disk, self.memory = 0, 0, 0.0, 0, 0
        self.pretraining, self.runs = 0.0, 0

    def add(self, count: int, cost: Cost) -> None:
        self.cells += count
        self.seconds += count * cost.seconds
        self.disk += count * cost.disk
        self.memory = max(self.memory, cost.memory)

    def add_tuned(self, count: int, table: tuple[int, float], study: Study, how: Mapping[str, Any]) -> None:
        """The cells of a tuned method of `count` encoders on a task of so many rows, seconds of a pass of one."""
        rows, per_row = table
        for n, _, options in tune_specs(study.adapt, how["method"]):
            self.add(count, Cost(tune_cost(rows, per_row, n, options), 60 * rows, 1_500_000_000))
            self.models += count
        self.add(count, Cost(1.0, 60 * rows, 500_000_000))


def _tuned_references(name: str, encoder: Encoder, task: Task) -> int:
    return sum(tuned(reference, task, encoder) for reference in references(name, encoder, task))


def _per_row(encoder: Encoder, task: Task, files: Files) -> float:
    """Seconds of one pass forward of one row."""
    rows = files.describe(task.train).rows
    return features_cost(encoder, task.train, files).seconds / max(1, rows)


def _references(name: str, encoder: Encoder, task: Task) -> int:
    """How many encoders one name means for a task: `len(references(…))`, without listing a run."""
    whole = task.encoders is None or name in task.encoders
    if not (whole and isinstance(encoder, Pretrain)):
        return sum(1 for _ in references(name, encoder, task))
    layered = {text for text in task.encoders or () if parse_reference(text).layer is not None}
    extra = task.model_copy(update={"encoders": tuple(sorted(layered)) or ("-",)})
    here = any(parse_reference(text).name == name for text in layered)
    listed = sum(1 for _ in references(name, encoder, extra)) if here else 0
    return encoder.seeds * len(encoder.kept_steps()) + listed


def _runs(name: str, encoder: Pretrain, study: Study) -> int:
    """Seeds of an encoder that some task uses, or another run begins with."""
    starts = [other.start for other in study.encoder.values() if isinstance(other, Pretrain) and other.start]
    named = {r.seed for text in starts if (r := parse_reference(text)).name == name}
    for task in study.task.values():
        if task.input != encoder.input:
            continue
        if task.encoders is None or name in task.encoders:
            return encoder.seeds
        named |= {r.seed for text in task.encoders if (r := parse_reference(text)).name == name}
    return len(named)


def merged(study: Study) -> list[str]:
    """Notes on list entries that stand there twice and count once."""
    lists: dict[str, tuple[object, ...]] = {
        "adapt.methods": study.adapt.methods,
        "adapt.labels": study.adapt.labels or (),
        "adapt.linear-probe.radius": r if isinstance(r := study.adapt.linear_probe.radius, tuple) else (),
    }
    for name, task in study.task.items():
        lists |= {f"task.{name}.encoders": task.encoders or (), f"task.{name}.slices": task.slices}
    for name, encoder in study.encoder.items():
        if isinstance(encoder, Pretrain) and isinstance(encoder.checkpoints, tuple):
            lists[f"encoder.{name}.checkpoints"] = encoder.checkpoints
    notes = []
    for key, values in lists.items():
        twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
        notes += [f"{key}: {value} is repeated and counts once" for value in twice]
    return notes
