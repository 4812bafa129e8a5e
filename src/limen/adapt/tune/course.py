"""The course of one tuning: epochs of AdamW, and the epoch that the design rows choose.

    update k of K at batch B_k:   θ ← AdamW(clip(∇ mean_{B_k} ℓ)),   learning rate η·w_k·s_k
    w_k = min(1, (k + 1)/W), W = round(warmup·K);    s_k = ½(1 + cos πt), 1 − t or 1, t = (k − W)/(K − W) for k ≥ W

After every epoch, and before the first, the design loss is read; the weights of its least value are kept. Training ends
`patience` epochs after it, or where a loss is no longer finite: then with the weights kept so far, and the reason as a
value. Neither holdout nor test is looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from limen.adapt.tune.model import TunedModel
from limen.adapt.tune.spec import TuneSpec
from limen.arrays.random import stream
from limen.pretrain.loop import Diverged
from limen.records.task import Integers


@dataclass(frozen=True, slots=True)
class Data:
    """Ready train and design rows with their labels."""

    train: Any
    train_labels: Integers
    design: Any
    design_labels: Integers


@dataclass(slots=True)
class Course:
    """How it went; entry k of the design losses is after k epochs."""

    design_loss: list[float] = field(default_factory=list)
    training_loss: list[float] = field(default_factory=list)
    """Mean loss of the updates of each epoch, at the weights before each."""
    epoch: int = 0
    """Epochs whose weights were chosen."""
    steps: int = 0
    planned: int = 0
    diverged: Diverged | None = None
    train_seconds: float = 0.0
    """CPU time."""
    choose_seconds: float = 0.0


def factor(spec: TuneSpec, done: int, steps: int) -> float:
    """Factor of the learning rate of the next update, `done` of `steps` updates made.

    >>> [round(factor(TuneSpec(warmup=0.5, decay="linear"), k, 4), 3) for k in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warm = round(spec.warmup * steps)
    if done < warm:
        return (done + 1) / warm
    t = (done - warm) / max(steps - warm, 1)
    return {"cosine": 0.5 * (1 + math.cos(math.pi * t)), "linear": 1 - t, "constant": 1.0}[spec.decay]


def batches(spec: TuneSpec, n: int, epoch: int) -> Iterator[Integers]:
    """Positions of the train rows of each batch: a fresh permutation an epoch, the last batch may be smaller."""
    order = stream("tune/epoch", spec.seed, n, epoch).permutation(n).astype(np.int64)
    for start in range(0, n, spec.batch_size):
        yield order[start : start + spec.batch_size]


def tune_course(model: TunedModel, moving: dict[str, Any], data: Data, spec: TuneSpec) -> Course:
    """Train in place; afterwards the model has the weights of the chosen epoch."""
    weights = [*moving.values(), *model.head.parameters()]
    groups = [
        {"params": list(moving.values()), "peak": spec.rate},
        {"params": list(model.head.parameters()), "peak": spec.head_rate},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, weight_decay=spec.weight_decay)
    course = Course(planned=spec.epochs * math.ceil(len(data.train_labels) / spec.batch_size))
    kept: list[Any] = []
    for epoch in range(spec.epochs + 1):
        if epoch:
            _epoch(model, optimizer, data, (spec, epoch, weights), course)
            if course.diverged is not None:
                break
        if not _choose(model, data, course, spec) and course.diverged is not None:
            break
        if course.epoch == epoch:
            kept = [w.detach().clone() for w in weights]
        if spec.patience is not None and epoch - course.epoch >= spec.patience:
            break
    with torch.no_grad():
        for weight, best in zip(weights, kept, strict=True):
            weight.copy_(best)
    return course


def _epoch(model: TunedModel, optimizer: Any, data: Data, at: tuple[TuneSpec, int, list[Any]], course: Course) -> None:
    spec, epoch, weights = at
    begun = time.process_time()
    losses: list[float] = []
    n = len(data.train_labels)
    model.training_mode(spec.dropout)
    for rows in batches(spec, n, epoch):
        part = factor(spec, course.steps, course.planned)
        for group in optimizer.param_groups:
            group["lr"] = part * group["peak"]
        if spec.dropout:
            torch.manual_seed(int(stream("tune/dropout", spec.seed, n, course.steps).integers(2**62)))
        optimizer.zero_grad(set_to_none=True)
        features = model.encoder.features(model.encoder.tensors(data.train, rows))
        loss = model.batch_loss(features, torch.from_numpy(data.train_labels[rows]))
        value = float(loss.detach())
        if not math.isfinite(value):
            course.diverged = Diverged(course.steps, part * spec.rate, str(value), _last(course, losses))
            break
        loss.backward()
        if spec.clip is not None:
            torch.nn.utils.clip_grad_norm_(weights, spec.clip)
        optimizer.step()
        course.steps += 1
        losses.append(value)
    if losses:
        course.training_loss.append(float(np.mean(losses)))
    course.train_seconds += time.process_time() - begun


def _choose(model: TunedModel, data: Data, course: Course, spec: TuneSpec) -> bool:
    """Read the design loss; whether it is the least so far."""
    begun = time.process_time()
    loss = float(model.scored(data.design, data.design_labels).loss.mean())
    course.choose_seconds += time.process_time() - begun
    if not math.isfinite(loss):
        rate = spec.rate * factor(spec, max(course.steps - 1, 0), course.planned)
        course.diverged = Diverged(course.steps, rate, str(loss), _last(course, []))
        return False
    course.design_loss.append(loss)
    best = loss < min(course.design_loss[:-1], default=math.inf)
    if best:
        course.epoch = len(course.design_loss) - 1
    return best


def _last(course: Course, losses: list[float]) -> float | None:
    return losses[-1] if losses else (course.training_loss[-1] if course.training_loss else None)
