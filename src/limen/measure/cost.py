"""Cost beside gain: CPU-seconds as measured, energy by a stated constant, and what they bought.

    energy = cpu_seconds · watts_per_core · overhead + wall_seconds · gibibytes · watts_per_gibibyte · overhead

The constants are an average over machines, not this one's: energy is right to a factor of two or three, and is `point`
by nature. CPU-seconds count all threads and child processes that have ended (`measured`). A graphics card's seconds are
not among them. The gain of an option is the baseline's loss less its own, from losses of the same rows (paired) or from
two Estimates (their standard errors joined); its cost is the difference of CPU-seconds. Nothing is ranked by the ratio:
`efficient` names the options that no cheaper one beats.

Source of the constants: Lannelongue, Grealey, Inouye 2021 (Advanced Science 8, 2100707; green-algorithms.org).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from limen.measure.interface import standard_error
from limen.measure.risk import paired_estimate
from limen.records.cost import Cost, GainForCost, Power
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified

GIBIBYTE = 2**30
HOUR = 3600.0
RECOMPUTED = "errors of the two losses taken as independent"


@dataclass(frozen=True, slots=True)
class Option:
    """Something that can be done: what it cost, the loss it reached, and its losses by row where rows are shared."""

    name: str
    cost: Cost
    loss: Estimate
    rows: NDArray[np.float64] | None = None
    """[m], the same rows for all options that have them."""


def cost_of(
    cpu_seconds: float, wall_seconds: float | None = None, memory_bytes: int | None = None, power: Power | None = None
) -> Cost:
    """The cost with its energy in kilojoules; memory counts where both its size and the wall seconds are known.

    >>> cost_of(100.0, power=Power(overhead=1.0)).kilojoules
    1.2

    Raises BadInput for negative or infinite numbers.
    """
    used = power or Power()
    given = {
        "cpu_seconds": cpu_seconds,
        "wall_seconds": wall_seconds or 0.0,
        "memory_bytes": float(memory_bytes or 0),
        "watts_per_core": used.watts_per_core,
        "watts_per_gibibyte": used.watts_per_gibibyte,
        "overhead": used.overhead,
    }
    wrong = [(name, value) for name, value in given.items() if not (math.isfinite(value) and value >= 0)]
    if wrong:
        raise BadInput([Problem(name, f"expected a finite number of at least 0, got {value}") for name, value in wrong])
    joules = cpu_seconds * used.watts_per_core
    if memory_bytes is not None and wall_seconds is not None:
        joules += wall_seconds * memory_bytes / GIBIBYTE * used.watts_per_gibibyte
    return Cost(float(cpu_seconds), wall_seconds, memory_bytes, joules * used.overhead / 1000, used)


@contextmanager
def measured(power: Power | None = None) -> Iterator[Callable[[], Cost]]:
    """Measure a block: afterwards the function that was given says its cost.

    >>> with measured() as cost:
    ...     total = sum(range(10_000))
    >>> cost().cpu_seconds >= 0
    True
    """
    begun, clock = os.times(), time.perf_counter()
    ended: list[Cost] = []
    try:
        yield lambda: ended[0]
    finally:
        now = os.times()
        spent = sum(now[:4]) - sum(begun[:4])  # user and system, own and of children that have ended
        ended.append(cost_of(max(spent, 0.0), time.perf_counter() - clock, power=power))


def gains_for_cost(options: Mapping[str, Option], baseline: str, confidence: float = 0.95) -> tuple[GainForCost, ...]:
    """Every option beside the baseline, cheapest first.

    >>> free, dear = cost_of(0.0), cost_of(7200.0)
    >>> loss = Estimate(1.0, 0.9, 1.1, confidence=0.95), Estimate(0.5, 0.4, 0.6, confidence=0.95)
    >>> options = {"probe": Option("probe", free, loss[0]), "tuned": Option("tuned", dear, loss[1])}
    >>> gains_for_cost(options, "probe")[1].gain_per_cpu_hour.value
    0.25

    Raises BadInput for an unknown baseline, and for rows of different numbers.
    """
    sizes = {option.rows.size for option in options.values() if option.rows is not None}
    problems = []
    if baseline not in options:
        problems.append(Problem("baseline", f"expected one of {', '.join(options)}, got {baseline!r}"))
    if len(sizes) > 1:
        problems.append(Problem("rows", f"expected the same rows for all options, got {sorted(sizes)}"))
    if problems:
        raise BadInput(problems)
    base = options[baseline]
    found = []
    for name, option in options.items():
        extra = option.cost.cpu_seconds - base.cost.cpu_seconds
        gain = _gain(base, option, confidence)
        rate = _rate(gain, extra)
        efficient = _efficient(option, list(options.values()))
        found.append(GainForCost(name, option.cost, option.loss, extra, gain, rate, efficient))
    return tuple(sorted(found, key=lambda g: g.cost.cpu_seconds))


def _gain(base: Option, option: Option, confidence: float) -> Estimate:
    if option is base:
        return Estimate(0.0, grade="exact", method="the baseline itself")
    if base.rows is not None and option.rows is not None:
        return paired_estimate(base.rows - option.rows, None, confidence)
    a, b = base.loss, option.loss
    if a.value is None or b.value is None:
        return not_identified("one of the two losses is not known")
    value = a.value - b.value
    if not (a.two_sided and b.two_sided):
        return Estimate(value, grade="point", assumptions=("one of the two losses has no interval",))
    half = float(norm.isf((1 - confidence) / 2)) * math.hypot(standard_error(a), standard_error(b))
    ends: dict[str, Any] = {"low": value - half, "high": value + half, "confidence": confidence}
    return Estimate(value, **ends, grade="statistical", method="difference", assumptions=(RECOMPUTED,))


def _rate(gain: Estimate, extra: float) -> Estimate:
    """Gain a CPU-hour: cost is known, so the ends scale with it."""
    if gain.value is None:
        return gain
    if extra <= 0:
        return not_identified("not dearer than the baseline: a gain a CPU-hour has no meaning")
    hours = extra / HOUR
    low, high = (None if end is None else end / hours for end in (gain.low, gain.high))
    method = f"{gain.method}, over {hours:.4g} CPU-hours more"
    return replace(gain, value=gain.value / hours, low=low, high=high, method=method)


def _efficient(option: Option, others: list[Option]) -> bool:
    if option.loss.value is None:
        return False
    for other in others:
        if other.loss.value is None or other is option:
            continue
        cheaper = other.cost.cpu_seconds <= option.cost.cpu_seconds
        better = other.loss.value <= option.loss.value
        strictly = other.cost.cpu_seconds < option.cost.cpu_seconds or other.loss.value < option.loss.value
        if cheaper and better and strictly:
            return False
    return True
