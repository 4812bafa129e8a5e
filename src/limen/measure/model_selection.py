"""Three rules that choose a model for a population without labels to spare, side by side, on rows none of them saw.

in-distribution  least mean loss on validation rows of the training population
leave-one-out    least mean over the *other* shifted populations of the mean loss on each
oracle           least mean loss on the target itself

The oracle needs target rows and must not be scored on them: the target's rows are cut into two halves (units stay
together), it chooses on one and is scored on the other, and the other way round. Every rule is scored on all rows.
Gap of a rule = mean over rows of loss(chosen) − loss(oracle's choice on the half that the row is not in), paired t; it
may be negative, since an oracle with half of the rows also errs. Intervals are conditional on what was chosen.

Source: Gulrajani, Lopez-Paz 2021 (arXiv:2007.01434), training-domain, leave-one-domain-out, test-domain validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.measure.risk import loss_estimate, paired_estimate
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.model_selection import ModelSelection, Selected

Floats = NDArray[np.float64]
RULES = ("in-distribution", "leave-one-out", "oracle")
REFERENCE = "Gulrajani, Lopez-Paz 2021"


@dataclass(frozen=True, slots=True)
class Candidates:
    """Losses of every model on every population: [models, rows], the same rows for all models."""

    models: tuple[str, ...]
    in_distribution: Floats
    shifted: Mapping[str, Floats]
    """Population → losses; one of them is the target."""
    units: Mapping[str, NDArray[np.int64]] | None = None
    """Population → unit of every row, where rows come in groups."""


def model_selection(candidates: Candidates, target: str, confidence: float = 0.95) -> ModelSelection:
    """What every rule chooses for `target` and what that costs.

    >>> losses = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    >>> found = model_selection(Candidates(("a", "b"), losses, {"t": 3 - losses}), "t")
    >>> found.rules["in-distribution"].models, found.rules["oracle"].models, found.rules["in-distribution"].gap.value
    (('a',), ('b', 'b'), 1.0)

    Without another shifted population leave-one-out is not identified. Raises BadInput for losses of another number of
    models, losses that are not finite, an unknown target, or one of fewer than 4 units.
    """
    _check(candidates, target)
    rows = candidates.shifted[target]
    units = None if candidates.units is None else candidates.units.get(target)
    half = _half(rows.shape[1], units, target)
    by_half = [int(rows[:, half != part].mean(axis=1).argmin()) for part in (False, True)]
    oracle = np.where(half, rows[by_half[1]], rows[by_half[0]])
    others = [losses.mean(axis=1) for name, losses in candidates.shifted.items() if name != target]
    chosen = {
        "in-distribution": int(candidates.in_distribution.mean(axis=1).argmin()),
        "leave-one-out": int(np.mean(others, axis=0).argmin()) if others else None,
    }
    found = {}
    for rule, at in chosen.items():
        if at is None:
            missing = not_identified("no other shifted population to choose on", method=rule, reference=REFERENCE)
            found[rule] = Selected(rule, (), missing, missing)
        else:
            found[rule] = _scored(rule, (candidates.models[at],), (rows[at], oracle), units, confidence)
    names = tuple(candidates.models[at] for at in by_half)
    found["oracle"] = _scored("oracle", names, (oracle, oracle), units, confidence)
    return ModelSelection(target, found)


def all_selections(candidates: Candidates, confidence: float = 0.95) -> tuple[ModelSelection, ...]:
    """Every shifted population as the target in turn."""
    return tuple(model_selection(candidates, target, confidence) for target in candidates.shifted)


def _scored(
    rule: str,
    models: Sequence[str],
    losses: tuple[Floats, Floats],
    units: NDArray[np.int64] | None,
    confidence: float,
) -> Selected:
    own, oracle = losses
    loss = loss_estimate(own, units, confidence)
    gap = paired_estimate(own - oracle, units, confidence).but(reference=REFERENCE)
    if rule == "oracle":
        gap = Estimate(0.0, grade="exact", method="the oracle itself", reference=REFERENCE)
    return Selected(rule, tuple(models), loss.but(assumptions=(*loss.assumptions, "given what was chosen")), gap)


def _half(rows: int, units: NDArray[np.int64] | None, target: str) -> NDArray[np.bool_]:
    member = np.arange(rows) if units is None else np.unique(units, return_inverse=True)[1]
    count = int(member.max()) + 1
    second: NDArray[np.bool_] = (stream("model selection", target, count).permutation(count) % 2 == 1)[member]
    return second


def _check(candidates: Candidates, target: str) -> None:
    count, problems = len(candidates.models), []
    for name, losses in (("in_distribution", candidates.in_distribution), *candidates.shifted.items()):
        if losses.ndim != 2 or len(losses) != count or losses.shape[1] == 0:
            problems.append(Problem(name, f"expected losses [{count} models, rows], got shape {losses.shape}"))
        elif not np.isfinite(losses).all():
            fix = "leave the model out"
            problems.append(Problem(name, "expected finite losses, got NaN or infinite", "a fit diverged", fix))
    if target not in candidates.shifted:
        problems.append(Problem("target", f"expected one of {', '.join(candidates.shifted)}, got {target!r}"))
    for name, units in (candidates.units or {}).items():
        losses = candidates.shifted.get(name, np.zeros((0, 0)))
        if name in candidates.shifted and losses.ndim == 2 and units.shape != losses.shape[1:]:
            problems.append(Problem(name, f"expected one unit a row, got {units.shape} for {losses.shape[1]} rows"))
    if not problems:
        given = (candidates.units or {}).get(target)
        rows = candidates.shifted[target].shape[1]
        units_there = rows if given is None else len(np.unique(given))
        if units_there < 4:
            problems.append(Problem(target, f"expected at least 4 independent rows to halve, got {units_there}"))
    if problems:
        raise BadInput(problems)
