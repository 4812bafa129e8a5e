"""From the records of finished cells to everything that a page shows: budgets, comparisons, interfaces.

A budget is a pure function of one fit record and the question (confidence, target, margin), so nothing here is stored:
the same store answers another question without running anything. Names of encoders and tasks are those of the study
now, whatever they were when the cell ran. Where a study lists m radii, each budget holds at confidence 1 − (1 − c)/m.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from limen.measure.interface import RunLosses, interface, with_task
from limen.measure.pretraining import heldout_batches, pretraining_checkpoints
from limen.records.budget import Budget
from limen.records.comparison import Comparison
from limen.records.report import CellOutcome, Checkpoint, Interface, Recorded, Report
from limen.records.stage import StageRecord
from limen.records.task import Question
from limen.study.encoders import Pretrain
from limen.study.judged import recorded
from limen.study.overlap import note_comparison, note_overlap, overlap_of
from limen.study.plan import Fit, Plan
from limen.study.reference import EncoderReference
from limen.study.spec import Study
from limen.verdict import compare_pairs, conclude, note_selection, rankings


@dataclass(frozen=True, slots=True)
class Finished:
    """A study whose cells have run, as far as they have."""

    study: Study
    plan: Plan
    load: Callable[[str], StageRecord]
    """Record of a published cell by key."""
    has: Callable[[str], bool]
    cells: tuple[CellOutcome, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    """Name of the study file, as `limen dynamics FILE::ENCODER` takes it."""


def report(finished: Finished) -> Report:
    """Everything that the published cells of a study say; cells that are not published are left out."""
    done = [fit for fit in finished.plan.fits if finished.has(fit.key)]
    records = _with_richer(done, {fit.key: finished.load(fit.key) for fit in done}, finished.study)
    question = question_of(finished.study)
    cells = finished.plan.cells
    budgets = {
        fit: note_overlap(
            _budget(fit, records[fit.key], question, finished.study), overlap_of(cells, fit.key, records[fit.key])
        )
        for fit in done
    }
    noted = note_selection(list(budgets.values()), [records[fit.key] for fit in budgets], question)
    final = [budget for fit, budget in zip(budgets, noted, strict=True) if fit.encoder.step is None]
    return Report(
        name=finished.study.name,
        budgets=noted,
        comparisons=_comparisons(done, records, finished),
        interfaces=_interfaces(finished, budgets),
        cells=finished.cells,
        recipe=finished.recipe,
        rankings=rankings(final),
        recorded=_recorded(finished),
    )


def _with_richer(done: Sequence[Fit], records: dict[str, StageRecord], study: Study) -> dict[str, StageRecord]:
    """Records of probes with the tuned encoder beside them, where the same encoder was tuned on the same task.

    It is that of the first tuned method that the study names: which one, no held-out row decides.
    """
    order: list[str] = [method for method in study.adapt.methods if study.adapt.options(method) is not None]
    tuned: dict[tuple[EncoderReference, str], Fit] = {}
    for fit in sorted((fit for fit in done if fit.method in order), key=lambda fit: order.index(fit.method)):
        tuned.setdefault((fit.encoder, fit.task), fit)
    probes = [fit for fit in done if fit.method == "linear-probe" and (fit.encoder, fit.task) in tuned]
    if not probes:
        return records
    from limen.adapt.tune.assemble import with_tuned

    return records | {
        fit.key: with_tuned(records[fit.key], records[tuned[fit.encoder, fit.task].key]) for fit in probes
    }


def question_of(study: Study) -> Question:
    """What the study asks: its confidence, target and margin."""
    target = study.advice.target
    return Question(study.confidence, target.loss, target.error, study.advice.margin)


def _budget(fit: Fit, record: StageRecord, question: Question, study: Study) -> Budget:
    if fit.radius is not None:
        radii = study.adapt.linear_probe.radius
        count = len(set(radii)) if isinstance(radii, tuple) else 1
        question = replace(question, confidence=1 - (1 - question.confidence) / count)
    return replace(conclude(record, question), encoder=str(fit.encoder), task=fit.task)


def _comparisons(done: Sequence[Fit], records: Mapping[str, StageRecord], finished: Finished) -> tuple[Comparison, ...]:
    """All pairs of encoders of one task, method and radius; those of one task hold together (verdict.comparisons)."""
    families: dict[tuple[str, str, float | None], dict[str, str]] = {}
    for fit in done:
        if fit.encoder.step is None:  # earlier checkpoints are the matter of the interface
            families.setdefault((fit.task, fit.method, fit.radius), {})[str(fit.encoder)] = fit.key
    pairs: list[tuple[StageRecord, StageRecord]] = []
    keys: list[tuple[str, str]] = []
    of = {fit.key: records[fit.key] for fit in done}
    for (task, _, _), encoders in families.items():
        named = [
            replace(records[key], data={**records[key].data, "encoder": name, "task": task})
            for name, key in encoders.items()
        ]
        pairs += combinations(named, 2)
        keys += combinations(encoders.values(), 2)
    compared = compare_pairs(pairs, finished.study.confidence)
    cells = finished.plan.cells
    return tuple(
        note_comparison(duel, overlap_of(cells, a, of[a]), overlap_of(cells, b, of[b]))
        for duel, (a, b) in zip(compared, keys, strict=True)
    )


def _interfaces(finished: Finished, budgets: Mapping[Fit, Budget]) -> tuple[Interface, ...]:
    confidence = finished.study.confidence
    found = []
    for reference, key in finished.plan.pretrained.items():
        if not finished.has(key):
            continue
        record, run = finished.load(key), f"{reference.name}#{reference.seed}"
        checkpoints = [
            _downstream(checkpoint, _fits_of(wanted, budgets), str(wanted))
            for checkpoint in pretraining_checkpoints(record, run, confidence)
            for wanted in [_encoder_of(reference, checkpoint.step, finished.study)]
        ]
        shared = {
            fit.task
            for fit in budgets
            if (fit.encoder.name, fit.encoder.seed) == (reference.name, reference.seed)
            and overlap_of(finished.plan.cells, fit.key).pool_scored
        }
        losses = RunLosses(
            run, record.data["objective"], record.data["loss_name"], heldout_batches(record), tuple(sorted(shared))
        )
        if checkpoints:
            found.append(interface(losses, checkpoints, confidence))
    return tuple(found)


def _recorded(finished: Finished) -> tuple[Recorded, ...]:
    """The verdict on every recorded run that is published."""
    asked = {name for name, at in finished.study.encoder.items() if isinstance(at, Pretrain) and at.record}
    return tuple(
        recorded(str(reference), f"{finished.file}::{reference}", finished.load(key))
        for reference, key in finished.plan.pretrained.items()
        if reference.name in asked and finished.has(key)
    )


def _encoder_of(run: EncoderReference, step: int, study: Study) -> EncoderReference:
    """The encoder of one checkpoint as the study's budgets name it: the last layer, the last step unnamed."""
    encoder = study.encoder[run.name]
    last = encoder.kept_steps()[-1] if isinstance(encoder, Pretrain) else None
    return EncoderReference(run.name, run.seed, None, None if step == last else step)


def _fits_of(wanted: EncoderReference, budgets: Mapping[Fit, Budget]) -> list[Budget]:
    """The budgets of a checkpoint read out at its last layer by a linear probe, one a task."""
    chosen: dict[str, Budget] = {}
    for fit, budget in budgets.items():
        if fit.encoder == wanted and budget.sides is not None:
            chosen[fit.task] = budget  # of several radii the largest: they are in increasing order
    return list(chosen.values())


def _downstream(checkpoint: Checkpoint, budgets: Sequence[Budget], encoder: str) -> Checkpoint:
    checkpoint = replace(checkpoint, encoder=encoder)
    for budget in budgets:
        floor, loss = budget.terms["minimal_adaptation_loss"], budget.terms["adaptation_loss"]
        checkpoint = with_task(checkpoint, budget.task, floor, loss, budget.terms["error"])
    return checkpoint
