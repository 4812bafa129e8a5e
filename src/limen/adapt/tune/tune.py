"""`tune`: one encoder, one (n, seed), one method of tuning → per-example losses on every part, and the tuned model.

There is no certified minimum of a deep network's training loss, so a tuned encoder has an upper side only: its losses
on the holdout bound what the method reaches, nothing bounds what it could reach from below.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from limen.adapt.tune.course import Course, Data, tune_course
from limen.adapt.tune.head import fixed_head, probe_start, standardised
from limen.adapt.tune.memory import Forecast, check_memory, forecast, out_of_memory
from limen.adapt.tune.model import BATCH, Scored, TunedModel
from limen.adapt.tune.moving import set_moving
from limen.adapt.tune.rows import TuneRows
from limen.adapt.tune.spec import TuneSpec
from limen.arrays.environment import environment
from limen.arrays.random import stream
from limen.models.trainable.prompts import most_positions
from limen.models.trainable.trainable import Trainable, encode_in_batches
from limen.pretrain.determinism import deterministic
from limen.records.errors import BadInput, Problem
from limen.records.stage import StageRecord
from limen.records.task import Integers

VERSION = 1

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning gave."""

    spec: TuneSpec
    n: int
    train: Scored
    """At the weights that are reported."""
    holdout: Scored
    populations: Mapping[str, Scored]
    course: Course
    head_gap: float | None
    """Certified gap of the probe that the head began as."""
    parameters: Mapping[str, int]
    """`encoder`, `moved` (of it), `head`."""
    memory: Forecast
    seconds: Mapping[str, float]
    """CPU time of `start` (frozen features, first head), `train`, `choose` (design), `score`; `wall` of it all."""
    model: TunedModel


def tune(encoder: Trainable, rows: TuneRows, spec: TuneSpec) -> Tuned:
    """Tune a copy of the encoder on the train rows; the epoch is chosen on the design rows.

    Equal arguments give equal bits on one machine. A loss that is no longer finite ends training and is
    `course.diverged`. Raises BadInput for patterns that match nothing, methods that the encoder does not take, and more
    memory than there is (before training, with a batch size that fits).
    """
    begun, wall = time.process_time(), time.perf_counter()
    encoder = encoder.fresh()
    with deterministic(spec.threads), torch.random.fork_rng():
        encoder.module.eval()
        data = Data(
            encoder.ready(rows.train.inputs), rows.train.labels, encoder.ready(rows.design.inputs), rows.design.labels
        )
        model, gap = _model(encoder, data, rows.classes, spec)
        moving = set_moving(encoder, spec)
        need = _memory(model, moving, data, spec)
        seconds = {"start": time.process_time() - begun}
        try:
            course = tune_course(model, moving, data, spec)
            begun = time.process_time()
            train = model.scored(data.train, data.train_labels)
            holdout = model.score(rows.holdout)
            populations = {name: model.score(found) for name, found in rows.populations.items()}
        except RuntimeError as error:
            raise out_of_memory(need, error) from error
    seconds |= {
        "train": course.train_seconds,
        "choose": course.choose_seconds,
        "score": time.process_time() - begun,
        "wall": time.perf_counter() - wall,
    }
    sizes = {
        "encoder": sum(p.numel() for p in encoder.module.parameters()),
        "moved": sum(p.numel() for p in moving.values()),
        "head": sum(p.numel() for p in model.head.parameters()),
    }
    return Tuned(spec, len(rows.train), train, holdout, populations, course, gap, sizes, need, seconds, model)


def tuned_record(tuned: Tuned) -> StageRecord:
    """The result of one cell as plain data and arrays, without weights."""
    course = tuned.course
    data = {
        "spec": tuned.spec.plain(),
        "n": tuned.n,
        "seed": tuned.spec.seed,
        "method": tuned.spec.method,
        "loss": tuned.spec.loss,
        "train_loss": float(tuned.train.loss.mean()),
        "epoch": course.epoch,
        "epochs": len(course.design_loss) - 1,
        "steps": course.steps,
        "design_loss": list(course.design_loss),
        "training_loss": list(course.training_loss),
        "diverged": None if course.diverged is None else {**asdict(course.diverged), "reason": course.diverged.reason},
        "head_gap": tuned.head_gap,
        "parameters": dict(tuned.parameters),
        "memory": {"fixed": tuned.memory.fixed, "row": tuned.memory.row, "total": tuned.memory.total},
        "seconds": dict(tuned.seconds),
        "populations": list(tuned.populations),
        "environment": environment() | {"threads": tuned.spec.threads},
    }
    arrays: Arrays = {}
    every = {"train": tuned.train, "holdout": tuned.holdout}
    for name, scored in (every | {f"population.{name}": found for name, found in tuned.populations.items()}).items():
        arrays[f"{name}.loss"] = scored.loss
        arrays[f"{name}.prediction"] = scored.prediction.astype(np.int32)
        arrays[f"{name}.labels"] = scored.labels
    return StageRecord("tune", VERSION, data, arrays)


def _model(encoder: Trainable, data: Data, classes: int, spec: TuneSpec) -> tuple[TunedModel, float | None]:
    design = encode_in_batches(encoder, data.design, BATCH)
    _finite(design)
    head = fixed_head(design, classes)
    gap = None
    if spec.first_head == "probe":
        train = encode_in_batches(encoder, data.train, BATCH)
        _finite(train)
        start = probe_start(
            (standardised(head, train), data.train_labels), (standardised(head, design), data.design_labels), classes
        )
        head.set(start.fit.weights, start.fit.intercept)
        gap = start.fit.gap
    elif spec.first_head == "random":
        width = design.shape[1]
        drawn = stream("tune/head", spec.seed, width, classes).standard_normal((classes, width)) / width**0.5
        head.set(drawn, np.zeros(classes))
    return TunedModel(encoder, head, spec.loss), gap


def _finite(features: np.ndarray[Any, Any]) -> None:
    rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(rows):
        what = f"expected finite features of the frozen encoder, got others in {len(rows)} rows"
        raise BadInput(Problem("encoder", what, "damaged weights, or inputs of another scale"))


def _memory(model: TunedModel, moving: dict[str, Any], data: Data, spec: TuneSpec) -> Forecast:
    """Forecast on the longest train row, checked; a prompt that leaves the text no room is an error of its own."""
    label: Integers = data.train_labels[:1]

    def loss(features: Any) -> Any:
        return model.batch_loss(features, torch.from_numpy(label.repeat(len(features))))

    _room(model.encoder, data, spec)
    need = forecast(model.encoder, moving, loss, data.train, min(spec.batch_size, len(data.train_labels)))
    check_memory(need)
    return need


def _room(encoder: Trainable, data: Data, spec: TuneSpec) -> None:
    limit = most_positions(encoder) if spec.method in ("prompt", "prefix") else None
    if limit is None:
        return
    longest = np.argsort(-encoder.lengths(data.train), kind="stable")[:1]
    tokens = int(encoder.tensors(data.train, longest)["attention_mask"].shape[1])
    if tokens + spec.prompt_tokens > limit:
        what = f"{spec.prompt_tokens} prompt tokens and texts of {tokens} tokens exceed the {limit} positions"
        raise BadInput(Problem("prompt_tokens", what, fix=f"at most {limit - tokens}, or a smaller max_length"))
