"""Fields of one pretraining run that are each well formed and cannot all be meant, or of which one says nothing.

An option that says nothing to the chosen objective, a strength that says nothing to the kind of input: known from
`limen.pretrain.options.OBJECTIVES` and `limen.pretrain.views.strengths.KINDS`, not listed here. A value that is the
default contradicts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from limen.pretrain.options import OBJECTIVES
from limen.pretrain.views.strengths import KINDS
from limen.study.types import Contradiction

if TYPE_CHECKING:
    from limen.study.encoders import Pretrain

INPUT_TABLES = {"tokens": "text", "sound": "audio"}
"""Table of preprocessing → the kind of input it speaks of."""
WHOLE_IMAGE = ("mlp", "linear")
"""Architectures that see an image as one position: nothing is left to restore it from."""


def run_contradictions(run: Pretrain) -> Iterator[Contradiction]:
    """Everything in one run that contradicts something else in it, with both keys.

    >>> from limen.study.encoders import Pretrain
    >>> run = Pretrain(data="digits", steps=9).model_copy(update={"share": 0.2})
    >>> list(run_contradictions(run))
    [('share says nothing to objective = "nt-xent"', ('share',), ('objective',))]
    """
    yield from _objective(run)
    yield from _pairs(run)
    yield from _input(run)
    yield from _architecture(run)
    yield from _length(run)
    yield from _shares(run)


def _shares(run: Pretrain) -> Iterator[Contradiction]:
    """Batch, micro-batches and processes divide one another."""
    if run.accumulation > 1 and (run.batch_size % run.accumulation or run.batch_size // run.accumulation < 2):
        what = f"accumulation = {run.accumulation} does not cut batches of {run.batch_size} into equal parts"
        yield what, ("accumulation",), ("batch_size",)
    if run.accumulation % run.processes:
        what = f"processes = {run.processes} cannot share {run.accumulation} micro-batches evenly"
        yield what, ("processes",), ("accumulation",)
    if run.processes > 1 and run.architecture.name == "resnet18":
        yield "resnet18 has batch statistics, which processes do not share", ("processes",), ("architecture",)
    if run.processes > 1 and run.record is not None:
        yield "a recorded run is made by one process", ("processes",), ("record",)


def _objective(run: Pretrain) -> Iterator[Contradiction]:
    options = dict.fromkeys(key for every in OBJECTIVES.values() for key in every)
    for key in options:
        if key not in OBJECTIVES[run.objective] and _said(run, key):
            yield f'{key} says nothing to objective = "{run.objective}"', (key,), ("objective",)
    if run.projection == 0 and run.objective == "nt-xent":
        yield 'projection = 0 leaves out the head, which objective = "nt-xent" needs', ("projection",), ("objective",)


def _pairs(run: Pretrain) -> Iterator[Contradiction]:
    if "pairs" in OBJECTIVES[run.objective] and run.pairs == "views" and _said(run, "label"):
        yield 'label says nothing to pairs = "views"', ("label",), ("pairs",)
    if run.objective == "contrastive" and run.negatives >= run.batch_size // run.accumulation:
        what = f"negatives = {run.negatives} needs a batch of more than as many, not of {run.batch_size}"
        what += f"/{run.accumulation}" if run.accumulation > 1 else ""
        yield what, ("negatives",), ("batch_size",)


def _input(run: Pretrain) -> Iterator[Contradiction]:
    known = {field.name for field in fields(KINDS[run.input])}
    for key in () if run.augmentation is None else type(run.augmentation).model_fields:
        if key not in known and _said(run.augmentation, key):
            yield f'augmentation.{key} says nothing to input = "{run.input}"', ("augmentation", key), ("input",)
    for key, kind in INPUT_TABLES.items():
        if kind != run.input and _said(run, key):
            yield f'{key} says nothing to input = "{run.input}"', (key,), ("input",)
    if run.objective == "next-token" and run.input != "text":
        yield 'objective = "next-token" needs input = "text"', ("objective",), ("input",)
    if run.objective == "autoencoder" and run.input == "text" and run.noise > 1:
        yield f'noise = {run.noise:g} is no probability, as input = "text" needs', ("noise",), ("input",)


def _architecture(run: Pretrain) -> Iterator[Contradiction]:
    name, takes = run.architecture.name, run.architecture.takes
    if takes != run.input:
        yield f'architecture "{name}" takes {takes}, not input = "{run.input}"', ("architecture",), ("input",)
    elif run.objective == "masked" and (name in WHOLE_IMAGE or getattr(run.architecture, "causal", False)):
        sees = "has one position" if name in WHOLE_IMAGE else "is causal"
        what = f'objective = "masked" restores positions from others, and the architecture "{name}" {sees}'
        yield what, ("objective",), ("architecture",)


def _length(run: Pretrain) -> Iterator[Contradiction]:
    if isinstance(run.checkpoints, tuple):
        beyond = [step for step in run.checkpoints if step > run.steps]
        if beyond:
            yield f"checkpoint {beyond[0]} lies beyond steps = {run.steps}", ("checkpoints",), ("steps",)
    elif run.checkpoints > run.steps + 1:
        yield f"at most {run.steps + 1} checkpoints fit into steps = {run.steps}", ("checkpoints",), ("steps",)
    warmup = getattr(run.schedule, "warmup", 0)
    if warmup >= run.steps:
        yield f"warmup = {warmup} leaves none of steps = {run.steps}", ("schedule", "warmup"), ("steps",)


def _said(section: Any, key: str) -> bool:
    """Whether a field says something: it is not at its default."""
    return bool(getattr(section, key) != type(section).model_fields[key].default)
