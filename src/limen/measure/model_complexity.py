"""Loss against the complexity of the model, in both phases of the chain.

pretraining   number of trained encoder parameters → L̂_pre, L_pre of a run's last checkpoint (and a task's floor)
adaptation    radius of the ball, or rank of an adapter → L̂_adapt, L_adapt and the floor where there is one

The floor L*(radius) cannot rise with the radius; its simultaneous brackets are a budget's `floor_path`. Nothing here is
fitted: points are the Estimates of the records, in order of complexity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limen.measure.pretraining import pretraining_checkpoints
from limen.pretrain.checkpoints import unpack
from limen.records.budget import Budget
from limen.records.complexity import Axis, ComplexityCurve, ComplexityPoint
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.stage import StageRecord

TERMS = ("empirical_adaptation_loss", "adaptation_loss", "minimal_adaptation_loss")
BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "mean", "std")
"""Last parts of the names of tensors that are not trained."""


def parameters(record: StageRecord) -> int:
    """Trained numbers of a run's encoder (no head, no statistics of inputs or batches)."""
    step = int(record.data["checkpoints"][-1]["step"])
    weights = unpack(record.arrays, step)
    kept = [a for name, a in weights.items() if name.startswith("encoder.") and name.split(".")[-1] not in BUFFERS]
    return sum(array.size for array in kept)


def loss_by_size(
    records: Mapping[str, StageRecord], floors: Mapping[str, Estimate] | None = None, confidence: float = 0.95
) -> ComplexityCurve:
    """Pretraining losses of every run (name → record) against its number of parameters; floors by the same names.

    Raises BadInput for runs of different losses: batch, temperature and augmentation are part of a loss's name.
    """
    names = sorted({str(record.data["loss_name"]) for record in records.values()})
    if len(names) != 1:
        raise BadInput(Problem("records", f"expected runs of one pretraining loss, got {'; '.join(names) or 'none'}"))
    points = []
    for name, record in records.items():
        last = pretraining_checkpoints(record, name, confidence)[-1]
        losses = {
            "empirical_pretraining_loss": last.empirical_pretraining_loss,
            "pretraining_loss": last.pretraining_loss,
        }
        if floors is not None and name in floors:
            losses["minimal_adaptation_loss"] = floors[name]
        points.append(ComplexityPoint(parameters(record), last.encoder, losses))
    return _curve("pretraining", "parameters", names[0], points)


def floor_by_radius(budget: Budget) -> ComplexityCurve:
    """The simultaneous brackets of L*(radius) of one budget; a bracket has no point.

    Raises BadInput for a budget without them: methods without a lower side.
    """
    if not budget.floor_path:
        what = f"{budget.method} on {budget.encoder} has no lower side, so no floor at any radius"
        raise BadInput(Problem("budget.floor_path", what))
    points = []
    for at in budget.floor_path:
        bracket = not_identified(
            "a bracket; it has no point" if at.low is not None else "sides crossed: rows are not of one population",
            low=at.low,
            high=at.high,
            confidence=None if at.low is None else budget.confidence,
            grade="statistical",
            method="simultaneous bracket over the grid of radii",
        )
        points.append(ComplexityPoint(at.radius, f"‖W‖ ≤ {at.radius:.4g}", {"minimal_adaptation_loss": bracket}))
    return _curve("adaptation", "radius", f"{budget.task} · {budget.method}", points)


def loss_by_radius(budgets: Sequence[Budget]) -> ComplexityCurve:
    """Losses of budgets that differ in their radius alone (`radius = [10, 40, 160]` makes one each)."""
    if bare := [b.encoder for b in budgets if b.radius is None]:
        raise BadInput(Problem("budgets", f"{len(bare)} have no radius (first: {bare[0]})"))
    return _by("radius", [(float(b.radius or 0.0), b) for b in budgets])


def loss_by_rank(budgets: Mapping[int, Budget]) -> ComplexityCurve:
    """Losses of budgets of one adapter at several ranks: rank → budget (LoRA, or features cut to k directions)."""
    return _by("rank", list(budgets.items()))


def _by(axis: Axis, budgets: Sequence[tuple[float, Budget]]) -> ComplexityCurve:
    identities = {(b.task, b.loss, b.classes, b.method, b.encoder) for _, b in budgets}
    if len(identities) != 1:
        what = f"expected budgets of one task, loss, method and encoder, got {len(identities)} kinds"
        raise BadInput(Problem("budgets", what))
    points = [
        ComplexityPoint(at, f"{axis} {at:.4g}", {name: b.terms[name] for name in TERMS if name in b.terms})
        for at, b in budgets
    ]
    first = budgets[0][1]
    return _curve("adaptation", axis, f"{first.task} · {first.method}", points)


def _curve(phase: str, axis: Axis, name: str, points: Sequence[ComplexityPoint]) -> ComplexityCurve:
    ordered = tuple(sorted(points, key=lambda p: p.complexity))
    return ComplexityCurve("pretraining" if phase == "pretraining" else "adaptation", axis, name, ordered)
