"""Encoders of many runs as points: from the interfaces of a study, with their surrogates where measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate
from limen.records.model_point import ModelPoint
from limen.records.report import Checkpoint, Interface
from limen.records.surrogates import Surrogates

Target = Literal["minimal_adaptation_loss", "adaptation_loss", "error"]
COLUMNS: Mapping[Target, str] = {
    "minimal_adaptation_loss": "floors",
    "adaptation_loss": "adaptation_losses",
    "error": "errors",
}
Kind = Literal["within_run", "within_family", "across_families", "overall"]


def model_points(
    interfaces: Sequence[Interface],
    families: Mapping[str, str],
    target: Target = "minimal_adaptation_loss",
    surrogates: Sequence[Surrogates] = (),
) -> tuple[ModelPoint, ...]:
    """Every checkpoint of every run. `families` maps a run to its family; a run that is not in it is its own.

    Surrogates are matched by the checkpoint's encoder reference. Raises BadInput for surrogates of no checkpoint.
    """
    measured = {found.encoder: found.values for found in surrogates}
    points = tuple(
        ModelPoint(
            encoder=checkpoint.encoder,
            run=one.run,
            family=families.get(one.run, one.run),
            pretraining_loss=checkpoint.pretraining_loss,
            targets=_targets(checkpoint, target),
            surrogates={"pretraining_loss": checkpoint.pretraining_loss, **measured.get(checkpoint.encoder, {})},
        )
        for one in interfaces
        for checkpoint in one.checkpoints
    )
    known = {point.encoder for point in points}
    if strangers := sorted(set(measured) - known):
        raise BadInput(Problem("surrogates", f"{len(strangers)} are of no checkpoint (first: {strangers[0]})"))
    return points


def kinds_of_pairs(points: Sequence[ModelPoint]) -> Mapping[Kind, NDArray[np.bool_]]:
    """Which pairs of points are of which kind, [k, k] each; `overall` is the union of the other three.

    >>> a, b = ModelPoint("a@1", "a", "f"), ModelPoint("b@1", "b", "f")
    >>> kinds_of_pairs([a, b])["within_family"].sum().item()
    2
    """
    runs, families = (np.array([getattr(p, name) for p in points]) for name in ("run", "family"))
    same_run, same_family = (v[:, None] == v[None, :] for v in (runs, families))
    other = ~np.eye(len(points), dtype=bool)
    return {
        "within_run": same_run & other,
        "within_family": same_family & ~same_run,
        "across_families": ~same_family & ~same_run,
        "overall": other,
    }


def run_numbers(points: Sequence[ModelPoint]) -> NDArray[np.int64]:
    """Number of every point's run, 0 … g − 1."""
    return np.unique([p.run for p in points], return_inverse=True)[1].astype(np.int64)


def _targets(checkpoint: Checkpoint, target: Target) -> Mapping[str, Estimate]:
    targets: Mapping[str, Estimate] = getattr(checkpoint, COLUMNS[target])
    return targets
