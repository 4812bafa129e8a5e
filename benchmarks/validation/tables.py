"""Markdown tables of rates, and the rule for when a rate is below what is nominal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limen.arrays.intervals import clopper_pearson_lower, clopper_pearson_upper

from .cells import Found

CHANCE = 0.01
"""A rate is called too low (too high) where its upper (lower) Clopper-Pearson limit at this error is."""


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def below_nominal(hits: int, of: int, nominal: float) -> bool:
    """Whether coverage is below nominal beyond chance: its upper 99 % Clopper-Pearson limit is."""
    return of > 0 and clopper_pearson_upper(hits, of, CHANCE) < nominal


def share(found: Found, name: str, among: str | None = None) -> tuple[int, int]:
    """Repetitions in which `name` held, of those in which `among` did."""
    held = np.array(found.columns[name]) > 0
    counted = np.ones(len(held), dtype=bool) if among is None else np.array(found.columns[among]) > 0
    return int((held & counted).sum()), int(counted.sum())


def covered(counts: tuple[int, int], nominal: float, most: float = 1.0) -> str:
    """A coverage with its mark: ↓ below nominal beyond chance, ↑ above `most` beyond chance."""
    hits, of = counts
    if of == 0:
        return "—"
    mark = " **↓**" if below_nominal(hits, of, nominal) else ""
    mark = " ↑" if not mark and clopper_pearson_lower(hits, of, CHANCE) > most else mark
    return f"{hits / of:.3f} ({hits}/{of}){mark}"


def median(found: Found, name: str, among: str | None = None) -> float:
    values = np.array(found.columns[name])
    if among is not None:
        values = values[np.array(found.columns[among]) > 0]
    return float(np.median(values)) if len(values) else float("nan")


def mean(found: Found, name: str) -> float:
    return float(np.mean(found.columns[name]))


def number(value: float, form: str = ".2f") -> str:
    return "—" if np.isnan(value) else format(value, form)
