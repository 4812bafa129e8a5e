"""Nominal 95 % for the mean over rows in groups of lognormal sizes: g − 1 degrees of freedom, and those in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.arrays.intervals import mean_of, student_quantile

from .cells import Cell, Found, chunks
from .tables import covered, median, share, table

TITLE = "Means over groups"


def cells(quick: bool) -> list[Cell]:
    return [
        cell
        for groups in (6, 12, 30)
        for spread in (0.0, 0.5, 1.0)
        for effect in (0.0, 1.0)
        for cell in chunks(
            "group_means", {"groups": groups, "spread": spread, "effect": effect}, 50 if quick else 2000, 8e-4
        )
    ]


def repetition(seed: Sequence[int], groups: int, spread: float, effect: float) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sizes = np.maximum(1, np.round(np.exp(rng.normal(2.0, spread, groups)))).astype(int)
    member = np.repeat(np.arange(groups), sizes)
    x = effect * rng.normal(size=groups)[member] + rng.normal(size=len(member))
    mean = mean_of(x, member)
    totals = np.bincount(member, weights=x - x.mean())
    plain = np.sqrt(groups / (groups - 1) * totals @ totals) / len(x) * student_quantile(0.025, groups - 1)
    return {
        "plain": abs(x.mean()) <= plain,
        "in_force": mean.low(0.025) <= 0 <= mean.high(0.025),
        "plain_width": plain,
        "width": (mean.high(0.025) - mean.low(0.025)) / 2,
        "dof": mean.dof,
    }


def report(found: Sequence[Found]) -> str:
    head = ("groups", "sd of log size", "effect", "dof", "g − 1", "in force", "half-width, g − 1", "in force")
    body = [
        (*(f"{value:g}" for value in at.settings.values()), f"{median(at, 'dof'):.1f}",
         covered(share(at, "plain"), 0.95), covered(share(at, "in_force"), 0.95), f"{median(at, 'plain_width'):.2f}",
         f"{median(at, 'width'):.2f}")
        for at in found
    ]  # fmt: skip
    return table(head, body)
