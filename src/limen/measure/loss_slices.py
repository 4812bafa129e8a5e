"""Losses along straight lines between weights: initial → foundation model → adapted model.

    θ(i + s) = (1 − s) θ_i + s θ_{i+1},   0 ≤ s ≤ 1,      loss(position) = mean over units of ℓ_u(θ)

A unit is what the loss callable returns one number for: a batch of pretraining, a row of a task. The same units are
scored at every position, so heights are paired. Barrier of a piece: max over its inner positions of

    mean_u [ℓ_u(θ(i + s)) − (1 − s) ℓ_u(θ_i) − s ℓ_u(θ_{i+1})]

with intervals that hold for all inner positions of the piece together (Bonferroni); negative where the loss is convex
along the line. A tensor that a state has not (a task's head before the task) is that of the nearest state that has it.
Integer tensors are those of the nearer state. Averages of two nets' batch statistics are no statistics of the averaged
net: give `restore`, which re-estimates them (`restored_batch_norm`), unless the net has none.

Source: Goodfellow, Vinyals, Saxe 2015 (arXiv:1412.6544) for the line; Frankle et al. 2020 (arXiv:1912.05671) for the
barrier; Izmailov et al. 2018 (arXiv:1803.05407) for re-estimated statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.measure.risk import loss_estimate
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate
from limen.records.loss_slices import LossSlices

Arrays = Mapping[str, NDArray[Any]]
Losses = NDArray[np.float64]
LossOf = Callable[[Arrays], Losses]
Restore = Callable[[Arrays], Arrays]

AS_GIVEN = "batch statistics, where there are any, are interpolated like weights"
RESTORED = "batch statistics re-estimated at every position"


@dataclass(frozen=True, slots=True)
class Path:
    """Named states in order, and how many positions lie on each piece (both ends counted)."""

    states: Mapping[str, Arrays]
    """State → its tensors, such as `{"start": …, "pretrained": …, "adapted": …}`."""
    positions: int = 11


def loss_slices(
    path: Path, losses: Mapping[str, LossOf], restore: Restore | None = None, confidence: float = 0.95
) -> LossSlices:
    """Every loss at every position, and the barrier of every piece.

    >>> states = {"a": {"w": np.array([-1.0])}, "b": {"w": np.array([1.0])}}
    >>> wells = {"wells": lambda at: np.full(3, (at["w"][0] ** 2 - 1) ** 2)}
    >>> loss_slices(Path(states), wells).barriers["wells"][0].value
    1.0

    A loss that is not finite is `diverged` there. Raises BadInput for fewer than two states or three positions, tensors
    of one name and different shapes, no losses, and losses of another number of units than at the first position.
    """
    names = tuple(path.states)
    states = _completed(path, losses)
    pieces = [np.linspace(0, 1, path.positions) for _ in names[1:]]
    places = [(0, 0.0)] + [(i, float(s)) for i, piece in enumerate(pieces) for s in piece[1:]]
    rows: dict[str, list[Losses]] = {name: [] for name in losses}
    for i, share in places:
        between = interpolate(states[i], states[i + 1], share)
        at = between if restore is None else restore(between)
        for name, loss in losses.items():
            rows[name].append(np.asarray(loss(at), dtype=np.float64).reshape(-1))
    _same_units(rows)
    return LossSlices(
        states=names,
        positions=tuple(i + s for i, s in places),
        losses={name: tuple(_mean(row, confidence) for row in found) for name, found in rows.items()},
        barriers={name: _barriers(found, path.positions, confidence) for name, found in rows.items()},
        statistics=AS_GIVEN if restore is None else RESTORED,
    )


def interpolate(a: Arrays, b: Arrays, share: float) -> dict[str, NDArray[Any]]:
    """(1 − share)·a + share·b, exactly a or b at the ends; tensors that are not floating point from the nearer one.

    >>> interpolate({"w": np.array([0.0])}, {"w": np.array([4.0])}, 0.25)["w"].tolist()
    [1.0]
    """
    if share in (0.0, 1.0):
        return dict(a if share == 0.0 else b)
    found = {}
    for name, left in a.items():
        if np.issubdtype(left.dtype, np.floating):
            found[name] = ((1 - share) * left + share * b[name]).astype(left.dtype)
        else:
            found[name] = left if share < 0.5 else b[name]
    return found


def restored_batch_norm(model: Any, forward: Callable[[Any], None], prefix: str = "") -> Restore:
    """A `restore` for a torch module: its running statistics become the averages over what `forward(model)` shows it.

    `forward` runs the module on training batches; tensors under `prefix` are the module's. Momentum is left as it was.
    """
    import torch

    def restore(at: Arrays) -> Arrays:
        own = {k.removeprefix(prefix): torch.from_numpy(np.array(v)) for k, v in at.items() if k.startswith(prefix)}
        model.load_state_dict(own)
        norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        momenta, training = [m.momentum for m in norms], model.training
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # plain average over the batches
        model.train()
        with torch.no_grad():
            forward(model)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)
        anew = {prefix + k: v.detach().cpu().numpy().copy() for k, v in model.state_dict().items()}
        return {**at, **anew}

    return restore


def _completed(path: Path, losses: Mapping[str, LossOf]) -> list[dict[str, NDArray[Any]]]:
    """The states with all tensors, each missing one from the nearest state that has it (the earlier one of two)."""
    states, problems = list(path.states.values()), []
    if len(states) < 2:
        problems.append(Problem("path.states", f"expected at least 2 states, got {len(states)}"))
    if path.positions < 3:
        problems.append(Problem("path.positions", f"expected at least 3 a piece, got {path.positions}"))
    if not losses:
        problems.append(Problem("losses", "expected at least one, got none"))
    full: list[dict[str, NDArray[Any]]] = [dict(state) for state in states]
    for name in sorted({name for state in states for name in state}):
        having = [i for i, state in enumerate(states) if name in state]
        shapes = {states[i][name].shape for i in having}
        if len(shapes) > 1:
            problems.append(Problem(name, f"expected one shape in all states, got {_text(shapes)}"))
        for i, state in enumerate(full):
            if name not in state:
                state[name] = states[min(having, key=lambda j: (abs(i - j), j))][name]
    if problems:
        raise BadInput(problems)
    return full


def _text(shapes: set[tuple[int, ...]]) -> str:
    return " and ".join(str(list(shape)) for shape in sorted(shapes))


def _same_units(rows: Mapping[str, Sequence[Losses]]) -> None:
    problems = [
        Problem(name, f"expected losses of the same units everywhere, got {sorted({row.size for row in found})}")
        for name, found in rows.items()
        if len({row.size for row in found}) > 1 or found[0].size == 0
    ]
    if problems:
        raise BadInput(problems)


def _mean(row: Losses, confidence: float) -> Estimate:
    if not np.isfinite(row).all():
        reason = f"{int((~np.isfinite(row)).sum())} of {row.size} units have no finite loss at these weights"
        return Estimate(None, state="diverged", reason=reason, n=row.size)
    return loss_estimate(row, None, confidence)


def _barriers(rows: Sequence[Losses], positions: int, confidence: float) -> tuple[Estimate, ...]:
    each = 1 - (1 - confidence) / (positions - 2)
    found = []
    for start in range(0, len(rows) - 1, positions - 1):
        piece, shares = rows[start : start + positions], np.linspace(0, 1, positions)
        heights = [
            _mean(row - (1 - s) * piece[0] - s * piece[-1], each)
            for row, s in zip(piece[1:-1], shares[1:-1], strict=True)
        ]
        found.append(_largest(heights, confidence))
    return tuple(found)


def _largest(heights: Sequence[Estimate], confidence: float) -> Estimate:
    lost = [h for h in heights if h.value is None]
    if lost:
        return lost[0]
    common: dict[str, Any] = {"n": heights[0].n, "method": "largest height above the chord, paired"}
    value = max(h.value for h in heights if h.value is not None)
    if any(not h.two_sided for h in heights):
        return Estimate(value, grade="point", assumptions=("one unit: no error can be told from it",), **common)
    low, high = (max(getattr(h, end) for h in heights) for end in ("low", "high"))
    said = ("independent units", f"{len(heights)} positions hold together", "of these positions: others may be higher")
    return Estimate(value, low, high, confidence, "statistical", assumptions=said, **common)
