"""Fields of a study that are each well formed and cannot all be meant; every finding names all keys concerned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from limen.study.adapt import Adapt, TunedName
from limen.study.encoders import WITH_WEIGHTS, Encoder, Pretrain, Transformers
from limen.study.positions import Path
from limen.study.reference import EncoderReference, parse_reference
from limen.study.source import Finding, did_you_mean
from limen.study.spec import Advice, Study, Task

_SAME = (
    "input", "data", "column", "on_bad", "heldout", "objective", "label", "loss", "projection", "tokens", "sound",
    "architecture",
)  # fmt: skip
"""What a run has in common with the one it starts from: the examples, what is held out, and all tensors."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The well-formed parts of a study, so that one malformed part does not hide what is wrong between the others."""

    encoders: Mapping[str, Encoder] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    adapt: Adapt | None = None
    advice: Advice | None = None
    complete: bool = True
    """Whether every encoder and task of the file is here."""


def pieces_of(study: Study) -> Pieces:
    """The pieces of a whole study."""
    return Pieces(study.encoder, study.task, study.adapt, study.advice)


def contradictions(pieces: Pieces) -> list[Finding]:
    """Everything that contradicts something else."""
    found = [finding for name, task in pieces.tasks.items() for finding in _task(name, task, pieces)]
    found += [finding for name, encoder in pieces.encoders.items() for finding in _start(name, encoder, pieces)]
    found += _pairs(pieces) if pieces.complete else []
    found += [*_adapt(pieces.adapt), *_tuning(pieces.adapt, pieces)] if pieces.adapt else []
    target = pieces.advice.target if pieces.advice else None
    if target and target.loss is not None and target.error is not None:
        where: Path = ("advice", "target")
        found.append(Finding(((*where, "loss"), (*where, "error")), "a target is a loss or an error rate, not both",
                             "remove one of the two"))  # fmt: skip
    return found


def _task(name: str, task: Task, pieces: Pieces) -> Iterator[Finding]:
    here: Path = ("task", name)
    if task.same_population and task.test is None:
        yield Finding(((*here, "same_population"), here), "same_population = true speaks of a test file, and there is"
                      " none", "add test = … or remove same_population")  # fmt: skip
    for reserved in ("test", "holdout", "train"):
        if reserved in task.shift:
            yield Finding(((*here, "shift", reserved), (*here, reserved)), f'a shift population cannot be named'
                          f' "{reserved}": that name is taken', "rename it", at_key=True)  # fmt: skip
    for number, text in enumerate(task.encoders or ()):
        path: Path = (*here, "encoders", number)
        reference = parse_reference(text)
        encoder = pieces.encoders.get(reference.name)
        if encoder is None:
            if pieces.complete:
                suggestion = did_you_mean(reference.name, pieces.encoders)
                yield Finding((path,), f'no encoder is named "{reference.name}"', suggestion)
            continue
        if encoder.input != task.input:
            yield Finding(
                (path, ("encoder", reference.name, "input"), (*here, "input")),
                f'encoder "{reference.name}" takes {encoder.input} and task "{name}" gives {task.input}',
                "name an encoder of the same input, or change one of the inputs",
            )
        yield from _part_of(reference, encoder, path)


def _part_of(reference: EncoderReference, encoder: Encoder, path: Path) -> Iterator[Finding]:
    """Whether the seed, layer and step of a reference exist."""
    here: Path = ("encoder", reference.name)
    if not isinstance(encoder, Pretrain):
        if reference.seed or reference.step is not None:
            what = f'encoder "{reference.name}" is not trained by this study and has no seeds or steps'
            yield Finding((path, (*here, "source")), what, f'write "{reference.name}"')
        elif reference.layer is not None and not (isinstance(encoder, Transformers) and _whole(reference.layer)):
            what = f'layer "{reference.layer}" cannot be taken from source = "{encoder.source}"'
            yield Finding((path, (*here, "source")), what, "a layer is a whole number of a transformers encoder")
        return
    if reference.layer is not None and not encoder.architecture.has(reference.layer):
        where = (*here, "architecture") if "architecture" in encoder.model_fields_set else (*here, "source")
        fix = f"the layers of this {encoder.architecture.name} encoder are {encoder.architecture.layers()}"
        yield Finding((path, where), f'unknown layer "{reference.layer}"', fix)
    yield from _kept(reference, encoder, path)


def _kept(reference: EncoderReference, encoder: Pretrain, path: Path) -> Iterator[Finding]:
    """Whether the run has this seed and keeps this step."""
    here: Path = ("encoder", reference.name)
    if reference.seed >= encoder.seeds:
        yield Finding((path, (*here, "seeds")), f"seed {reference.seed} does not exist: seeds = {encoder.seeds}",
                      f"use #0 to #{encoder.seeds - 1}, or raise seeds")  # fmt: skip
    steps = encoder.kept_steps()
    if reference.step is not None and reference.step not in steps:
        yield Finding((path, (*here, "checkpoints")), f"step {reference.step} is no checkpoint",
                      f"the checkpoints are {', '.join(map(str, steps))}")  # fmt: skip


def _start(name: str, encoder: Encoder, pieces: Pieces) -> Iterator[Finding]:
    """Whether the checkpoint that a run begins with exists and is one of the same model on the same examples."""
    if not isinstance(encoder, Pretrain) or encoder.start is None:
        return
    path: Path = ("encoder", name, "start")
    reference = parse_reference(encoder.start)
    other: Path = ("encoder", reference.name)
    base = pieces.encoders.get(reference.name)
    if base is None:
        if pieces.complete:
            suggestion = did_you_mean(reference.name, pieces.encoders)
            yield Finding((path,), f'no encoder is named "{reference.name}"', suggestion)
        return
    if not isinstance(base, Pretrain):
        yield Finding((path, (*other, "source")), f'encoder "{reference.name}" is not trained by this study',
                      'start from an encoder with source = "pretrain"')  # fmt: skip
        return
    if name in starts_of(reference.name, pieces.encoders):
        yield Finding((path,), f'"{name}" starts from itself', "begin the chain with an encoder without start")
        return
    yield from _kept(reference, base, path)
    for key in _SAME:
        if getattr(encoder, key) != getattr(base, key):
            yield Finding((("encoder", name, key), (*other, key)),
                          f'"{name}" starts from "{reference.name}", so their {key} must be the same',
                          "change one of the two, or remove start")  # fmt: skip


def starts_of(name: str, encoders: Mapping[str, Encoder]) -> list[str]:
    """The encoders that a run goes back to, itself first; a chain that runs in a circle ends where it meets itself."""
    found: list[str] = []
    while name not in found:
        found.append(name)
        encoder = encoders.get(name)
        if not isinstance(encoder, Pretrain) or encoder.start is None:
            break
        name = parse_reference(encoder.start).name
    return found


def _whole(text: str) -> bool:
    return text.lstrip("-").isdigit()


def _pairs(pieces: Pieces) -> Iterator[Finding]:
    """Encoders and tasks without partner."""
    inputs_of_tasks = {task.input for task in pieces.tasks.values()}
    wanted: set[str] = set()
    for name, task in pieces.tasks.items():
        if task.encoders is not None:
            wanted |= {parse_reference(text).name for text in task.encoders}
        else:
            partners = {key for key, encoder in pieces.encoders.items() if encoder.input == task.input}
            wanted |= partners
            if not partners:
                yield Finding((("task", name, "input"),), f"no encoder takes {task.input}",
                              f'add an encoder with input = "{task.input}"')  # fmt: skip
    wanted |= {other for name in wanted for other in starts_of(name, pieces.encoders)}
    for name, encoder in pieces.encoders.items():
        if name not in wanted:
            why = "is named by none" if encoder.input in inputs_of_tasks else f"takes {encoder.input}"
            yield Finding((("encoder", name),), f"this encoder has no task: it {why}"
                          f"{'' if 'named' in why else ' and no task gives that'}",
                          "add a task for it, name it in a task's encoders, or remove it", at_key=True)  # fmt: skip


def _tuning(adapt: Adapt, pieces: Pieces) -> Iterator[Finding]:
    """What methods that move weights ask for."""
    methods: Path = ("adapt", "methods")
    asked = [method for method in adapt.methods if adapt.options(method) is not None]
    if not asked:
        return
    if adapt.labels is None:
        yield Finding((methods,), f'"{asked[0]}" needs label counts: each is trained on its own',
                      'add labels = [64, 256, "all"]')  # fmt: skip
    if "lp-ft" in asked and adapt.loss == "squared":
        yield Finding((methods, ("adapt", "loss")), '"lp-ft" begins with a logistic probe and loss = "squared" ends'
                      ' with another', 'take loss = "log", or "fine-tune"')  # fmt: skip
    if "partial" in asked and not adapt.partial.layers:
        yield Finding((methods, ("adapt", "partial")), '"partial" needs the layers that move',
                      'add [adapt.partial] with layers = ["…"]')  # fmt: skip
    if pieces.complete and not any(encoder.source in WITH_WEIGHTS for encoder in pieces.encoders.values()):
        yield Finding((methods,), f'"{asked[0]}" moves the weights of an encoder, and no encoder has any',
                      f"sources with weights are {', '.join(WITH_WEIGHTS)}")  # fmt: skip


def _adapt(adapt: Adapt) -> Iterator[Finding]:
    given: set[Any] = adapt.model_fields_set
    sections = ("linear-probe", "knn", *get_args(TunedName))
    for method, attribute in ((name, name.replace("-", "_")) for name in sections):
        if attribute in given and method not in adapt.methods:
            yield Finding((("adapt", method), ("adapt", "methods")), f'"{method}" is not among the methods, so this'
                          " section changes nothing", f'add "{method}" to methods, or remove the section',
                          at_key=True)  # fmt: skip
